//! Ctrl-C as a message, for shell commands.

use crate::vm::runtime;
use crate::vm::term_box::TermBox;
use crate::vm::waker::{self, Tag};
use rustler::{Env, Term};

/// Handlers are chained: otherwise the VM's own, which opens the break menu, would run after ours.
fn forget_break_menu() {
    #[cfg(unix)]
    {
        // SAFETY: sets the disposition of one signal; both arguments are constants of POSIX.
        unsafe {
            libc::signal(libc::SIGINT, libc::SIG_IGN);
        }
    }
}

#[cfg(unix)]
fn interrupts() -> std::io::Result<tokio::signal::unix::Signal> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::interrupt())
}

#[cfg(windows)]
fn interrupts() -> std::io::Result<tokio::signal::windows::CtrlC> {
    tokio::signal::windows::ctrl_c()
}

/// From now on Ctrl-C sends `{:wasmex_interrupt, reference}` to this process instead of opening the VM's break menu.
/// False if signals are not available.
#[rustler::nif]
fn interrupt_notify(env: Env, reference: Term) -> bool {
    let Some(runtime) = runtime::get() else {
        return false;
    };
    forget_break_menu();
    // Installed here, not in the task, so that an interrupt before the task starts is not lost.
    let entered = runtime.enter();
    let interrupts = interrupts();
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
