//! Guests suspended in an import: the calling process runs the function while the guest waits for its results.
//!
//! A command carries the serial of its import. [`Suspended`] decides which import may be resumed: in a store whose
//! calls nest on one stack, only the innermost. Concurrent calls need a different policy.

use crate::guest::data::StoreData;
use crate::guest::handoff::{self, Command, Event};
use crate::guest::host_term;
use crate::guest::ticker;
use crate::guest::via::Via;
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::error::{Error, Result};
use crate::vm::host_error::host_error;
use crate::vm::live::{Kind, Live};
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use rustler::sys::ErlNifTerm;
use rustler::{Atom, Env, Term};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::{AsContextMut, Memory, StoreContextMut};

static NEXT_TABLE: AtomicU64 = AtomicU64::new(1);

/// The functions of one linker or one `Wasmex.Instance.new/4`, a tuple in Elixir.
pub struct ImportTable {
    /// Lets the driving process fetch the functions once for any number of calls.
    id: u64,
    functions: TermBox,
    /// Whether they hold so much that they are copied on dirty schedulers.
    is_large: bool,
    _live: Live,
}

impl ImportTable {
    /// A table of this tuple of functions, or of `{:large, functions}`.
    pub fn new(functions: Term) -> Arc<Self> {
        let large = large(functions);
        Arc::new(ImportTable {
            id: NEXT_TABLE.fetch_add(1, Ordering::Relaxed),
            functions: TermBox::new(large.unwrap_or(functions)),
            is_large: large.is_some(),
            _live: Live::new(Kind::Term),
        })
    }

    /// Whether a NIF that makes a table of these must move to a dirty scheduler.
    pub fn is_elsewhere(functions: Term) -> bool {
        large(functions).is_some() && dirty::is_normal()
    }

    /// One of the functions, by index in the tuple.
    pub fn function(self: &Arc<Self>, index: u32) -> Import {
        Import {
            table: self.clone(),
            index,
        }
    }
}

fn large(functions: Term) -> Option<Term> {
    let (tag, functions) = functions.decode::<(Atom, Term)>().ok()?;
    (tag == atoms::large()).then_some(functions)
}

/// One function of a table.
#[derive(Clone)]
pub struct Import {
    table: Arc<ImportTable>,
    index: u32,
}

/// An import waiting for Elixir.
pub struct PendingImport {
    /// Not counted as a reference, see [`PendingImport::new`].
    table: NonNull<ImportTable>,
    index: u32,
    /// Identifies this invocation; the `caller` handle in Elixir carries it.
    serial: u64,
    /// A list of terms of the polling NIF.
    params: ErlNifTerm,
    /// Words of results that may be read on a normal scheduler; `u64::MAX` if their types are small.
    pub most: u64,
    /// Whether binaries in the results are copied to the guest.
    pub copied: bool,
    /// The calling instance's `memory`.
    pub memory: Option<Memory>,
    /// Distinguishes the memories of a store, so that Elixir notices an outdated one.
    memory_key: usize,
}

// SAFETY: tables may be used by any thread.
unsafe impl Send for PendingImport {}

impl PendingImport {
    /// `memory` is the calling instance's, if it has one, with its key.
    ///
    /// The function that calls this keeps the import while the guest waits: in its future, or as a function of the
    /// guest's store. The execution has both, and this.
    pub fn new(
        import: &Import,
        serial: u64,
        params: ErlNifTerm,
        memory: Option<Memory>,
        memory_key: usize,
    ) -> Self {
        PendingImport {
            table: NonNull::from(&*import.table),
            index: import.index,
            serial,
            params,
            most: u64::MAX,
            copied: false,
            memory,
            memory_key,
        }
    }

    /// `{:import, table_id, memory_key, index, serial, params}`
    pub fn step<'a>(&self, env: Env<'a>) -> Term<'a> {
        let number = |number| terms::number(env, number);
        let step = [
            atoms::import().as_c_arg(),
            number(self.table().id),
            number(self.memory_key as u64),
            number(self.index.into()),
            number(self.serial),
            self.params,
        ];
        // SAFETY: the arguments were made in this environment during the poll that just ended, the others now.
        unsafe { terms::tuple(env, &step) }
    }

    fn table(&self) -> &ImportTable {
        // SAFETY: alive, see `new`.
        unsafe { self.table.as_ref() }
    }

    /// Whether the results must be read on a dirty scheduler, and this is none.
    pub fn is_larger(&self, results: Term) -> bool {
        host_term::is_larger(results, self.most, self.copied)
    }

    /// Whether the tuple is copied on dirty schedulers.
    pub fn has_large_functions(&self) -> bool {
        self.table().is_large
    }

    /// The tuple that contains the import's function.
    pub fn functions<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.table().functions.get(env)
    }
}

host_error! {
    /// The error left in the guest by an Elixir function that failed. The process that ran it keeps the original error.
    #[derive(Debug)]
    pub struct ImportRaised = import_raised {}
}

impl std::fmt::Display for ImportRaised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an imported function failed")
    }
}

impl std::error::Error for ImportRaised {}

/// Suspends while Elixir runs the function and serves its requests. The results are a term of the NIF whose poll
/// resumes this.
pub async fn suspend(
    cx: StoreContextMut<'_, StoreData>,
    pending: PendingImport,
) -> wasmtime::Result<ErlNifTerm> {
    let serial = announce(pending);
    results(cx, serial).await
}

/// The first part of [`suspend`]: the future of the second is smaller. Returns the import's serial.
pub fn announce(pending: PendingImport) -> u64 {
    let serial = pending.serial;
    handoff::emit(Event::Import(pending));
    serial
}

/// The second part of [`suspend`].
pub async fn results(
    mut cx: StoreContextMut<'_, StoreData>,
    serial: u64,
) -> wasmtime::Result<ErlNifTerm> {
    loop {
        match handoff::next_command(serial).await {
            Command::Resume(results) => {
                // The slice that ended here is over; the guest continues with a new one.
                cx.set_epoch_deadline(ticker::SLICE);
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

/// The imports of one execution that Elixir is running, and the jobs nested in them.
#[derive(Default)]
pub struct Suspended {
    /// Innermost last.
    imports: Vec<PendingImport>,
    /// For each nested job, the number of running imports when it began.
    nested: Vec<usize>,
    /// Whether the guest waits for an import, rather than for time or I/O.
    waits: bool,
}

impl Suspended {
    /// The guest called an import.
    pub fn push(&mut self, import: PendingImport) {
        self.imports.push(import);
        self.waits = true;
    }

    /// An import returns: only the innermost may.
    pub fn answer(&mut self, serial: u64) -> Result<()> {
        if self.find(serial).is_none() {
            return Err(Error::CallerExpired);
        }
        self.imports.pop();
        self.waits = false;
        Ok(())
    }

    /// The import with this serial, if it may be resumed.
    pub fn find(&self, serial: u64) -> Option<&PendingImport> {
        self.imports.last().filter(|import| import.serial == serial)
    }

    /// The serial of the import to address when this handle uses the store: the innermost, whichever running import the
    /// handle belongs to.
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

    /// A job begins in the innermost import; returns the number of nested jobs.
    pub fn nest(&mut self) -> usize {
        self.nested.push(self.imports.len());
        self.waits = false;
        self.level()
    }

    /// The innermost nested job has ended, and with it the imports it was suspended in.
    pub fn end_nested(&mut self) {
        if let Some(imports) = self.nested.pop() {
            self.imports.truncate(imports);
        }
        self.waits = true;
    }

    /// The number of nested jobs.
    pub fn level(&self) -> usize {
        self.nested.len()
    }
}
