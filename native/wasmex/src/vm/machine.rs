//! What the machine has, or the container that the VM runs in.

use std::sync::OnceLock;

/// Half of the memory in bytes, as far as it is known.
pub fn half_of_memory() -> u64 {
    static HALF: OnceLock<u64> = OnceLock::new();
    *HALF.get_or_init(|| {
        let most = [
            of_system("/proc/meminfo"),
            number("/sys/fs/cgroup/memory.max"),
            number("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        ];
        most.into_iter().flatten().min().unwrap_or(u64::MAX) / 2
    })
}

/// A number in a file of its own. Without a limit there is a word instead, or no file.
fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn of_system(path: &str) -> Option<u64> {
    total(&std::fs::read_to_string(path).ok()?)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::{half_of_memory, total};

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        let text = "MemTotal:       24676300 kB\nMemFree:        1234 kB\n";
        assert_eq!(total(text), Some(24_676_300 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(half_of_memory() > 0);
    }
}
