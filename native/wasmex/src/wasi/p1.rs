//! WASI preview 1: what a store grants its guests. Nothing that is not named.

use crate::guest::data::StoreData;
use crate::vm::atoms;
use crate::vm::terms;
use crate::wasi::budget::Budget;
use crate::wasi::p2::{P2, P2Options};
use crate::wasi::pipe::PipeResource;
use crate::wasi::pipe::stream::PipeStream;
use crate::wasi::stdio::{Inherited, Which};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustler::{Atom, Decoder, NifResult, NifStruct, Term};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wasmtime::{Engine, Linker, Result};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, HostMonotonicClock, HostWallClock, WasiCtxBuilder, WasiView};

/// Bytes of randomness that a guest may ask for at once: they are made in one go.
const MAX_RANDOM: u64 = 1 << 20;

/// Files, sockets, streams, requests and the like that a guest may have at once. Many of them are
/// descriptors, of which the VM has a thousand or some, for all.
const MAX_HANDLES: usize = 1_000;

/// `Wasmex.Wasi.WasiOptions` after Elixir has checked it.
#[derive(NifStruct)]
#[module = "Wasmex.Wasi.WasiOptions.Native"]
pub struct WasiOptions {
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    preopen: Vec<Preopen>,
    /// Nanoseconds since the epoch at which the clocks stand; `None` for the real ones.
    clock: Option<u64>,
    /// Seed of all randomness; `None` for the system's.
    seed: Option<u64>,
    /// Bytes that may be printed to the streams in `counted`, together.
    max_output: Option<u64>,
    counted: Vec<Atom>,
    /// What only components can use.
    p2: Option<P2Options>,
}

#[derive(NifStruct)]
#[module = "Wasmex.Wasi.PreopenOptions.Native"]
struct Preopen {
    host: String,
    guest: String,
    read_only: bool,
}

impl rustler::Encoder for Stdio {
    fn encode<'a>(&self, env: rustler::Env<'a>) -> Term<'a> {
        atoms::nil().to_term(env)
    }
}

/// A standard stream: nothing, the VM's own, or a pipe.
enum Stdio {
    Null,
    Inherit,
    Pipe(PipeStream),
}

impl<'a> Decoder<'a> for Stdio {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        if let Some(pipe) = terms::resource::<PipeResource>(term) {
            return Ok(Stdio::Pipe(PipeStream::new(pipe.pipe.clone())));
        }
        match term.decode::<Atom>()? {
            atom if atom == atoms::null() => Ok(Stdio::Null),
            atom if atom == atoms::inherit() => Ok(Stdio::Inherit),
            _ => Err(rustler::Error::BadArg),
        }
    }
}

impl WasiOptions {
    pub fn into_spec(self) -> WasiSpec {
        WasiSpec(Mutex::new(self))
    }
}

/// The options until the context is built; the mutex only makes them `Sync`.
pub struct WasiSpec(Mutex<WasiOptions>);

impl WasiSpec {
    pub fn has_preopens(&self) -> bool {
        self.0
            .lock()
            .map(|options| !options.preopen.is_empty())
            .unwrap_or(true)
    }

    pub fn build(self) -> Result<(WasiP1Ctx, P2)> {
        let options = self
            .0
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let budget = options.max_output.map(|limit| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Arc::new(Budget::new(limit))
        });
        let budget_of = |stream| match options.counted.contains(&stream) {
            true => budget.clone(),
            false => None,
        };
        let mut builder = WasiCtxBuilder::new();
        builder.args(&options.args).envs(&options.env);
        match options.stdin {
            Stdio::Null => {}
            Stdio::Inherit => {
                builder.inherit_stdin();
            }
            Stdio::Pipe(pipe) => {
                builder.stdin(pipe);
            }
        }
        match options.stdout {
            Stdio::Null => {}
            Stdio::Inherit => {
                let budget = budget_of(atoms::stdout());
                let which = Which::Output;
                builder.stdout(Inherited { which, budget });
            }
            Stdio::Pipe(pipe) => {
                let budget = budget_of(atoms::stdout());
                builder.stdout(PipeStream { budget, ..pipe });
            }
        }
        match options.stderr {
            Stdio::Null => {}
            Stdio::Inherit => {
                let budget = budget_of(atoms::stderr());
                let which = Which::Error;
                builder.stderr(Inherited { which, budget });
            }
            Stdio::Pipe(pipe) => {
                let budget = budget_of(atoms::stderr());
                builder.stderr(PipeStream { budget, ..pipe });
            }
        }
        for preopen in &options.preopen {
            let perms = if preopen.read_only {
                FsPerms::ReadOnly
            } else {
                FsPerms::ReadWrite
            };
            builder.preopened_dir(&preopen.host, &preopen.guest, perms)?;
        }
        if let Some(nanoseconds) = options.clock {
            let clock = StoppedClock(Duration::from_nanos(nanoseconds));
            builder.wall_clock(clock).monotonic_clock(clock);
        }
        if let Some(seed) = options.seed {
            builder.secure_random(StdRng::seed_from_u64(seed));
            builder.insecure_random(StdRng::seed_from_u64(seed));
            builder.insecure_random_seed(u128::from(seed));
        }
        let p2 = match options.p2 {
            Some(options) => {
                if let Some(cwd) = &options.cwd {
                    builder.initial_cwd(cwd);
                }
                P2::new(options)
            }
            None => P2::default(),
        };
        p2.network.apply(&mut builder);
        builder.max_random_size(MAX_RANDOM);
        let mut context = builder.build_p1();
        context.ctx().table.set_max_capacity(MAX_HANDLES);
        Ok((context, p2))
    }
}

#[derive(Clone, Copy)]
struct StoppedClock(Duration);

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Which functions of preview 1 a linker defines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wasi {
    None,
    Plain,
    /// Those that write down each call: see [`crate::observe::wasi_trace`].
    Traced,
}

impl<'a> Decoder<'a> for Wasi {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        match term.decode::<Atom>()? {
            atom if atom == atoms::false_() => Ok(Wasi::None),
            atom if atom == atoms::true_() => Ok(Wasi::Plain),
            atom if atom == atoms::traced() => Ok(Wasi::Traced),
            _ => Err(rustler::Error::BadArg),
        }
    }
}

/// A linker that defines all of preview 1.
pub fn linker(engine: &Engine) -> Result<Linker<StoreData>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, StoreData::wasi)?;
    Ok(linker)
}
