//! Host functions: imported by a plug-in, run in Elixir, with bytes and numbers.
//!
//! | declared | in WebAssembly | in Elixir |
//! |---|---|---|
//! | `:bytes` | i64, the offset of a block | binary; as a result also `nil`, which is 0 |
//! | `:i32`, `:i64`, `:f32`, `:f64` | itself | number |
//!
//! A function that returns `{:error, text}` gives the guest zeros, and `error_get` returns the text.

use crate::core::import::BadResults;
use crate::guest::data::StoreData;
use crate::guest::suspension::{self, Import, ImportRaised, ImportTable, PendingImport};
use crate::guest::values::{Floats, Number};
use crate::plugin::memory::{self, PIECE};
use crate::plugin::state::State;
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::kind_of;
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use rustler::sys::ErlNifTerm;
use rustler::{Atom, Binary, Encoder, Env, NifResult, OwnedBinary, Term};
use smallvec::SmallVec;
use std::sync::Arc;
use wasmtime::{
    AsContextMut, Caller, Engine, Error, FuncType, Linker, Result, StoreContextMut, Val, ValType,
};

/// The first entries in the table of functions are the library's own; the user's follow.
pub const LOG: u32 = 0;
/// Index of the function for HTTP requests.
pub const HTTP: u32 = 1;
const OWN: u32 = 2;

/// A function declared in Elixir.
pub struct Declaration {
    pub namespace: String,
    pub name: String,
    params: Vec<Kind>,
    results: Vec<Kind>,
}

#[derive(Clone, Copy)]
enum Kind {
    Bytes,
    Number(Number),
}

impl Kind {
    fn decode(term: Term) -> NifResult<Self> {
        match term.decode::<Atom>()? {
            atom if atom == atoms::bytes() => Ok(Kind::Bytes),
            atom if atom == atoms::i32() => Ok(Kind::Number(Number::I32)),
            atom if atom == atoms::i64() => Ok(Kind::Number(Number::I64)),
            atom if atom == atoms::f32() => Ok(Kind::Number(Number::F32)),
            atom if atom == atoms::f64() => Ok(Kind::Number(Number::F64)),
            _ => Err(rustler::Error::BadArg),
        }
    }

    fn ty(self) -> ValType {
        match self {
            Kind::Bytes | Kind::Number(Number::I64) => ValType::I64,
            Kind::Number(Number::I32) => ValType::I32,
            Kind::Number(Number::F32) => ValType::F32,
            Kind::Number(Number::F64) => ValType::F64,
        }
    }
}

/// From `[{namespace, name, params, results}]`.
pub fn declarations(list: Term) -> NifResult<Vec<Declaration>> {
    let kinds = |terms: Vec<Term>| -> NifResult<Vec<Kind>> {
        terms.into_iter().map(Kind::decode).collect()
    };
    list.decode::<Vec<(String, String, Vec<Term>, Vec<Term>)>>()?
        .into_iter()
        .map(|(namespace, name, params, results)| {
            Ok(Declaration {
                namespace,
                name,
                params: kinds(params)?,
                results: kinds(results)?,
            })
        })
        .collect()
}

/// Defines the user's functions, which may replace existing ones.
pub fn define(
    linker: &mut Linker<StoreData>,
    engine: &Engine,
    declarations: Vec<Declaration>,
    table: &Arc<ImportTable>,
) -> Result<()> {
    for (index, declaration) in declarations.into_iter().enumerate() {
        let params = declaration.params.iter().map(|kind| kind.ty());
        let results = declaration.results.iter().map(|kind| kind.ty());
        let ty = FuncType::new(engine, params, results);
        let (namespace, name) = (declaration.namespace.clone(), declaration.name.clone());
        let import = table.function(OWN + index as u32);
        let declaration = Arc::new(declaration);
        linker.func_new_async(&namespace, &name, ty, move |caller, params, slots| {
            Box::new(call(
                caller,
                import.clone(),
                declaration.clone(),
                params,
                slots,
            ))
        })?;
    }
    Ok(())
}

async fn call(
    mut caller: Caller<'_, StoreData>,
    import: Import,
    declaration: Arc<Declaration>,
    params: &[Val],
    slots: &mut [Val],
) -> Result<()> {
    let mut cx = caller.as_context_mut();
    let params = encode(&mut cx, &declaration.params, params).await?;
    let results = suspend(&mut cx, import, params).await?;
    for (slot, bytes) in store(&mut cx, results, &declaration.results, slots)? {
        slots[slot] = Val::I64(memory::put_all(&mut cx, bytes.bytes()).await? as i64);
    }
    Ok(())
}

/// Calls one of the library's own functions.
pub async fn elixir(
    cx: &mut StoreContextMut<'_, StoreData>,
    index: u32,
    params: ErlNifTerm,
) -> Result<ErlNifTerm> {
    let import = State::of(cx.data_mut())?.own(index);
    suspend(cx, import, params).await
}

/// Lets Elixir run a function, which may call this plug-in again; the state of such a call is cleared afterwards.
async fn suspend(
    cx: &mut StoreContextMut<'_, StoreData>,
    import: Import,
    params: ErlNifTerm,
) -> Result<ErlNifTerm> {
    let serial = cx.data_mut().next_serial();
    let state = State::of(cx.data_mut())?;
    let (level, suspended) = (state.outer.len(), state.suspend());
    let pending = PendingImport::new(&import, serial, params, None, 0);
    let results = suspension::suspend(cx.as_context_mut(), pending).await;
    drop(suspended);
    restore(cx, level)?;
    results
}

/// Restores the kernel's words of the call at this level; they are still saved if a nested call was cut off.
fn restore(cx: &mut StoreContextMut<'_, StoreData>, level: usize) -> Result<()> {
    let outer = &mut State::of(cx.data_mut())?.outer;
    let Some(words) = outer.get(level).copied() else {
        return Ok(());
    };
    outer.truncate(level);
    memory::put_words(cx, words)
}

async fn encode(
    cx: &mut StoreContextMut<'_, StoreData>,
    kinds: &[Kind],
    params: &[Val],
) -> Result<ErlNifTerm> {
    // Copied before any term is made: terms are valid for one poll only.
    let mut blocks = SmallVec::<[Bytes; 4]>::new();
    for (kind, param) in kinds.iter().zip(params) {
        if let Kind::Bytes = kind {
            let offset = param.i64().unwrap_or(0) as u64;
            let length = memory::length(cx, offset)?;
            blocks.push(Bytes::take(cx, (offset, length)).await?);
        }
    }
    in_env(|env| {
        let mut list = Term::list_new_empty(env);
        for (kind, param) in kinds.iter().zip(params).rev() {
            let term = match kind {
                Kind::Bytes => match blocks.pop() {
                    Some(bytes) => bytes.term(env, cx)?,
                    None => atoms::nil().to_term(env),
                },
                Kind::Number(number) => number.encode(env, raw(param), Floats::Values),
            };
            list = list.list_prepend(term);
        }
        Ok(list.as_c_arg())
    })?
}

fn raw(value: &Val) -> i64 {
    match value {
        Val::I32(value) => i64::from(*value),
        Val::I64(value) => *value,
        Val::F32(bits) => i64::from(*bits),
        Val::F64(bits) => *bits as i64,
        _ => 0,
    }
}

/// A large binary, kept beyond its poll, and the slot for its block's offset.
type Later = SmallVec<[(usize, TermBox); 1]>;

fn store(
    cx: &mut StoreContextMut<'_, StoreData>,
    results: ErlNifTerm,
    kinds: &[Kind],
    slots: &mut [Val],
) -> Result<Later> {
    in_env(|env| {
        // SAFETY: the term came with the NIF that is polling now.
        let term = unsafe { env::term(env, results) };
        let mut later = Later::new();
        if let Ok((tag, text)) = term.decode::<(Atom, Binary)>()
            && tag == atoms::error()
        {
            for (slot, kind) in slots.iter_mut().zip(kinds) {
                *slot = Val::default_for_ty(&kind.ty()).unwrap_or(Val::I64(0));
            }
            let offset = memory::put(cx, &text)?;
            memory::set_error(cx, offset)?;
            return Ok(later);
        }
        let terms: Vec<Term> = match kinds.len() {
            0 => Vec::new(),
            1 => vec![term],
            count => match terms::list(term) {
                Some((terms, found)) if found == count => terms.collect(),
                _ => return Err(bad(format!("expected a list of {count} results"))),
            },
        };
        for (index, (kind, term)) in kinds.iter().zip(terms).enumerate() {
            slots[index] = match kind {
                Kind::Bytes => match bytes(cx, term)? {
                    Some(offset) => Val::I64(offset as i64),
                    None => {
                        later.push((index, TermBox::new(term)));
                        Val::I64(0)
                    }
                },
                Kind::Number(number) => decode(*number, kind.ty(), term)?,
            };
        }
        Ok(later)
    })?
}

/// The offset of a new block with these bytes; `None` if they are too large to copy in one step.
fn bytes(cx: &mut StoreContextMut<'_, StoreData>, term: Term) -> Result<Option<u64>> {
    if term.is_atom() && term.decode::<Atom>().is_ok_and(|atom| atom == atoms::nil()) {
        return Ok(Some(0));
    }
    let bytes: Binary = term.decode().map_err(|_| wrong("a binary or nil", term))?;
    match bytes.len() {
        ..=PIECE => memory::put(cx, &bytes).map(Some),
        _ => Ok(None),
    }
}

fn decode(number: Number, ty: ValType, term: Term) -> Result<Val> {
    let raw = number
        .decode(term)
        .ok_or_else(|| wrong(&ty.to_string(), term))?;
    Ok(match number {
        Number::I32 => Val::I32(raw as i32),
        Number::I64 => Val::I64(raw),
        Number::F32 => Val::F32(raw as u32),
        Number::F64 => Val::F64(raw as u64),
    })
}

fn wrong(wanted: &str, term: Term) -> Error {
    let kind = kind_of(term).to_term(term.get_env());
    let kind = kind.atom_to_string().unwrap_or_default();
    bad(format!("expected {wanted}, got a term of the kind {kind}"))
}

fn bad(text: String) -> Error {
    BadResults { message: text }.into()
}

/// Works in the environment of the NIF that polls.
pub fn in_env<R>(f: impl FnOnce(Env) -> R) -> Result<R> {
    env::in_env(f).ok_or_else(|| ImportRaised {}.into())
}

/// Bytes of the memory on their way to Elixir.
pub enum Bytes {
    /// Few: copied directly.
    There((u64, u64)),
    /// Copied a chunk at a time.
    Copied(OwnedBinary),
}

impl Bytes {
    /// Reads the bytes of a block.
    pub async fn take(
        cx: &mut StoreContextMut<'_, StoreData>,
        (offset, length): (u64, u64),
    ) -> Result<Self> {
        if length <= PIECE as u64 {
            return Ok(Bytes::There((offset, length)));
        }
        let mut binary = OwnedBinary::new(length as usize);
        let mut rest = binary.as_mut_slice();
        memory::copy_pieces(cx, offset, length, |piece| {
            let (here, after) = std::mem::take(&mut rest).split_at_mut(piece.len());
            here.copy_from_slice(piece);
            rest = after;
        })
        .await?;
        Ok(Bytes::Copied(binary))
    }

    /// The bytes as a binary term.
    pub fn term<'a>(
        self,
        env: Env<'a>,
        cx: &mut StoreContextMut<'_, StoreData>,
    ) -> Result<Term<'a>> {
        Ok(match self {
            Bytes::There(place) => terms::binary(env, memory::bytes(cx, place)?),
            Bytes::Copied(binary) => binary.release(env).to_term(env),
        })
    }
}

/// Parameters for [`elixir`].
pub fn params<'a>(env: Env<'a>, terms: &[Term<'a>]) -> ErlNifTerm {
    terms.encode(env).as_c_arg()
}
