//! Elixir functions as imports of core modules: declared in Elixir, defined in a linker, called by the guest.

use crate::core::export;
use crate::core::memory::{self, MemoryResource};
use crate::core::types;
use crate::guest::cell::StoreCell;
use crate::guest::data::StoreData;
use crate::guest::foreign::ForeignStore;
use crate::guest::suspension::{self, Import, ImportRaised, PendingImport};
use crate::guest::values::{self, Decoded, Floats, Mismatch, Unheld};
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::env;
use crate::vm::error::{Error, kind_of};
use crate::vm::host_error::host_error;
use crate::vm::resource::{self, ResourceArc};
use crate::vm::terms;
use crate::vm::weight;
use rustler::sys::ErlNifTerm;
use rustler::{Atom, Encoder, Env, NifResult, Term};
use std::sync::Arc;
use wasmtime::{
    AsContextMut, Caller, Engine, Extern, FuncType, Linker, Memory, StoreContextMut, Val, ValType,
};

host_error! {
    /// The error left in the guest by an Elixir function that returned an invalid result.
    #[derive(Debug)]
    pub struct BadResults = bad_results {
        /// Which result is invalid, and why.
        message: String,
    }
}

impl std::fmt::Display for BadResults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadResults {}

impl BadResults {
    fn of(message: impl Into<String>) -> wasmtime::Error {
        let message = message.into();
        BadResults { message }.into()
    }
}

/// A function with the types of its results.
struct Typed {
    import: Import,
    results: Box<[ValType]>,
    /// Whether one of them is a reference.
    references: bool,
}

/// Defines the function as `namespace.name`.
pub fn define(
    linker: &mut Linker<StoreData>,
    namespace: &str,
    name: &str,
    ty: FuncType,
    import: Import,
) -> wasmtime::Result<()> {
    let import = Arc::new(Typed {
        import,
        results: ty.results().collect(),
        references: ty.results().any(|result| result.is_ref()),
    });
    linker.func_new_async(namespace, name, ty, move |caller, params, slots| {
        Box::new(call(caller, import.clone(), params, slots))
    })?;
    Ok(())
}

async fn call(
    mut caller: Caller<'_, StoreData>,
    import: Arc<Typed>,
    params: &[Val],
    slots: &mut [Val],
) -> wasmtime::Result<()> {
    let params = env::in_env(|env| {
        values::encode_list(env, caller.as_context_mut(), params, Floats::Values)
            .map(|list| list.as_c_arg())
    });
    let params = match params {
        Some(Ok(params)) => params,
        Some(Err(Error::Guest(error))) => return Err(error),
        _ => return Err(ImportRaised {}.into()),
    };
    let mut pending = pending(&mut caller, &import.import, params);
    if import.references {
        pending.most = weight::MOST;
    }
    let results = suspension::suspend(caller.as_context_mut(), pending).await?;
    let unheld = store_results(caller.as_context_mut(), results, &import.results, slots)?;
    if unheld.is_empty() {
        return Ok(());
    }
    // Boxed: its state would enlarge that of every import.
    Box::pin(hold(caller.as_context_mut(), unheld, slots)).await
}

/// Makes references of terms among the results.
async fn hold(
    mut cx: StoreContextMut<'_, StoreData>,
    unheld: Vec<(usize, Unheld)>,
    slots: &mut [Val],
) -> wasmtime::Result<()> {
    let several = slots.len() > 1;
    for (position, term) in unheld {
        let held = values::hold(cx.as_context_mut(), term).await;
        slots[position] = held.map_err(|error| bad_result(&error, several.then_some(position)))?;
    }
    Ok(())
}

/// A call of the function with these arguments, a list of terms.
pub fn pending(
    caller: &mut Caller<'_, StoreData>,
    import: &Import,
    params: ErlNifTerm,
) -> PendingImport {
    let (memory, memory_key) = calling_memory(caller);
    let held = caller.data().limits.held();
    held.count_objects(|| caller.gc_heap_capacity());
    let serial = caller.data_mut().next_serial();
    PendingImport::new(import, serial, params, memory, memory_key)
}

/// The calling instance's memory (see [`memory::name`]), and a key that distinguishes the memories of a store. While a
/// store has one instance, the memory is always the same.
fn calling_memory(caller: &mut Caller<'_, StoreData>) -> (Option<Memory>, usize) {
    if let Some(memory) = caller.data().only_memory() {
        return (Some(memory), 1);
    }
    // The caller may have none, for example Elixir itself calling a re-exported import.
    let Some(memory) = exported_memory(caller) else {
        return (None, 0);
    };
    match caller.data_mut().remember_memory(memory) {
        true => (Some(memory), 1),
        false => (Some(memory), memory.data_ptr(caller) as usize),
    }
}

fn exported_memory(caller: &mut Caller<'_, StoreData>) -> Option<Memory> {
    if let Some(Extern::Memory(memory)) = caller.get_export(memory::NAME) {
        return Some(memory);
    }
    for index in 0..caller.data().memory_names().len() {
        let name = caller.data().memory_names()[index].clone();
        if let Some(Extern::Memory(memory)) = caller.get_export(&name) {
            return Some(memory);
        }
    }
    None
}

fn store_results(
    mut cx: StoreContextMut<'_, StoreData>,
    results: ErlNifTerm,
    types: &[ValType],
    slots: &mut [Val],
) -> wasmtime::Result<Vec<(usize, Unheld)>> {
    let mut unheld = Vec::new();
    let stored = env::in_env(|env| {
        // SAFETY: the term came with the NIF that is polling now.
        let term = unsafe { env::term(env, results) };
        match (types, slots) {
            ([], []) => Ok(()),
            ([ty], [slot]) => store(cx, term, ty, slot, |term| unheld.push((0, term)))
                .map_err(|error| bad_result(&error, None)),
            (types, slots) => {
                let (terms, count) =
                    terms::list(term).ok_or_else(|| wrong_shape(types.len(), term))?;
                if count != types.len() {
                    return Err(wrong_count(types.len(), count));
                }
                for (position, ((term, ty), slot)) in terms.zip(types).zip(slots).enumerate() {
                    let later = |term| unheld.push((position, term));
                    store(cx.as_context_mut(), term, ty, slot, later)
                        .map_err(|error| bad_result(&error, Some(position)))?;
                }
                Ok(())
            }
        }
    });
    stored.unwrap_or_else(|| Err(ImportRaised {}.into()))?;
    Ok(unheld)
}

/// Stores one result, or passes on what is made a reference later.
fn store(
    cx: StoreContextMut<'_, StoreData>,
    term: Term,
    ty: &ValType,
    slot: &mut Val,
    later: impl FnOnce(Unheld),
) -> crate::vm::error::Result<()> {
    match values::decode_unheld(cx, term, ty)? {
        Decoded::Value(value) => *slot = value,
        Decoded::Term(term) => later(term),
    }
    Ok(())
}

fn wrong_shape(expected: usize, term: Term) -> wasmtime::Error {
    let kind = kind_of(term).to_term(term.get_env());
    let kind = kind.atom_to_string().unwrap_or_default();
    BadResults::of(format!("expected a list of {expected} results, got {kind}"))
}

fn wrong_count(expected: usize, got: usize) -> wasmtime::Error {
    BadResults::of(format!(
        "expected a list of {expected} results, got a list of {got}"
    ))
}

/// The error for an invalid result, the one at this position if there are several.
pub fn bad_result(error: &Error, position: Option<usize>) -> wasmtime::Error {
    let place = position.map_or("the result".to_string(), |position| {
        format!("result {}", position + 1)
    });
    BadResults::of(if let Some(mismatch) = error.as_host::<Mismatch>() {
        format!("{place} is not {}", mismatch.expected)
    } else if let Error::Text(_, text) = error {
        format!("{place}: {text}")
    } else if error.as_host::<ForeignStore>().is_some() {
        format!("{place} belongs to another store")
    } else {
        format!("{place} can't be converted")
    })
}

/// `{functions, memory | nil}` of the import with this serial while it waits for its result; otherwise nil.
#[rustler::nif]
fn import_context<'a>(env: Env<'a>, cell: ResourceArc<StoreCell>, serial: u64) -> Term<'a> {
    let is_large = cell.pending(serial, PendingImport::has_large_functions);
    if is_large == Some(true) && dirty::is_normal() {
        let args = [cell.encode(env), serial.encode(env)];
        return dirty::again(env, c"import_context", &args);
    }
    let context = cell.pending(serial, |import| (import.functions(env), import.memory));
    let wrap = |memory| MemoryResource::new(cell.clone(), memory);
    let context = context.map(|(functions, memory)| (functions, memory.map(wrap)));
    context.encode(env)
}

/// The imports declared in Elixir: `[{namespace, name, {:fn, params, results} | {:extern, resource}}]`.
pub struct Declaration {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its definition.
    pub definition: Definition,
}

/// The definition of an import.
pub enum Definition {
    /// An Elixir function of this type.
    Func(FuncType),
    /// An item of the store with this id.
    Extern(Extern, u64),
}

/// Decodes the declarations.
pub fn declarations(engine: &Engine, list: Term) -> NifResult<Vec<Declaration>> {
    let list: Vec<(String, String, Term)> = list.decode()?;
    list.into_iter()
        .map(|(namespace, name, definition)| {
            let definition = match definition.decode::<(Atom, Term, Term)>() {
                Ok((tag, params, results)) if tag == atoms::fn_() => {
                    Definition::Func(types::decode_func(engine, params, results)?)
                }
                _ => {
                    let (_, handle): (Atom, Term) = definition.decode()?;
                    let (external, store) =
                        export::decode(handle).ok_or_else(|| resource::misuse("import", handle))?;
                    Definition::Extern(external, store)
                }
            };
            Ok(Declaration {
                namespace,
                name,
                definition,
            })
        })
        .collect()
}
