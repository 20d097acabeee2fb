//! An OS process that lives no longer than the Erlang process that holds it.
//!
//! A port closes its program's pipes, which ends only programs that notice. This process is killed in any case: on
//! request, or when its holder dies.

use crate::vm::atoms;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named};
use rustler::{Encoder, Env, LocalPid, Monitor, Resource, Term};
use std::sync::atomic::{AtomicBool, Ordering};

/// Holds an OS process.
pub struct ChildResource {
    process: process::Process,
    /// It is known to have exited: its pid may belong to another process now.
    gone: AtomicBool,
    _live: Live,
}

impl ChildResource {
    fn kill(&self) {
        if !self.gone.load(Ordering::Acquire) {
            self.process.kill();
        }
    }
}

impl std::panic::RefUnwindSafe for ChildResource {}

named!(ChildResource, "helper process");

impl Resource for ChildResource {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.kill();
    }
}

impl Drop for ChildResource {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Holds the program of a port of the calling process, by OS pid: `{:ok, child}`, or `:error` if it has exited.
#[rustler::nif]
fn child_hold<'a>(env: Env<'a>, os_pid: i32) -> Term<'a> {
    let Some(process) = process::Process::open(os_pid) else {
        return atoms::error().encode(env);
    };
    let child = ResourceArc::new(ChildResource {
        process,
        gone: AtomicBool::new(false),
        _live: Live::new(Kind::Child),
    });
    if child.monitor(Some(env), &env.pid()).is_none() {
        child.kill();
        return atoms::error().encode(env);
    }
    (atoms::ok(), child).encode(env)
}

/// Kills it. Does nothing if it has exited.
#[rustler::nif]
fn child_kill(child: ResourceArc<ChildResource>) -> rustler::Atom {
    child.kill();
    atoms::ok()
}

/// Its port reported the exit: never kill it from now on.
#[rustler::nif]
fn child_gone(child: ResourceArc<ChildResource>) -> rustler::Atom {
    child.gone.store(true, Ordering::Release);
    atoms::ok()
}

/// Through a pidfd, which cannot refer to another process that reuses the pid; by pid if the kernel has no pidfds.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod process {
    use rustix::fd::OwnedFd;
    use rustix::io::Errno;
    use rustix::process::{
        Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, test_kill_process,
    };

    /// A process, by pidfd if the system has them.
    pub enum Process {
        Descriptor(OwnedFd),
        Number(Pid),
    }

    impl Process {
        /// The process with this pid.
        pub fn open(number: i32) -> Option<Self> {
            let number = Pid::from_raw(number)?;
            match pidfd_open(number, PidfdFlags::empty()) {
                Ok(descriptor) => Some(Process::Descriptor(descriptor)),
                Err(Errno::SRCH) => None,
                Err(_) => test_kill_process(number)
                    .ok()
                    .map(|()| Process::Number(number)),
            }
        }

        /// Kills it.
        pub fn kill(&self) {
            // If it has exited, killing fails, which is fine.
            let _ = match self {
                Process::Descriptor(descriptor) => pidfd_send_signal(descriptor, Signal::KILL),
                Process::Number(number) => kill_process(*number, Signal::KILL),
            };
        }
    }
}

/// By pid.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
mod process {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};

    /// A process by its pid.
    pub struct Process(Pid);

    impl Process {
        /// The process with this pid.
        pub fn open(number: i32) -> Option<Self> {
            let number = Pid::from_raw(number)?;
            test_kill_process(number).ok().map(|()| Process(number))
        }

        /// Kills it.
        pub fn kill(&self) {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

/// Unsupported: the program ends when its input does.
#[cfg(not(unix))]
mod process {
    /// Not supported here.
    pub struct Process;

    impl Process {
        /// Not supported here.
        pub fn open(_number: i32) -> Option<Self> {
            Some(Process)
        }

        /// Not supported here.
        pub fn kill(&self) {}
    }
}
