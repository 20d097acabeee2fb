//! Calls of a component's functions, found by path.

use crate::component::abi;
use crate::component::abi::export::{Args, FlatArgs, FlatResult, Lent, Results};
use crate::component::instance::ComponentInstance;
use crate::component::lower::decode::Decoder;
use crate::component::lower::image::Image;
use crate::component::mapping::{Mapping, PACKED, PACKED_ATOMS};
use crate::component::problem::{Conversion, Problem, Step};
use crate::component::resource::handle::HandleResource;
use crate::component::signature::{FlatTypes, ResultForm, Signature};
use crate::component::state::Underway;
use crate::core::instance::listed;
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::handoff::{self, Returned};
use crate::guest::host_term;
use crate::guest::job::{Job, Work};
use crate::guest::values::{self, Arity};
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::{self, fast_nif};
use crate::vm::host_error::host_error;
use crate::vm::names::Found;
use crate::vm::resource::{Argument, Lasting, ResourceArc};
use crate::vm::terms;
use rustler::sys::ErlNifTerm;
use rustler::{Binary, Env, ListIterator, NifResult, Term};
use smallvec::SmallVec;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Func, TypedFunc};

host_error! {
    /// The component has no function with this path.
    pub struct UnknownPath = unknown_path {
        /// The requested names.
        path: Vec<String>,
        /// The first name that does not exist.
        position: usize,
        /// The names that exist at that level.
        names: Vec<String>,
    }
}

fast_nif!(component_call / 6);
/// `path` is a name or a list of names. Returns a step; its result is a list of at most one term.
fn component_call<'a>(env: Env<'a>, args: [Term<'a>; 6]) -> NifResult<Term<'a>> {
    let [instance, path, params, mapping, fuel, via] = args;
    let instance: Argument<ComponentInstance> = instance.decode()?;
    let mapping: Mapping = mapping.decode()?;
    let fuel = fast_nif::option(fuel)?;
    let via = via.decode()?;
    let key = Key::of(path)?;
    let cell = &instance.cell;
    let job = |signature| -> Result<Job<Call>> {
        instance.components.check()?;
        let call = Call {
            // SAFETY: a job is polled or dropped before its NIF returns, and `run` counts a reference if it goes on.
            instance: unsafe { Lasting::new(&instance) },
            signature,
            params: params.as_c_arg(),
            mapping,
        };
        Ok(Job::new(call, fuel))
    };
    let step = match instance.signatures.find(&key) {
        Some(signature) => match job(signature) {
            Ok(job) => drive::begin(env, cell, via, job),
            Err(error) => error.to_term(env),
        },
        // Looked up once, then found by its key.
        None => {
            let path: Vec<&str> = match path.is_list() {
                true => path.decode()?,
                false => vec![path.decode()?],
            };
            drive::begin_found(env, cell, via, |cx| {
                let signature = look_up(&instance, cx, &path, &key)?;
                job(Found::Other(signature))
            })
        }
    };
    // Its error: nothing else happened.
    if host_term::is_refused() {
        return Ok(dirty::again(env, c"component_call", &args));
    }
    Ok(step)
}

/// The names of a path, joined by NUL, which no name contains.
enum Key<'a> {
    Name(Binary<'a>),
    Names(SmallVec<[u8; 128]>),
}

impl<'a> Key<'a> {
    fn of(path: Term<'a>) -> NifResult<Self> {
        if let Ok(name) = Binary::from_term(path) {
            return Ok(Key::Name(name));
        }
        let mut key = SmallVec::new();
        for (index, name) in path.decode::<ListIterator>()?.enumerate() {
            if index > 0 {
                key.push(0);
            }
            key.extend_from_slice(&Binary::from_term(name)?);
        }
        Ok(Key::Names(key))
    }
}

impl Deref for Key<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Key::Name(name) => name,
            Key::Names(names) => names,
        }
    }
}

/// Finds a function by path and remembers it under its key.
fn look_up(
    instance: &ComponentInstance,
    mut cx: StoreContextMut<'_, StoreData>,
    path: &[&str],
    key: &[u8],
) -> Result<Arc<Signature>> {
    instance.find_resources(&mut cx);
    let mut parent = None;
    for (position, name) in path.iter().enumerate() {
        let exports = &instance.instance;
        let found = exports.get_export(&mut cx, parent.as_ref(), name);
        let last = position + 1 == path.len();
        match found {
            Some((ComponentItem::ComponentFunc(_), index)) if last => {
                let func = exports.get_func(&mut cx, index);
                let func = func.ok_or_else(|| unknown(instance, path, position))?;
                let signature = Arc::new(signature(&cx, func)?);
                instance.signatures.keep(key, &signature);
                return Ok(signature);
            }
            Some((ComponentItem::ComponentInstance(_), index)) if !last => {
                parent = Some(index);
            }
            _ => return Err(unknown(instance, path, position)),
        }
    }
    Err(unknown(instance, path, 0))
}

fn signature(cx: &StoreContextMut<'_, StoreData>, func: Func) -> Result<Signature> {
    let check = || func.typed::<Lent, Results<0>>(cx).map(drop);
    let (params, results) =
        abi::checked(check).map_err(|error| Error::chain(atoms::unsupported(), &error))?;
    let result = match results.flat {
        Some(FlatTypes {
            receiver: None,
            scalars,
        }) => match *scalars {
            [] => ResultForm::Nothing,
            [scalar] => ResultForm::Scalar(scalar),
            _ => ResultForm::Other,
        },
        _ => ResultForm::Other,
    };
    let ty = func.ty(cx);
    let names = ty.params().map(|(name, _)| name.to_string()).collect();
    Ok(Signature {
        func,
        params,
        names,
        result,
    })
}

fn unknown(instance: &ComponentInstance, path: &[&str], position: usize) -> Error {
    let engine = &instance.component.engine.engine;
    let ty = instance.component.component.component_type();
    let names = match (position, path.first()) {
        (0, _) => listed(ty.exports(engine).map(|(name, _)| name)),
        (_, Some(interface)) => match ty.get_export(engine, interface).map(|item| item.ty) {
            Some(ComponentItem::ComponentInstance(interface)) => {
                listed(interface.exports(engine).map(|(name, _)| name))
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    UnknownPath {
        path: path.iter().map(|name| (*name).to_string()).collect(),
        position,
        names,
    }
    .into()
}

/// Calls a function.
pub struct Call {
    /// The instance.
    pub instance: Lasting<ComponentInstance>,
    /// The function.
    pub signature: Found<Signature>,
    /// The arguments: a list of terms of the NIF that begins the call.
    pub params: ErlNifTerm,
    /// How the values look in Elixir.
    pub mapping: Mapping,
}

impl Work for Call {
    async fn run(self, cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
        let mut called = pin!(self.run_in(cx));
        poll_fn(|context| {
            let polled = called.as_mut().poll(context);
            if polled.is_pending() {
                self.instance.outlive();
            }
            polled
        })
        .await
    }
}

impl Call {
    /// Keeps its state small, without what only other jobs need.
    async fn run_in(&self, mut cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
        let (instance, mut args) = (&*self.instance, Args::default());
        let signature = instance.signatures.value(&self.signature);
        let signature = signature.ok_or_else(|| Error::broken("a function without a signature"))?;
        // Done first: the terms may not outlive this poll.
        self.args(signature, &mut args)?;
        if instance.components.has_orphans() {
            Box::pin(drop_orphans(instance, &mut cx)).await?;
        }
        let underway = Underway::begin(instance);
        let result = self.call(signature, &args, cx).await?;
        underway.end();
        for rep in &args.lent {
            instance.components.hosted.remove(*rep);
        }
        Ok(result)
    }

    /// A list of at most one term.
    async fn call(
        &self,
        signature: &Signature,
        args: &Args,
        cx: StoreContextMut<'_, StoreData>,
    ) -> Result<ErlNifTerm> {
        let args = Lent(args, &signature.params.shape);
        let called = match (&signature.result, self.mapping.outward()) {
            (ResultForm::Nothing, _) => {
                let result = flat::<0>(signature).call_async(cx, args).await;
                result.map_err(Error::Guest)?;
                return in_env(|env| Ok(Term::list_new_empty(env)));
            }
            (ResultForm::Scalar(scalar), _) => {
                let result = flat::<1>(signature).call_async(cx, args).await;
                let FlatResult(value) = result.map_err(Error::Guest)?;
                return in_env(|env| {
                    let term = scalar.encode(env, value).map_err(Error::Guest)?;
                    Ok(Term::list_new_empty(env).list_prepend(term))
                });
            }
            (_, 0) => any::<0>(signature).call_async(cx, args).await.map(drop),
            (_, 1) => any::<1>(signature).call_async(cx, args).await.map(drop),
            (_, 2) => any::<2>(signature).call_async(cx, args).await.map(drop),
            (_, PACKED) => any::<PACKED>(signature)
                .call_async(cx, args)
                .await
                .map(drop),
            (_, PACKED_ATOMS) => {
                let func = any::<PACKED_ATOMS>(signature);
                func.call_async(cx, args).await.map(drop)
            }
            (_, _) => any::<3>(signature).call_async(cx, args).await.map(drop),
        };
        called.map_err(Error::Guest)?;
        match handoff::take_result() {
            Some(Returned::Here(result)) => Ok(result),
            other => Box::pin(handoff::result_here(other)).await,
        }
    }

    fn args(&self, signature: &Signature, args: &mut Args) -> Result<()> {
        env::in_env(|env| {
            // SAFETY: it came with the NIF that is now polling for the first time.
            let list = unsafe { env::term(env, self.params) };
            args.is_flat = self.flat_args(signature, list, &mut args.flat).is_some();
            if !args.is_flat {
                args.set(self.decode(signature, list)?);
            }
            Ok(())
        })
        .unwrap_or_else(|| Err(Error::Cancelled))
    }

    /// Arguments that are one core value each. `None` for all others, wrong ones included, which [`Self::decode`] explains.
    fn flat_args(&self, signature: &Signature, list: Term, args: &mut FlatArgs) -> Option<()> {
        let params = signature.params.flat.as_ref()?;
        let mut rest = list;
        if let Some((ty, interface)) = params.receiver {
            let (term, tail) = terms::cell(list)?;
            let handle = terms::argument::<HandleResource>(term)?;
            args.receiver = Some((handle.lend(self.instance.cell.id, ty)?, interface));
            rest = tail;
        }
        for (slot, scalar) in args.values.iter_mut().zip(&params.scalars) {
            let (term, tail) = terms::cell(rest)?;
            *slot = scalar.decode(term, self.mapping.lenient)?;
            rest = tail;
        }
        args.count = params.scalars.len();
        rest.is_empty_list().then_some(())
    }

    fn decode(&self, signature: &Signature, list: Term) -> Result<Box<Image>> {
        let shape = &signature.params.shape;
        let expected = shape.items().len();
        let got = values::count(list)?;
        if got < expected || (got > expected && (self.mapping.exact || !self.mapping.lenient)) {
            return Err(Arity { expected, got }.into());
        }
        let (cell, resources) = (&self.instance.cell, &signature.params.resources);
        let mut decoder = Decoder::new(shape.size, self.mapping, resources, cell.id);
        decoder.may_move = true;
        let mut rest = list;
        for (index, item) in shape.items().iter().enumerate() {
            let Some((term, tail)) = terms::cell(rest) else {
                break;
            };
            decoder
                .value(term, &item.shape, 0, item.offset)
                .map_err(|problem| wrong(signature, problem, index))?;
            rest = tail;
        }
        let components = || Some(self.instance.components.clone());
        abi::commit(&mut decoder.image, components).map_err(Conversion)?;
        Ok(decoder.image)
    }
}

fn any<const MAPPING: u32>(signature: &Signature) -> TypedFunc<Lent<'_>, Results<MAPPING>> {
    // SAFETY: these types accept any function and convert by the function's own type.
    unsafe { TypedFunc::new_unchecked(signature.func) }
}

fn flat<const COUNT: usize>(signature: &Signature) -> TypedFunc<Lent<'_>, FlatResult<COUNT>> {
    // SAFETY: as for `any`, of a function with so many results, which are core values.
    unsafe { TypedFunc::new_unchecked(signature.func) }
}

fn wrong(signature: &Signature, problem: Box<Problem>, index: usize) -> Error {
    if problem.is_large() {
        host_term::refuse();
        return Error::Large;
    }
    let name = signature.param(index).into();
    Conversion(problem.at(Step::Param(index, name))).into()
}

/// Makes a term in the environment of the polling NIF.
fn in_env(make: impl FnOnce(Env<'_>) -> Result<Term<'_>>) -> Result<ErlNifTerm> {
    env::in_env(|env| make(env).map(|term| term.as_c_arg()))
        .unwrap_or_else(|| Err(Error::Cancelled))
}

/// Resources whose handles were garbage collected.
async fn drop_orphans(
    instance: &ResourceArc<ComponentInstance>,
    cx: &mut StoreContextMut<'_, StoreData>,
) -> Result<()> {
    for any in instance.components.take_orphans() {
        let underway = Underway::begin(instance);
        any.resource_drop_async(&mut *cx)
            .await
            .map_err(Error::Guest)?;
        underway.end();
    }
    Ok(())
}
