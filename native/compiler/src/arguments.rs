//! The command line, as the library passes it.

/// The limits of this process.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Bytes of address space.
    pub memory: u64,
    /// CPU seconds, summed over all threads.
    pub cpu: Option<u64>,
    /// Threads that compile.
    pub threads: usize,
    /// Whether the process must filter its system calls.
    pub sandbox: bool,
}

impl Arguments {
    /// `None` for anything the library would not pass.
    pub fn parse(words: impl Iterator<Item = String>) -> Option<Self> {
        let (mut memory, mut cpu, mut threads, mut sandbox) = (None, None, 1, true);
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--memory" => memory = Some(words.next()?.parse().ok()?),
                "--cpu" => cpu = Some(words.next()?.parse().ok()?),
                "--threads" => threads = words.next()?.parse().ok().filter(|n| *n > 0)?,
                "--without-sandbox" => sandbox = false,
                _ => return None,
            }
        }
        Some(Arguments {
            memory: memory?,
            cpu,
            threads,
            sandbox,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Arguments> {
        Arguments::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn limits_are_read() {
        let read = parse("--memory 1000 --cpu 5 --threads 2");
        assert_eq!(
            read,
            Some(Arguments {
                memory: 1000,
                cpu: Some(5),
                threads: 2,
                sandbox: true
            })
        );
    }

    #[test]
    fn nothing_runs_without_a_limit_of_memory() {
        assert_eq!(parse("--cpu 5"), None);
        assert_eq!(parse("--memory much"), None);
        assert_eq!(parse("--memory 1000 --threads 0"), None);
        assert_eq!(parse("--memory 1000 --what"), None);
    }
}
