//! Calls of plug-in functions: bytes in, bytes or the guest's error out.

use crate::core::import::BadResults;
use crate::core::instance::{LOOKED_THROUGH, UnknownExport, listed};
use crate::guest::data::StoreData;
use crate::guest::job::{Running, Task};
use crate::guest::suspension::ImportRaised;
use crate::plugin::functions::{self, Bytes};
use crate::plugin::link::{callable, is_callable};
use crate::plugin::memory::{self, PIECE};
use crate::plugin::state::{Function, State};
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::term_box::TermBox;
use rustler::sys::ErlNifTerm;
use rustler::{Binary, Encoder, Env, Term};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::I32Exit;

/// The name and the input are terms of the NIF that begins the call.
pub struct Call {
    name: ErlNifTerm,
    input: ErlNifTerm,
}

/// How the guest's code ended.
type Ended = wasmtime::Result<i32>;

impl Task for Call {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a> {
        Box::pin((*self).call(cx))
    }
}

impl Call {
    /// A call of this function with this input.
    pub fn new(name: Term, input: Term) -> Self {
        Call {
            name: name.as_c_arg(),
            input: input.as_c_arg(),
        }
    }

    /// The output as a binary, `{:failed, code, text | nil}` for an error of the guest, or `:spent`.
    async fn call(self, mut cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
        let cx = &mut cx;
        let state = State::of(cx.data_mut()).map_err(Error::Guest)?;
        if state.spent {
            return functions::in_env(|env| atoms::spent().encode(env).as_c_arg())
                .map_err(Error::Guest);
        }
        if state.max_pages == Some(0) {
            return Err(Error::Guest(cx.data().limits.over().into()));
        }
        let nested = state.is_nested();
        let (function, starts, large) = self.begin(cx, nested)?;
        if let Some(input) = large {
            place_input(cx, nested, input).await.map_err(Error::Guest)?;
        }
        let ended = match function {
            Function::Code(func) => func.call_async(cx.as_context_mut(), ()).await,
            Function::Silent(func) => func.call_async(cx.as_context_mut(), ()).await.map(|()| 0),
        };
        if starts && !nested {
            State::of(cx.data_mut()).map_err(Error::Guest)?.spent = true;
        }
        let result = finish(cx, ended).await;
        if nested {
            leave(cx).map_err(Error::Guest)?;
        }
        result
    }

    /// Finds the function and copies the input. Also returns whether it is `_start`, and the input if it is too large
    /// to copy in one step.
    fn begin(
        &self,
        cx: &mut StoreContextMut<'_, StoreData>,
        nested: bool,
    ) -> Result<(Function, bool, Option<TermBox>)> {
        env::in_env(|env| {
            let name = self.bytes(env, self.name)?;
            let function = look_up(cx, &name)?;
            let input = self.bytes(env, self.input)?;
            let large = (input.len() > PIECE).then(|| TermBox::new(input.to_term(env)));
            let now = large.is_none().then(|| input.as_slice());
            enter(cx, nested, now).map_err(Error::Guest)?;
            Ok((function, name.as_slice() == b"_start", large))
        })
        .unwrap_or(Err(Error::Cancelled))
    }

    fn bytes<'a>(&self, env: Env<'a>, term: ErlNifTerm) -> Result<Binary<'a>> {
        // SAFETY: it came with the NIF that is now polling for the first time.
        let term = unsafe { env::term(env, term) };
        term.decode().map_err(|_| Error::Cancelled)
    }
}

fn look_up(cx: &mut StoreContextMut<'_, StoreData>, name: &[u8]) -> Result<Function> {
    let state = State::of(cx.data_mut()).map_err(Error::Guest)?;
    let running = state.running().map_err(Error::Guest)?;
    if let Some(function) = running.functions.get(name) {
        return Ok(function.clone());
    }
    let instance = running.instance;
    let text = String::from_utf8_lossy(name);
    let Some(func) = instance.get_func(&mut *cx, &text) else {
        let names = callable(instance.module(&*cx), LOOKED_THROUGH);
        return Err(UnknownExport {
            kind: atoms::func(),
            name: text.into_owned(),
            names: listed(names.iter().map(String::as_str)),
        }
        .into());
    };
    let ty = func.ty(&*cx);
    if !is_callable(&ty) {
        let text = format!(
            "the function {text:?} can't be called: it is {ty}, and those of a plug-in are () -> i32 or () -> ()"
        );
        return Err(Error::text(atoms::signature(), text));
    }
    let function = match ty.results().len() {
        0 => func.typed(&*cx).map(Function::Silent),
        _ => func.typed(&*cx).map(Function::Code),
    }
    .map_err(Error::Guest)?;
    let state = State::of(cx.data_mut()).map_err(Error::Guest)?;
    let running = state.running().map_err(Error::Guest)?;
    running.functions.insert(name.into(), function.clone());
    Ok(function)
}

/// A nested call keeps the blocks of the outer one.
fn enter(
    cx: &mut StoreContextMut<'_, StoreData>,
    nested: bool,
    input: Option<&[u8]>,
) -> wasmtime::Result<()> {
    if nested {
        let words = memory::take_words(cx)?;
        State::of(cx.data_mut())?.outer.push(words);
    } else {
        State::of(cx.data_mut())?.outer.clear();
        memory::reset(cx)?;
    }
    let Some(input) = input else { return Ok(()) };
    let placed = memory::put(cx, input);
    if nested && placed.is_err() {
        leave(cx)?;
    }
    memory::set_input(cx, placed?, input.len() as u64)
}

/// What [`enter`] left to be done.
async fn place_input(
    cx: &mut StoreContextMut<'_, StoreData>,
    nested: bool,
    input: TermBox,
) -> wasmtime::Result<()> {
    let bytes = input.bytes();
    let placed = memory::put_all(cx, bytes).await;
    if nested && placed.is_err() {
        leave(cx)?;
    }
    memory::set_input(cx, placed?, bytes.len() as u64)
}

fn leave(cx: &mut StoreContextMut<'_, StoreData>) -> wasmtime::Result<()> {
    match State::of(cx.data_mut())?.outer.pop() {
        Some(words) => memory::put_words(cx, words),
        None => Ok(()),
    }
}

/// An error set by the guest takes precedence, then how it ended.
async fn finish(cx: &mut StoreContextMut<'_, StoreData>, ended: Ended) -> Result<ErlNifTerm> {
    let code = match &ended {
        Ok(code) => *code,
        Err(error) => error.downcast_ref::<I32Exit>().map_or(-1, |exit| exit.0),
    };
    let failed = ended.is_err() || code != 0;
    if let Some(text) = memory::error(cx, failed).map_err(Error::Guest)?
        && !raised(&ended)
    {
        return answer(cx, text, |env, text| {
            (atoms::failed(), code, text).encode(env)
        })
        .await;
    }
    match ended {
        Ok(0) => {}
        Ok(code) => {
            let failed =
                |env: Env<'_>| (atoms::failed(), code, atoms::nil()).encode(env).as_c_arg();
            return functions::in_env(failed).map_err(Error::Guest);
        }
        Err(error) if code == 0 && error.is::<I32Exit>() => {}
        Err(error) => return Err(Error::Guest(error)),
    }
    let output = memory::output(cx).map_err(Error::Guest)?;
    answer(cx, output, |_env, output| output).await
}

/// Whether a host function raised: the exception goes to the caller.
fn raised(ended: &Ended) -> bool {
    let is_ours = |error: &wasmtime::Error| error.is::<ImportRaised>() || error.is::<BadResults>();
    ended.as_ref().is_err_and(is_ours)
}

/// A term with these bytes of the memory.
async fn answer(
    cx: &mut StoreContextMut<'_, StoreData>,
    place: (u64, u64),
    make: impl for<'a> FnOnce(Env<'a>, Term<'a>) -> Term<'a>,
) -> Result<ErlNifTerm> {
    let bytes = Bytes::take(cx, place).await.map_err(Error::Guest)?;
    functions::in_env(|env| Ok(make(env, bytes.term(env, cx)?).as_c_arg()))
        .and_then(|answer| answer)
        .map_err(Error::Guest)
}
