//! Jobs for a guest, run at the top of an idle store or nested in an import.

use crate::guest::data::StoreData;
use crate::guest::extension;
use crate::guest::handoff::{self, Ended, Nested, Stay};
use crate::guest::signature::{Args, Signature};
use crate::guest::ticker;
use crate::guest::values::Floats;
use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use rustler::sys::ErlNifTerm;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime::{AsContextMut, StoreContextMut};

/// A job for a guest. It returns a term of the environment of the NIF whose poll completes it.
pub trait Work: Send + 'static {
    /// Runs to the end, in any number of polls; dropped if cancelled. Terms from the NIF that begins the job are valid
    /// in its first poll only.
    fn run(
        self,
        cx: StoreContextMut<'_, StoreData>,
    ) -> impl Future<Output = Result<ErlNifTerm>> + Send;
}

/// The future of a task.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<ErlNifTerm>> + Send + 'a>>;

/// A job with a boxed future: for jobs longer or rarer than calls.
pub trait Task: Send + 'static {
    /// As [`Work::run`].
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a>;
}

impl<T: Task + ?Sized> Work for Box<T> {
    fn run(
        self,
        cx: StoreContextMut<'_, StoreData>,
    ) -> impl Future<Output = Result<ErlNifTerm>> + Send {
        Task::run(self, cx)
    }
}

/// A job with the limits of its caller.
pub struct Job<W> {
    work: W,
    /// A fuel budget for this job only; the store's own fuel is restored afterwards.
    fuel: Option<u64>,
    /// Number of jobs in progress below this one; set when it begins.
    pub level: usize,
}

/// A call of a core function.
pub struct Call {
    signature: Arc<Signature>,
    args: Args,
    floats: Floats,
}

impl Work for Call {
    async fn run(self, cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
        self.signature.call(cx, self.args, self.floats).await
    }
}

impl Job<Call> {
    /// Calls a function of a core module.
    pub fn call(signature: Arc<Signature>, args: Args, floats: Floats, fuel: Option<u64>) -> Self {
        let work = Call {
            signature,
            args,
            floats,
        };
        Job::new(work, fuel)
    }
}

impl Job<Box<dyn Task>> {
    /// Runs a task.
    pub fn task(task: impl Task, fuel: Option<u64>) -> Self {
        Job::new(Box::new(task), fuel)
    }
}

/// Calls from here on run on dirty schedulers: for a trap wasmtime walks through the stacks of all nested calls, 30,000
/// frames each.
const DEEP: usize = 8;

impl<W: Work> Job<W> {
    /// Runs a job.
    pub fn new(work: W, fuel: Option<u64>) -> Self {
        Job {
            work,
            fuel,
            level: 0,
        }
    }

    /// Runs to the end, or until the driving process cancels this level.
    pub async fn run(self, mut cx: StoreContextMut<'_, StoreData>) -> Ended {
        let level = self.level;
        cx.data_mut().limits.enter_call(level).map_err(Box::new)?;
        // Until this level has ended.
        let _stay = (level == DEEP).then(Stay::begin);
        let outer = cx.data().fuel_before.len();
        if let Some(fuel) = self.fuel {
            let before = swap_fuel(&mut cx, fuel).map_err(Box::new)?;
            cx.data_mut().fuel_before.push(before);
        }
        // If it has to move to a dirty scheduler, the guest yields before its first instruction, and continues there. Not
        // earlier: arguments are terms of the NIF that is polling now.
        let moves = cx.data().traps.details || (level >= DEEP && handoff::may_put_off());
        cx.set_epoch_deadline(if moves { 0 } else { ticker::SLICE });
        let result = UntilCancelled {
            level,
            future: self.work.run(cx.as_context_mut()),
        }
        .await;
        if let Err(Error::Guest(error)) = &result {
            failed(&mut cx, error).await;
        }
        restore_fuel(&mut cx, outer);
        let limits = &mut cx.data_mut().limits;
        limits.leave_call(level);
        result.map_err(|error| match error {
            Error::Guest(error) => Box::new(Error::Guest(limits.name_full_heap(error))),
            other => Box::new(other),
        })
    }
}

/// Tells the extensions that a job failed, on a dirty scheduler if that takes long.
async fn failed(cx: &mut StoreContextMut<'_, StoreData>, error: &wasmtime::Error) {
    let is_long = extension::all().iter().any(|one| one.is_long(error));
    if is_long {
        handoff::elsewhere().await;
    }
    for extension in extension::all() {
        extension.failed(cx, error);
    }
}

impl<W: Work> Nested for Job<W> {
    /// Boxed: nested jobs are rare, and would enlarge the state of every import.
    fn run<'a>(
        self: Box<Self>,
        cx: StoreContextMut<'a, StoreData>,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>> {
        Box::pin(Job::run(*self, cx))
    }
}

fn swap_fuel(cx: &mut StoreContextMut<'_, StoreData>, fuel: u64) -> Result<u64> {
    let disabled = |_| {
        Error::text(
            atoms::fuel_disabled(),
            "fuel is not configured in this store",
        )
    };
    let saved = cx.get_fuel().map_err(disabled)?;
    cx.set_fuel(fuel).map_err(disabled)?;
    Ok(saved)
}

/// Restores the store's fuel, also when nested jobs were dropped before they could.
fn restore_fuel(cx: &mut StoreContextMut<'_, StoreData>, outer: usize) {
    let data = cx.data_mut();
    if let Some(before) = data.fuel_before.get(outer).copied() {
        data.fuel_before.truncate(outer);
        // The value was accepted before, so it can be set again.
        let _ = cx.set_fuel(before);
    }
}

/// A future that ends when its level is cancelled. Cancelling a call means dropping its future, which unwinds the
/// fiber.
///
/// Not an `async fn`, which would reserve room for its argument twice, in every call.
struct UntilCancelled<F> {
    level: usize,
    future: F,
}

impl<T, F: Future<Output = Result<T>>> Future for UntilCancelled<F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        if handoff::cancelled(self.level) {
            return Poll::Ready(Err(Error::Cancelled));
        }
        // SAFETY: `future` is pinned with `self`: it is never moved out, and there is no `Drop`.
        unsafe { self.map_unchecked_mut(|this| &mut this.future) }.poll(context)
    }
}
