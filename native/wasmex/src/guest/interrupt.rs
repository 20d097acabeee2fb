//! Ctrl-C as a message, for the shell commands.

use crate::vm::runtime;
use crate::vm::term_box::TermBox;
use crate::vm::waker::{self, Tag};
use rustler::{Env, Term};
use tokio::signal::unix::{SignalKind, signal};

/// Handlers are chained: without this the VM's own, which opens the menu, would run after ours.
fn forget_break_menu() {
    #[cfg(unix)]
    {
        // SAFETY: sets the disposition of one signal; both arguments are constants of POSIX.
        unsafe {
            libc::signal(libc::SIGINT, libc::SIG_IGN);
        }
    }
}

/// From now on an interrupt from the terminal sends `{:wasmex_interrupt, reference}` to this process
/// and no longer opens the VM's break menu. False where signals can't be had.
#[rustler::nif]
fn interrupt_notify(env: Env, reference: Term) -> bool {
    let Some(runtime) = runtime::get() else {
        return false;
    };
    forget_break_menu();
    // Here and not in the task: an interrupt that comes before the task has run must not be lost.
    let entered = runtime.enter();
    let interrupts = signal(SignalKind::interrupt());
    drop(entered);
    let Ok(mut interrupts) = interrupts else {
        return false;
    };
    let (pid, reference) = (env.pid(), TermBox::new(reference));
    runtime.spawn(async move {
        while interrupts.recv().await.is_some() {
            waker::notify(pid, Tag::Interrupt, TermBox::copy(&reference));
        }
    });
    true
}
