//! OS resource limits of this process.

use crate::arguments::Arguments;
use std::io;

/// Limits memory, CPU time, files and core dumps, redirects output away from the terminal, and ends this process when
/// the library's VM ends.
#[cfg(unix)]
pub fn set(arguments: &Arguments) -> io::Result<()> {
    use rustix::process::Resource;

    // Messages of a panic or an abort are not for the user's terminal.
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    drop(nowhere);

    // Guests and the VM have priority. If the system refuses, carry on anyway.
    let _ = rustix::process::nice(5);

    // macOS does not enforce this limit and rejects some values.
    #[cfg(target_os = "linux")]
    limit(Resource::As, arguments.memory)?;
    if let Some(seconds) = arguments.cpu {
        limit(Resource::Cpu, seconds)?;
    }
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    // Open files stay open.
    limit(Resource::Nofile, 0)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::thread::set_no_new_privs(true)?;
    }
    Ok(())
}

/// Forbids new threads and processes. (A superuser's process is restricted by the sandbox alone.)
#[cfg(unix)]
pub fn forbid_processes() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    limit(rustix::process::Resource::Nproc, 0)?;
    Ok(())
}

#[cfg(unix)]
fn limit(resource: rustix::process::Resource, most: u64) -> io::Result<()> {
    use rustix::process::{Rlimit, getrlimit, setrlimit};

    // Never above the limit the process started with.
    let most = getrlimit(resource)
        .maximum
        .map_or(most, |max| max.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(setrlimit(resource, limit)?)
}

/// This system has no limits that a process can set for itself; the library's own timeout ends compiles that take too
/// long.
#[cfg(not(unix))]
pub fn set(_arguments: &Arguments) -> io::Result<()> {
    Ok(())
}

/// As above.
#[cfg(not(unix))]
pub fn forbid_processes() -> io::Result<()> {
    Ok(())
}
