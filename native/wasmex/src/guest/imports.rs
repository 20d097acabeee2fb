//! Elixir functions as imports: the guest suspends, the driving process runs the function, the guest
//! goes on with its results.

use crate::core::memory::MemoryResource;
use crate::guest::data::StoreData;
use crate::guest::handoff::{self, Command, Event};
use crate::guest::values::{self, Floats};
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::{BadResults, Error, ImportRaised};
use crate::vm::live::{Kind, Live};
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, Env, ResourceArc, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::{
    AsContextMut, Caller, Engine, Extern, FuncType, Linker, Memory, StoreContextMut, Val, ValType,
};

static NEXT_TABLE: AtomicU64 = AtomicU64::new(1);

/// The functions of one linker or one `Wasmex.Instance.new/4`, a tuple in Elixir.
pub struct ImportTable {
    /// Lets the driving process fetch the functions once, however often they are called.
    pub id: u64,
    pub functions: TermBox,
    _live: Live,
}

impl ImportTable {
    pub fn new(functions: Term) -> Arc<Self> {
        Arc::new(ImportTable {
            id: NEXT_TABLE.fetch_add(1, Ordering::Relaxed),
            functions: TermBox::new(functions),
            _live: Live::new(Kind::Term),
        })
    }
}

/// One function of a table.
pub struct Import {
    table: Arc<ImportTable>,
    index: u32,
    results: Box<[ValType]>,
}

impl Import {
    /// A function whose results are somebody else's to convert.
    pub fn untyped(table: &Arc<ImportTable>, index: u32) -> Self {
        Import {
            table: table.clone(),
            index,
            results: Box::new([]),
        }
    }
}

/// An import that waits for Elixir.
pub struct PendingImport {
    pub import: Arc<Import>,
    /// Names this very invocation; the `caller` handle that Elixir gets carries it.
    pub serial: u64,
    pub params: ErlNifTerm,
    /// The calling instance's `memory`, by wasmtime's own identity for it.
    pub memory: Option<Memory>,
    /// Where that memory lies: tells Elixir when the memory it knows is not the one.
    memory_key: usize,
}

impl PendingImport {
    /// A call from where there is no memory to speak of.
    pub fn new(import: Arc<Import>, serial: u64, params: ErlNifTerm) -> Self {
        PendingImport {
            import,
            serial,
            params,
            memory: None,
            memory_key: 0,
        }
    }
}

/// Defines function `index` of the table as `namespace.name`.
pub fn define(
    linker: &mut Linker<StoreData>,
    namespace: &str,
    name: &str,
    ty: FuncType,
    table: &Arc<ImportTable>,
    index: u32,
) -> wasmtime::Result<()> {
    let import = Arc::new(Import {
        table: table.clone(),
        index,
        results: ty.results().collect(),
    });
    linker.func_new_async(namespace, name, ty, move |caller, params, slots| {
        Box::new(call(caller, import.clone(), params, slots))
    })?;
    Ok(())
}

async fn call(
    mut caller: Caller<'_, StoreData>,
    import: Arc<Import>,
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
        _ => return Err(ImportRaised.into()),
    };
    let (memory, memory_key) = calling_memory(&mut caller);
    let serial = caller.data_mut().next_serial();
    let pending = PendingImport {
        import: import.clone(),
        serial,
        params,
        memory,
        memory_key,
    };
    let results = suspend(caller.as_context_mut(), pending).await?;
    store_results(caller.as_context_mut(), results, &import.results, slots)
}

/// Lets Elixir run the function, and does what it asks for meanwhile. The results are a term of the NIF
/// that polls when this returns.
pub async fn suspend(
    mut cx: StoreContextMut<'_, StoreData>,
    pending: PendingImport,
) -> wasmtime::Result<ErlNifTerm> {
    handoff::emit(Event::Import(pending));
    loop {
        match handoff::next_command().await {
            Command::Resume(results) => {
                // The slice that ended here is over; the guest goes on with a fresh one.
                cx.set_epoch_deadline(1);
                return Ok(results);
            }
            Command::Raise => return Err(ImportRaised.into()),
            Command::Visit(visit) => {
                visit.run(cx.as_context_mut());
                handoff::emit(Event::Visited);
            }
            Command::Job(job) => {
                // Boxed: a nested job is rare, and its state would make every import's larger.
                let result = Box::pin(job.run(cx.as_context_mut())).await;
                handoff::emit(Event::JobDone(result));
            }
        }
    }
}

/// The calling instance's `memory`, and a key that differs between the memories of a store. While a
/// store has one instance, there is one answer.
fn calling_memory(caller: &mut Caller<'_, StoreData>) -> (Option<Memory>, usize) {
    if let Some(memory) = caller.data().only_memory() {
        return (Some(memory), 1);
    }
    // Who calls may have none, such as Elixir itself by a re-exported import.
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return (None, 0);
    };
    match caller.data_mut().remember_memory(memory) {
        true => (Some(memory), 1),
        false => (Some(memory), memory.data_ptr(caller) as usize),
    }
}

fn store_results(
    mut cx: StoreContextMut<'_, StoreData>,
    results: ErlNifTerm,
    types: &[ValType],
    slots: &mut [Val],
) -> wasmtime::Result<()> {
    let stored = env::in_env(|env| {
        // SAFETY: the term came with the NIF that polls right now.
        let term = unsafe { env::term(env, results) };
        match (types, slots) {
            ([], []) => Ok(()),
            ([ty], [slot]) => {
                *slot = values::decode(cx, term, ty).map_err(|error| bad_result(&error, None))?;
                Ok(())
            }
            (types, slots) => {
                let (terms, count) =
                    terms::list(term).ok_or_else(|| wrong_shape(types.len(), term))?;
                if count != types.len() {
                    return Err(wrong_count(types.len(), count));
                }
                for (position, ((term, ty), slot)) in terms.zip(types).zip(slots).enumerate() {
                    *slot = values::decode(cx.as_context_mut(), term, ty)
                        .map_err(|error| bad_result(&error, Some(position)))?;
                }
                Ok(())
            }
        }
    });
    stored.unwrap_or_else(|| Err(ImportRaised.into()))
}

fn wrong_shape(expected: usize, term: Term) -> wasmtime::Error {
    let kind = crate::vm::error::kind_of(term).to_term(term.get_env());
    BadResults(format!(
        "expected a list of {expected} results, got {}",
        kind.atom_to_string().unwrap_or_default()
    ))
    .into()
}

fn wrong_count(expected: usize, given: usize) -> wasmtime::Error {
    BadResults(format!(
        "expected a list of {expected} results, got a list of {given}"
    ))
    .into()
}

fn bad_result(error: &Error, position: Option<usize>) -> wasmtime::Error {
    let place = position.map_or("the result".to_string(), |position| {
        format!("result {}", position + 1)
    });
    let text = match error {
        Error::Value { wanted, .. } => format!("{place} is no {wanted}"),
        Error::ForeignStore(_) => format!("{place} belongs to another store"),
        _ => format!("{place} can't be converted"),
    };
    BadResults(text).into()
}

/// `{:import, table_id, memory_key, index, serial, params}`
pub fn step<'a>(env: Env<'a>, import: &PendingImport) -> Term<'a> {
    // SAFETY: the arguments were made in this environment during the poll that just ended.
    let params = unsafe { env::term(env, import.params) };
    (
        atoms::import(),
        import.import.table.id,
        import.memory_key,
        import.import.index,
        import.serial,
        params,
    )
        .encode(env)
}

/// `{functions, memory | nil}` of an import that waits.
pub fn context<'a>(
    env: Env<'a>,
    cell: &ResourceArc<crate::guest::cell::StoreCell>,
    import: &PendingImport,
) -> Term<'a> {
    let memory = import
        .memory
        .map(|memory| MemoryResource::new(cell.clone(), memory));
    (import.import.table.functions.get(env), memory).encode(env)
}

/// The imports that Elixir declares: `[{namespace, name, {:fn, params, results} | {:extern, resource}}]`.
pub struct Declaration {
    pub namespace: String,
    pub name: String,
    pub definition: Definition,
}

pub enum Definition {
    Func(FuncType),
    Extern(Extern, u64),
}

pub fn declarations(engine: &Engine, list: Term) -> rustler::NifResult<Vec<Declaration>> {
    let list: Vec<(String, String, Term)> = list.decode()?;
    list.into_iter()
        .map(|(namespace, name, definition)| {
            let definition = match definition.decode::<(rustler::Atom, Term, Term)>() {
                Ok((tag, params, results)) if tag == atoms::fn_() => {
                    Definition::Func(crate::core::types::decode_func(engine, params, results)?)
                }
                _ => {
                    let (_, resource): (rustler::Atom, Term) = definition.decode()?;
                    let (external, store) =
                        crate::core::export::decode(resource).ok_or(rustler::Error::BadArg)?;
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
