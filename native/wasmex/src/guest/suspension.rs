//! A guest suspended in an import: the process that made the call runs the function, the guest waits for its results.
//!
//! A command names the import that it is for by its serial. Which import may be answered is the policy of
//! [`Suspended`]: the innermost alone, for a store whose calls nest on one stack. A store whose calls run side by side
//! has another.

use crate::guest::cell::Via;
use crate::guest::data::StoreData;
use crate::guest::handoff::{self, Command, Event};
use crate::vm::atoms;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::host_error::host_error;
use crate::vm::live::{Kind, Live};
use crate::vm::term_box::TermBox;
use rustler::sys::ErlNifTerm;
use rustler::{Encoder, Env, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::{AsContextMut, Memory, StoreContextMut};

static NEXT_TABLE: AtomicU64 = AtomicU64::new(1);

/// The functions of one linker or one `Wasmex.Instance.new/4`, a tuple in Elixir.
pub struct ImportTable {
    /// Lets the driving process fetch the functions once, however often they are called.
    id: u64,
    functions: TermBox,
    _live: Live,
}

impl ImportTable {
    /// A table of this tuple of functions.
    pub fn new(functions: Term) -> Arc<Self> {
        Arc::new(ImportTable {
            id: NEXT_TABLE.fetch_add(1, Ordering::Relaxed),
            functions: TermBox::new(functions),
            _live: Live::new(Kind::Term),
        })
    }

    /// One of the functions, by its place in the tuple.
    pub fn function(self: &Arc<Self>, index: u32) -> Import {
        Import {
            table: self.clone(),
            index,
        }
    }
}

/// One function of a table.
#[derive(Clone)]
pub struct Import {
    table: Arc<ImportTable>,
    index: u32,
}

/// An import that waits for Elixir.
pub struct PendingImport {
    import: Import,
    /// Names this very invocation; the `caller` handle that Elixir gets carries it.
    serial: u64,
    /// A list of terms of the NIF that polls.
    params: ErlNifTerm,
    /// The calling instance's `memory`.
    pub memory: Option<Memory>,
    /// Differs between the memories of a store, so that Elixir notices when it has the wrong one.
    memory_key: usize,
}

impl PendingImport {
    /// `memory` is the calling instance's, if it has one, with its key.
    pub fn new(
        import: &Import,
        serial: u64,
        params: ErlNifTerm,
        memory: Option<Memory>,
        memory_key: usize,
    ) -> Self {
        PendingImport {
            import: import.clone(),
            serial,
            params,
            memory,
            memory_key,
        }
    }

    /// `{:import, table_id, memory_key, index, serial, params}`
    pub fn step<'a>(&self, env: Env<'a>) -> Term<'a> {
        // SAFETY: the arguments were made in this environment during the poll that just ended.
        let params = unsafe { env::term(env, self.params) };
        (
            atoms::import(),
            self.import.table.id,
            self.memory_key,
            self.import.index,
            self.serial,
            params,
        )
            .encode(env)
    }

    /// The tuple of functions that the import is one of.
    pub fn functions<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.import.table.functions.get(env)
    }
}

host_error! {
    /// What an Elixir function that failed leaves in the guest. Its own error is kept by the process that ran it.
    #[derive(Debug)]
    pub struct ImportRaised = import_raised {}
}

impl std::fmt::Display for ImportRaised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an imported function failed")
    }
}

impl std::error::Error for ImportRaised {}

/// Lets Elixir run the function, and does what it asks for meanwhile. The results are a term of the NIF
/// that polls when this returns.
pub async fn suspend(
    mut cx: StoreContextMut<'_, StoreData>,
    pending: PendingImport,
) -> wasmtime::Result<ErlNifTerm> {
    let serial = pending.serial;
    handoff::emit(Event::Import(pending));
    loop {
        match handoff::next_command(serial).await {
            Command::Resume(results) => {
                // The slice that ended here is over; the guest goes on with a fresh one.
                cx.set_epoch_deadline(1);
                return Ok(results);
            }
            Command::Raise => return Err(ImportRaised {}.into()),
            Command::Visit(visit) => {
                visit.run(cx.as_context_mut());
                handoff::emit(Event::Visited);
            }
            Command::Nest(nested) => {
                let result = nested.run(cx.as_context_mut()).await;
                handoff::emit(Event::Nested(result));
            }
        }
    }
}

/// The imports of one execution that Elixir runs at this moment, and the jobs nested in them.
#[derive(Default)]
pub struct Suspended {
    /// Innermost last.
    imports: Vec<PendingImport>,
    /// For each nested job, how many imports were running when it began.
    nested: Vec<usize>,
    /// Whether the guest waits for an import, and not for time or I/O.
    waits: bool,
}

impl Suspended {
    /// The guest called an import.
    pub fn push(&mut self, import: PendingImport) {
        self.imports.push(import);
        self.waits = true;
    }

    /// An import is answered: only the innermost may be.
    pub fn answer(&mut self, serial: u64) -> Result<()> {
        if self.find(serial).is_none() {
            return Err(Error::CallerExpired);
        }
        self.imports.pop();
        self.waits = false;
        Ok(())
    }

    /// The import of this serial, if it is the one that can be answered.
    pub fn find(&self, serial: u64) -> Option<&PendingImport> {
        self.imports.last().filter(|import| import.serial == serial)
    }

    /// The serial of the import to address for a use of the store by this handle: the innermost, whichever of those
    /// that are running the handle is of.
    pub fn address(&self, via: Via) -> Result<u64> {
        let known = match via {
            Via::Store => true,
            Via::Caller(serial) => self.imports.iter().any(|import| import.serial == serial),
        };
        match self.imports.last() {
            _ if !known => Err(Error::CallerExpired),
            // Between two slices only the process's own loop can be running.
            Some(import) if self.waits => Ok(import.serial),
            _ => Err(Error::Deadlock),
        }
    }

    /// A job begins within the innermost import; returns how many are under way now.
    pub fn nest(&mut self) -> usize {
        self.nested.push(self.imports.len());
        self.waits = false;
        self.level()
    }

    /// The innermost nested job is over, and with it the imports that it was suspended in.
    pub fn end_nested(&mut self) {
        if let Some(imports) = self.nested.pop() {
            self.imports.truncate(imports);
        }
        self.waits = true;
    }

    /// How many nested jobs are under way.
    pub fn level(&self) -> usize {
        self.nested.len()
    }
}
