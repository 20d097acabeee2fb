//! Ctrl-C as a message, for the shell commands.

use crate::runtime;
use crate::term_box::TermBox;
use crate::waker::{self, Tag};
use rustler::{Env, Term};

/// From now on an interrupt from the terminal sends `{:wasmex_interrupt, reference}` to this process
/// and no longer opens the VM's break menu. False where signals can't be had.
#[rustler::nif]
fn interrupt_notify(env: Env, reference: Term) -> bool {
    let Some(runtime) = runtime::get() else {
        return false;
    };
    let (pid, reference) = (env.pid(), TermBox::new(reference));
    runtime.spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            waker::notify(pid, Tag::Interrupt, TermBox::copy(&reference));
        }
    });
    true
}
