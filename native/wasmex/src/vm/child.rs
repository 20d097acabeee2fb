//! A process of the operating system that lives no longer than the Erlang process that holds it.
//!
//! A port closes the pipes of its program, and a program that looks at them ends. This one is killed, whether it looks or
//! not: by name, or when its holder dies.

use crate::vm::atoms;
use crate::vm::live::{Kind, Live};
use rustler::{Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};
use std::sync::atomic::{AtomicBool, Ordering};

/// Holds a process of the operating system.
pub struct ChildResource {
    process: process::Process,
    /// Its end is known: its number may be another's by now.
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

/// Holds the program of a port of the calling process, by its process id: `{:ok, child}`, or `:error` where it has
/// ended.
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

/// Ends it at once. One that has ended is left alone.
#[rustler::nif]
fn child_kill(child: ResourceArc<ChildResource>) -> rustler::Atom {
    child.kill();
    atoms::ok()
}

/// It has ended, as its port says: from now on nothing is killed.
#[rustler::nif]
fn child_gone(child: ResourceArc<ChildResource>) -> rustler::Atom {
    child.gone.store(true, Ordering::Release);
    atoms::ok()
}

/// By a descriptor, which never means another process that got the same number; by number where the kernel has none.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod process {
    use rustix::fd::OwnedFd;
    use rustix::io::Errno;
    use rustix::process::{
        Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, test_kill_process,
    };

    /// A process, by a descriptor where the system has them.
    pub enum Process {
        Descriptor(OwnedFd),
        Number(Pid),
    }

    impl Process {
        /// The process with this number.
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
            // One that has ended can't be killed, which is as good.
            let _ = match self {
                Process::Descriptor(descriptor) => pidfd_send_signal(descriptor, Signal::KILL),
                Process::Number(number) => kill_process(*number, Signal::KILL),
            };
        }
    }
}

/// By number.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
mod process {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};

    /// A process by its number.
    pub struct Process(Pid);

    impl Process {
        /// The process with this number.
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

/// Nothing to kill with: the program ends when its input does.
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
