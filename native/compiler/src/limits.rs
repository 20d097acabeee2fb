//! The limits that the system keeps for a process.

use crate::arguments::Arguments;
use std::io;

/// Memory, processor time, files, core dumps; nothing reaches the terminal any more; the end of the library's VM is
/// the end of this process.
#[cfg(unix)]
pub fn set(arguments: &Arguments) -> io::Result<()> {
    use rustix::process::Resource;

    // What a panic or an abort has to say is not for the user's terminal.
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    drop(nowhere);

    // Guests and the VM come first. Where the system does not allow it, all the same.
    let _ = rustix::process::nice(5);

    // macOS keeps no such limit, and refuses some values of it.
    #[cfg(target_os = "linux")]
    limit(Resource::As, arguments.memory)?;
    if let Some(seconds) = arguments.cpu {
        limit(Resource::Cpu, seconds)?;
    }
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    // Those that are open stay.
    limit(Resource::Nofile, 0)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::thread::set_no_new_privs(true)?;
    }
    Ok(())
}

/// No thread and no process can be made from now on (the superuser's can, where only the sandbox forbids it).
#[cfg(unix)]
pub fn forbid_processes() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    limit(rustix::process::Resource::Nproc, 0)?;
    Ok(())
}

#[cfg(unix)]
fn limit(resource: rustix::process::Resource, most: u64) -> io::Result<()> {
    use rustix::process::{Rlimit, getrlimit, setrlimit};

    // Never more than what the process was started with.
    let most = getrlimit(resource)
        .maximum
        .map_or(most, |max| max.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(setrlimit(resource, limit)?)
}

/// This system keeps no limits that could be set from within; the library's own clock ends what takes too long.
#[cfg(not(unix))]
pub fn set(_arguments: &Arguments) -> io::Result<()> {
    Ok(())
}

/// As above.
#[cfg(not(unix))]
pub fn forbid_processes() -> io::Result<()> {
    Ok(())
}
