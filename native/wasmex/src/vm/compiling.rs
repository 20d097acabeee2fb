//! The compiler threads of this process, and their queue of jobs.
//!
//! The requesting process gets a message, `{:wasmex_compiled, reference, result}`, and waits without holding a
//! scheduler. There are fewer threads than schedulers, so that the VM keeps a core on machines with two or more. A
//! queued job whose process dies is dropped; a running one cannot be stopped and counts until it ends.

use crate::vm::atoms;
use crate::vm::error::{Error, Result};
use crate::vm::resource::{ResourceArc, named};
use crate::vm::term_box::TermBox;
use rayon::{ThreadPool, ThreadPoolBuilder};
use rustler::{Encoder, Env, LocalPid, Monitor, OwnedEnv, Resource, Term};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, available_parallelism};

/// Code of at least this size is compiled on as many threads as there are cores. They are started for it, which does
/// not pay off for smaller code.
const LARGE: usize = 64 * 1024;

/// The parser and the compiler recurse up to their own limits, which must be reached before the stack ends.
const STACK: usize = 8 * 1024 * 1024;

/// Makes the result in the environment of the message.
pub type Answer = Box<dyn for<'a> FnOnce(Env<'a>) -> Term<'a> + Send>;

/// A compile waiting for a thread. It monitors its process.
pub struct CompileResource(Mutex<Option<Job>>);

struct Job {
    pid: LocalPid,
    reference: TermBox,
    size: usize,
    compile: Box<dyn FnOnce() -> Answer + Send>,
}

impl std::panic::RefUnwindSafe for CompileResource {}

impl CompileResource {
    fn take(&self) -> Option<Job> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

named!(CompileResource, "compile");

impl Resource for CompileResource {
    const IMPLEMENTS_DOWN: bool = true;

    /// The process is dead.
    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        // A thread may be about to start it: whoever takes the job first owns it.
        if let Some(job) = self.take() {
            queue()
                .waiting
                .retain(|waiting| !std::ptr::eq(&**waiting, self));
            drop(job);
        }
    }
}

struct Queue {
    waiting: VecDeque<ResourceArc<CompileResource>>,
    running: usize,
    threads: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    running: 0,
    threads: 0,
});
static MORE: Condvar = Condvar::new();

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Queues a compile and sends the result to the calling process: `:ok`, `:full` if `most` compiles are waiting or
/// running, or an error if the system refuses a thread. `size` is the code's.
pub fn begin<'a, T: Send + 'static>(
    env: Env<'a>,
    (reference, most): (Term<'a>, usize),
    size: usize,
    compile: impl FnOnce() -> Result<T> + Send + 'static,
    answer: impl for<'b> FnOnce(Env<'b>, T) -> Term<'b> + Send + 'static,
) -> Term<'a> {
    let compile = move || -> Answer {
        match compile() {
            Ok(made) => Box::new(move |env| answer(env, made)),
            Err(error) => Box::new(move |env| error.to_term(env)),
        }
    };
    let job = Job {
        pid: env.pid(),
        reference: TermBox::new(reference),
        size,
        compile: Box::new(compile),
    };
    match push(env, job, most) {
        Ok(true) => atoms::ok().encode(env),
        Ok(false) => atoms::full().encode(env),
        Err(error) => error.to_term(env),
    }
}

/// The compiler's output, or its error.
pub fn checked<T>(made: wasmtime::Result<T>) -> Result<T> {
    made.map_err(|error| Error::chain(atoms::compile(), &error))
}

fn push(env: Env, job: Job, most: usize) -> Result<bool> {
    let pid = job.pid;
    let resource = ResourceArc::new(CompileResource(Mutex::new(Some(job))));
    if resource.monitor(Some(env), &pid).is_none() {
        return Ok(true);
    }
    let mut queue = queue();
    if queue.running + queue.waiting.len() >= most {
        return Ok(false);
    }
    if queue.threads <= queue.running + queue.waiting.len() && queue.threads < most_threads() {
        match start() {
            Ok(()) => queue.threads += 1,
            Err(error) if queue.threads == 0 => {
                let text = format!("the operating system refused threads for compiling: {error}");
                return Err(Error::text(atoms::no_threads(), text));
            }
            // The existing threads do the work.
            Err(_) => {}
        }
    }
    queue.waiting.push_back(resource);
    drop(queue);
    MORE.notify_one();
    Ok(true)
}

/// The number of cores minus one, at least one.
fn most_threads() -> usize {
    available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1))
}

fn start() -> std::io::Result<()> {
    let thread = thread::Builder::new().name("wasmex-compile".into());
    thread.stack_size(STACK).spawn(work)?;
    Ok(())
}

/// The loop of each thread.
fn work() {
    // wasmtime compiles in rayon's threads. In a shared pool, a job waiting for its last function could start running
    // another job to its end.
    let alone = ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build();
    loop {
        let next = next();
        if let Some(job) = next.take() {
            run(job, alone.as_ref().ok());
        }
        drop(next);
        queue().running -= 1;
    }
}

fn next() -> ResourceArc<CompileResource> {
    let mut queue = queue();
    loop {
        if let Some(next) = queue.waiting.pop_front() {
            queue.running += 1;
            return next;
        }
        queue = MORE.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

fn run(job: Job, alone: Option<&ThreadPool>) {
    let Job {
        pid,
        reference,
        size,
        compile,
    } = job;
    let many = (size >= LARGE).then(many).flatten();
    let compiled = catch_unwind(AssertUnwindSafe(|| match many.as_ref().or(alone) {
        Some(pool) => pool.install(compile),
        None => compile(),
    }));
    let answer = compiled.unwrap_or_else(|_| {
        Box::new(|env| Error::text(atoms::compile(), "the compiler panicked").to_term(env))
    });
    // The process may have died, which is not an error.
    let _ = OwnedEnv::new().send_and_clear(&pid, |env| {
        (atoms::wasmex_compiled(), reference.get(env), answer(env)).encode(env)
    });
}

/// Threads for one large job. `None` if the system refuses them.
fn many() -> Option<ThreadPool> {
    ThreadPoolBuilder::new()
        .thread_name(|n| format!("wasmex-compile-{n}"))
        .stack_size(STACK)
        .build()
        .ok()
}
