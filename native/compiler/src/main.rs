//! Compiles WebAssembly in a separate process, started by the library.
//!
//! The input is untrusted, so the process limits itself before it reads the first byte: memory, CPU time, no files, no
//! network, no other processes. Then it reads requests from standard input and writes replies to standard output
//! (`protocol.rs`). When its input ends it exits, even in the middle of a compile.
//!
//! `wasmex-compiler --memory BYTES --cpu SECONDS --threads N [--without-sandbox]`

mod arguments;
mod compile;
mod limits;
mod memory;
mod protocol;
mod sandbox;
mod slim;
mod snapshot;
mod state;

use arguments::Arguments;
use compile::Compiler;
use protocol::{Hello, Reply, Request};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, sync_channel};

#[global_allocator]
static MEMORY: memory::Bounded = memory::Bounded;

/// Why the process exited. Elixir reads it as the exit status.
#[derive(Clone, Copy)]
pub enum Exit {
    /// End of input: the library is gone.
    Done = 0,
    /// Invalid command line.
    Arguments = 2,
    /// The memory limit.
    Memory = 70,
    /// The input is not a valid request.
    Request = 71,
    /// The system refused a limit or a thread.
    Limits = 72,
}

/// Ends the process at once, without destructors, handlers or waiting for other threads.
pub fn leave(exit: Exit) -> ! {
    #[cfg(unix)]
    // SAFETY: `_exit` takes a number and does not return.
    unsafe {
        libc::_exit(exit as i32)
    }
    #[cfg(not(unix))]
    std::process::exit(exit as i32)
}

fn main() {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        leave(Exit::Arguments)
    };
    let Ok((requests, sandbox)) = prepare(&arguments) else {
        leave(Exit::Limits)
    };
    let mut compiler = Compiler::new();
    send(Hello { sandbox }.to_bytes());
    for request in requests {
        send(reply(&mut compiler, &request).to_bytes());
    }
    leave(Exit::Done)
}

/// Receives the requests; whether system calls are filtered.
type Prepared = (Receiver<Vec<u8>>, bool);

/// Sets limits, then starts the threads (none can be started later), then enters the sandbox. Only then may the reader
/// begin.
fn prepare(arguments: &Arguments) -> Result<Prepared, Box<dyn std::error::Error>> {
    limits::set(arguments)?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads);
    threads.build_global()?;
    let (go, ready) = sync_channel::<()>(1);
    let requests = read_requests(ready)?;
    limits::forbid_processes()?;
    let sandbox = arguments.sandbox && sandbox::enter()?;
    go.send(())?;
    Ok((requests, sandbox))
}

/// Reads ahead on a separate thread, which notices the end of the input during a compile too.
fn read_requests(ready: Receiver<()>) -> io::Result<Receiver<Vec<u8>>> {
    let (sender, receiver) = sync_channel(1);
    let read = move || {
        if ready.recv().is_err() {
            leave(Exit::Limits)
        }
        loop {
            match protocol::read_frame(&mut io::stdin().lock()) {
                Ok(Some(request)) => {
                    if sender.send(request).is_err() {
                        leave(Exit::Done)
                    }
                }
                _ => leave(Exit::Done),
            }
        }
    };
    std::thread::Builder::new()
        .name("reader".into())
        .stack_size(64 * 1024)
        .spawn(read)?;
    Ok(receiver)
}

fn reply(compiler: &mut Compiler, bytes: &[u8]) -> Reply {
    match Request::read(bytes) {
        Some(request) => compiler.run(&request),
        None => leave(Exit::Request),
    }
}

fn send(frame: Vec<u8>) {
    let mut output = io::stdout().lock();
    let written = protocol::write_frame(&mut output, &frame).and_then(|()| output.flush());
    if written.is_err() {
        leave(Exit::Done)
    }
}
