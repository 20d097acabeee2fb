//! Elixir's handle of the process that handles connections of guests.

use crate::vm::atoms;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};
use crate::vm::runtime;
use rustler::{Encoder, LocalPid, OwnedEnv};

/// The process that handles a guest's connections; notified when no store needs it any more.
pub struct AnswerResource {
    /// Gets a message for each connection.
    pub pid: LocalPid,
    _live: Live,
}

named_resource!(AnswerResource, "socket rule");
impl std::panic::RefUnwindSafe for AnswerResource {}

impl AnswerResource {
    /// For this process.
    pub fn new(pid: LocalPid) -> Self {
        AnswerResource {
            pid,
            _live: Live::new(Kind::Socket),
        }
    }
}

impl Drop for AnswerResource {
    fn drop(&mut self) {
        let pid = self.pid;
        // A destructor may run on a scheduler, which cannot send without its environment.
        if let Some(runtime) = runtime::get() {
            runtime.spawn(async move {
                let _ = OwnedEnv::new()
                    .send_and_clear(&pid, |env| atoms::wasmex_dial_over().encode(env));
            });
        }
    }
}

/// Registers this process to handle connections of guests: `{:wasmex_dial, end, descriptor, address}` for each
/// connection, and `:wasmex_dial_over` when no store needs it any more.
#[rustler::nif]
fn socket_answer(pid: LocalPid) -> ResourceArc<AnswerResource> {
    ResourceArc::new(AnswerResource::new(pid))
}
