//! What a guest is asked to do: call a function or make an instance, at the top or inside an import.

use crate::component::task::{self, Call, ComponentTask};
use crate::core::instance::{self, Plan};
use crate::guest::data::StoreData;
use crate::guest::extension;
use crate::guest::handoff;
use crate::guest::signature::{Args, Signature};
use crate::guest::values::Floats;
use crate::vm::error::{Error, Result};
use rustler::sys::ErlNifTerm;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use wasmtime::{AsContextMut, StoreContextMut};

pub struct Job {
    task: Task,
    /// A fuel budget for this job alone; the store's own fuel comes back afterwards.
    fuel: Option<u64>,
    /// How many jobs are under way below this one; set when it begins.
    pub level: usize,
}

pub enum Task {
    Call {
        signature: Arc<Signature>,
        args: Args,
        floats: Floats,
    },
    Instantiate(Box<Plan>),
    ComponentCall(Call),
    Component(Box<ComponentTask>),
}

impl Job {
    pub fn new(task: Task, fuel: Option<u64>) -> Self {
        Job {
            task,
            fuel,
            level: 0,
        }
    }

    /// Runs to the end, or until the driving process cancels this level.
    pub async fn run(
        self,
        mut cx: StoreContextMut<'_, StoreData>,
    ) -> std::result::Result<ErlNifTerm, Box<Error>> {
        let level = self.level;
        let outer = cx.data().fuel_before.len();
        if let Some(fuel) = self.fuel {
            let before = swap_fuel(&mut cx, fuel).map_err(Box::new)?;
            cx.data_mut().fuel_before.push(before);
        }
        cx.set_epoch_deadline(1);
        let result = until_cancelled(level, run_task(self.task, cx.as_context_mut())).await;
        if let Err(Error::Guest(error)) = &result {
            for extension in extension::all() {
                extension.failed(&mut cx, error);
            }
        }
        restore_fuel(&mut cx, outer);
        result.map_err(Box::new)
    }
}

async fn run_task(task: Task, cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
    match task {
        Task::Call {
            signature,
            args,
            floats,
        } => signature.call(cx, args, floats).await,
        // Boxed: its state is some kilobytes, which every call would carry along.
        Task::Instantiate(plan) => Box::pin(instance::run(*plan, cx)).await,
        Task::ComponentCall(call) => Box::pin(call.begin(cx)).await,
        Task::Component(task) => Box::pin(task::run(*task, cx)).await,
    }
}

fn swap_fuel(cx: &mut StoreContextMut<'_, StoreData>, fuel: u64) -> Result<u64> {
    let disabled = |_| {
        Error::text(
            crate::vm::atoms::fuel_disabled(),
            "fuel is not configured in this store",
        )
    };
    let saved = cx.get_fuel().map_err(disabled)?;
    cx.set_fuel(fuel).map_err(disabled)?;
    Ok(saved)
}

/// Gives the store back what it had, also when jobs inside this one were dropped before they could.
fn restore_fuel(cx: &mut StoreContextMut<'_, StoreData>, outer: usize) {
    let data = cx.data_mut();
    if let Some(before) = data.fuel_before.get(outer).copied() {
        data.fuel_before.truncate(outer);
        // It was accepted once, so it can be set again.
        let _ = cx.set_fuel(before);
    }
}

/// Dropping the future of a call unwinds its fiber, which is all that cancelling takes.
async fn until_cancelled<T>(level: usize, future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        if handoff::cancelled(level) {
            return Poll::Ready(Err(Error::Cancelled));
        }
        future.as_mut().poll(context)
    })
    .await
}
