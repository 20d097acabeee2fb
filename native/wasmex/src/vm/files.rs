//! The files that the process may open, which guests share with everything else in the VM.
//!
//! A guest that opens files or sockets leaves it a quarter of them. What is open is not counted: each system gives a new
//! file the lowest free number, so the next one says it.

use std::sync::OnceLock;

/// The soft limit of open files, if `/proc` tells it.
pub fn limit() -> Option<usize> {
    static LIMIT: OnceLock<Option<usize>> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    })
}

/// Whether a guest may open another one.
pub fn left() -> bool {
    match (limit(), next()) {
        (Some(limit), Some(next)) => next < limit / 4 * 3,
        _ => true,
    }
}

/// The number that the next file gets, or the highest if none is left.
#[cfg(unix)]
fn next() -> Option<usize> {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    static PROBE: OnceLock<File> = OnceLock::new();
    let probe = match PROBE.get() {
        Some(probe) => probe,
        None => match File::open("/dev/null") {
            Ok(file) => PROBE.get_or_init(|| file),
            Err(error) => return is_full(&error).then_some(usize::MAX),
        },
    };
    let number = probe.try_clone().map(|file| file.as_raw_fd());
    Some(number.map_or(usize::MAX, |number| {
        usize::try_from(number).unwrap_or(usize::MAX)
    }))
}

/// Whether a file could not be opened because there are too many: `ENFILE` or `EMFILE`.
#[cfg(unix)]
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(not(unix))]
fn next() -> Option<usize> {
    None
}
