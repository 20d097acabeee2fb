//! Notifies the process that drives a guest that the guest can continue.
//!
//! A future may be woken during a poll (then the step is `:yield`, without a message), or later, from a tokio thread or
//! a scheduler that writes to a pipe (then one message is sent).

use crate::vm::atoms;
use crate::vm::env;
use crate::vm::runtime;
use crate::vm::term_box::TermBox;
use crate::vm::wakeup::Wakeup;
use rustler::sys::{
    ERL_NIF_THR_NORMAL_SCHEDULER, ErlNifEnv, enif_alloc_env, enif_free_env,
    enif_is_current_process_alive, enif_make_tuple_from_array, enif_send, enif_thread_type,
};
use rustler::{Encoder, Env, LocalPid, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

/// One per store, reused by successive executions. A wake meant for an earlier one only causes a needless poll.
pub struct WakeCell(Wakeup<(LocalPid, u64)>);

/// Identifies one wait. A number, because a reference would need an environment of its own, a kilobyte.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl WakeCell {
    /// No process waits.
    pub fn new() -> Arc<Self> {
        Arc::new(WakeCell(Wakeup::new()))
    }

    /// Called before each poll. True if a message was sent since the last one.
    pub fn polling(&self) -> bool {
        self.0.polling()
    }

    /// Whether the future was woken since the poll began.
    pub fn is_woken(&self) -> bool {
        self.0.is_woken()
    }

    /// Called after a pending poll: the number in the future wake-up message, or `None` if the future was woken
    /// already.
    pub fn park<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        if self.0.is_woken() {
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let parked = self.0.park((env.pid(), number));
        parked.then(|| number.encode(env))
    }
}

impl Wake for WakeCell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some((pid, number)) = self.0.wake() {
            notify(pid, Tag::Wake, Key::Number(number));
        }
    }
}

/// The event, which is the first element of the message.
#[derive(Clone, Copy)]
pub enum Tag {
    /// The guest can continue: `{:wasmex_wake, number}`.
    Wake,
    /// It is the process's turn to use the store: `{:wasmex_turn, reference}`.
    Turn,
    /// The pipe has bytes or room: `{:wasmex_pipe, reference}`.
    Pipe,
    /// Ctrl-C: `{:wasmex_interrupt, reference}`.
    Interrupt,
}

/// Identifies the wait that a message ends.
pub enum Key {
    Number(u64),
    Reference(TermBox),
}

impl Key {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Key::Number(number) => number.encode(env),
            Key::Reference(reference) => reference.get(env),
        }
    }
}

impl From<TermBox> for Key {
    fn from(reference: TermBox) -> Self {
        Key::Reference(reference)
    }
}

/// Sends `{tag, key}` to `pid` from any thread.
pub fn notify(pid: LocalPid, tag: Tag, key: impl Into<Key>) {
    let key = key.into();
    // SAFETY: takes no arguments and reads a thread-local of the VM.
    let thread = unsafe { enif_thread_type() };
    let on_scheduler = thread != 0;
    let caller = env::current_env();
    if on_scheduler && (caller.is_null() || is_left_over(thread, caller)) {
        // On a scheduler the VM needs the environment of the running NIF. A destructor has none, and with that of a
        // killed process it sends nothing. So another thread sends the message.
        if let Some(runtime) = runtime::get() {
            runtime.spawn(async move { send(std::ptr::null_mut(), pid, tag, &key) });
        }
    } else {
        send(
            if on_scheduler {
                caller
            } else {
                std::ptr::null_mut()
            },
            pid,
            tag,
            &key,
        );
    }
}

/// Messages that the thread sends that causes them.
const FEW: usize = 64;

/// Messages that another thread sends before it does anything else.
const PORTION: usize = 256;

/// Sends `{tag, reference}` to each process.
pub fn notify_all<I>(waiting: I, tag: Tag)
where
    I: IntoIterator<Item = (LocalPid, TermBox)>,
    I::IntoIter: ExactSizeIterator + Send + 'static,
{
    each(waiting.into_iter(), move |(pid, reference)| {
        notify(pid, tag, reference);
    });
}

/// Wakes all of them.
pub fn wake_all(wakers: Vec<Waker>) {
    each(wakers.into_iter(), Waker::wake);
}

/// Does it for each item; for most of many on another thread. A message takes a microsecond, so a hundred thousand of them
/// would hold a scheduler for a tenth of a second.
fn each<T>(
    mut items: impl ExactSizeIterator<Item = T> + Send + 'static,
    tell: impl Fn(T) + Send + 'static,
) {
    items.by_ref().take(FEW).for_each(&tell);
    if items.len() == 0 {
        return;
    }
    match runtime::get() {
        Some(runtime) => {
            runtime.spawn(async move {
                while items.len() > 0 {
                    items.by_ref().take(PORTION).for_each(&tell);
                    tokio::task::yield_now().await;
                }
            });
        }
        None => items.for_each(tell),
    }
}

/// Whether this is a dirty NIF whose process was killed: it runs to its end but cannot send.
fn is_left_over(thread: i32, caller: *mut ErlNifEnv) -> bool {
    // SAFETY: `caller` is the environment of the NIF running on this thread.
    thread != ERL_NIF_THR_NORMAL_SCHEDULER && unsafe { enif_is_current_process_alive(caller) } == 0
}

fn send(caller: *mut ErlNifEnv, pid: LocalPid, tag: Tag, key: &Key) {
    // SAFETY: the message environment is made and freed here; `caller` is the environment of the NIF running on this
    // thread, or null on a thread that the VM does not manage.
    unsafe {
        let message_env = enif_alloc_env();
        let lifetime = ();
        let env = Env::new(&lifetime, message_env);
        let tag = match tag {
            Tag::Wake => atoms::wasmex_wake(),
            Tag::Turn => atoms::wasmex_turn(),
            Tag::Pipe => atoms::wasmex_pipe(),
            Tag::Interrupt => atoms::wasmex_interrupt(),
        };
        let parts = [tag.encode(env).as_c_arg(), key.encode(env).as_c_arg()];
        let message = enif_make_tuple_from_array(message_env, parts.as_ptr(), 2);
        enif_send(caller, pid.as_c_arg(), message_env, message);
        enif_free_env(message_env);
    }
}
