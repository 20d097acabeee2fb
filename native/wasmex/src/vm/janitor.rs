//! Threads for what takes too long on a scheduler and belongs to no process: to free a gigabyte of memory, or to end the
//! call of a process that was killed.
//!
//! There are a few, so that one long job does not delay all others. They are started when needed, and remain. What
//! waits for them still has its memory, so its number is limited: who brings more does it himself, which slows him down.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, available_parallelism};

type Job = Box<dyn FnOnce() + Send>;

/// Maximum number of threads; fewer on machines with fewer cores.
const THREADS: usize = 4;

/// Maximum number of jobs that wait.
const WAITING: usize = 1_000;

struct Queue {
    waiting: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    threads: 0,
    idle: 0,
});
static MORE: Condvar = Condvar::new();

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops a value on one of the threads, or here if that is not possible.
pub fn drop_elsewhere(large: impl Send + 'static) {
    run_elsewhere(move || drop(large));
}

/// Runs this on one of the threads, or here if the system refuses one or too much waits.
pub fn run_elsewhere(job: impl FnOnce() + Send + 'static) {
    let unsent = queue().push(Box::new(job));
    if let Some(job) = unsent {
        job();
    }
}

impl Queue {
    /// Returns the job if nobody will run it.
    fn push(&mut self, job: Job) -> Option<Job> {
        if self.idle <= self.waiting.len() && self.threads < most_threads() && start() {
            self.threads += 1;
        }
        if self.threads == 0 || self.waiting.len() >= WAITING {
            return Some(job);
        }
        self.waiting.push_back(job);
        MORE.notify_one();
        None
    }
}

fn most_threads() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| available_parallelism().map_or(1, |cores| cores.get().min(THREADS)))
}

fn start() -> bool {
    let thread = thread::Builder::new().name("wasmex-janitor".into());
    thread.spawn(work).is_ok()
}

/// The loop of each thread.
fn work() {
    loop {
        let job = next();
        // A panic ends this job only.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

fn next() -> Job {
    let mut queue = queue();
    loop {
        if let Some(job) = queue.waiting.pop_front() {
            return job;
        }
        queue.idle += 1;
        queue = MORE.wait(queue).unwrap_or_else(PoisonError::into_inner);
        queue.idle -= 1;
    }
}
