//! WASI preview 1: what a store grants its guests. Nothing that is not named.

use crate::vm::atoms;
use crate::vm::options::{Options, SavedOptions};
use crate::vm::terms;
use crate::wasi::budget::Budget;
use crate::wasi::calls;
use crate::wasi::context::View;
use crate::wasi::host::HostModule;
use crate::wasi::p2::P2;
use crate::wasi::pipe::PipeResource;
use crate::wasi::pipe::stream::PipeStream;
use crate::wasi::stdio::{Inherited, Which};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustler::{Atom, Decoder, NifResult, Term};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime::Result;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, HostMonotonicClock, HostWallClock, WasiCtxBuilder, WasiView};

/// Where modules import it from.
pub const NAMESPACE: &str = "wasi_snapshot_preview1";

/// Bytes of randomness that a guest may ask for at once: they are made in one go.
const MAX_RANDOM: u64 = 1 << 20;

/// Files, sockets, streams, requests and the like that a guest may have at once. Many of them are
/// descriptors, of which the VM has a thousand or some, for all.
const MAX_HANDLES: usize = 1_000;

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

/// The options of `Wasmex.Wasi.WasiOptions` or `Wasmex.Wasi.WasiP2Options`, until the context is built.
pub struct WasiSpec {
    options: Mutex<SavedOptions>,
    has_preopens: bool,
}

impl WasiSpec {
    /// From the options of Elixir.
    pub fn new(options: &Options) -> Result<Self> {
        Ok(WasiSpec {
            // The mutex only makes them `Sync`.
            options: Mutex::new(options.save()),
            has_preopens: !options.get::<Vec<Term>>("preopen")?.is_empty(),
        })
    }

    /// Whether there are directories to open.
    pub fn has_preopens(&self) -> bool {
        self.has_preopens
    }

    /// Makes the context.
    pub fn build(self) -> Result<(P2, WasiP1Ctx)> {
        let options = self.options.into_inner();
        options.unwrap_or_else(PoisonError::into_inner).read(build)
    }
}

/// Each option takes effect here, or where `P2::new` reads it.
fn build(options: &Options) -> Result<(P2, WasiP1Ctx)> {
    let mut builder = WasiCtxBuilder::new();
    builder.args(&options.get::<Vec<&str>>("args")?);
    builder.envs(&options.get::<Vec<(&str, &str)>>("env")?);
    streams(options, &mut builder)?;
    for preopen in options.get::<Vec<Options>>("preopen")? {
        let host: &str = preopen.get("path")?;
        let guest = preopen.get::<Option<&str>>("alias")?.unwrap_or(host);
        let perms = match preopen.get("read_only")? {
            true => FsPerms::ReadOnly,
            false => FsPerms::ReadWrite,
        };
        builder.preopened_dir(host, guest, perms)?;
    }
    if let Some(nanoseconds) = options.get("clock")? {
        let clock = StoppedClock(Duration::from_nanos(nanoseconds));
        builder.wall_clock(clock).monotonic_clock(clock);
    }
    if let Some(seed) = options.get::<Option<u64>>("seed")? {
        builder.secure_random(StdRng::seed_from_u64(seed));
        builder.insecure_random(StdRng::seed_from_u64(seed));
        builder.insecure_random_seed(u128::from(seed));
    }
    if let Some(cwd) = options.get_or_default::<Option<String>>("cwd")? {
        builder.initial_cwd(cwd);
    }
    let p2 = P2::new(options)?;
    p2.network.apply(&mut builder);
    builder.max_random_size(MAX_RANDOM);
    let mut context = builder.build_p1();
    context.ctx().table.set_max_capacity(MAX_HANDLES);
    Ok((p2, context))
}

fn streams(options: &Options, builder: &mut WasiCtxBuilder) -> Result<()> {
    let limit: Option<u64> = options.get("max_output")?;
    let budget =
        limit.map(|limit| Arc::new(Budget::new(usize::try_from(limit).unwrap_or(usize::MAX))));
    let counted: Vec<Atom> = options.get("counted")?;
    let budget_of = |stream| budget.clone().filter(|_| counted.contains(&stream));
    match options.get("stdin")? {
        Stdio::Null => {}
        Stdio::Inherit => {
            builder.inherit_stdin();
        }
        Stdio::Pipe(pipe) => {
            builder.stdin(pipe);
        }
    }
    let budget = budget_of(atoms::stdout());
    match options.get("stdout")? {
        Stdio::Null => {}
        Stdio::Inherit => {
            let which = Which::Output;
            builder.stdout(Inherited { which, budget });
        }
        Stdio::Pipe(pipe) => {
            builder.stdout(PipeStream { budget, ..pipe });
        }
    }
    let budget = budget_of(atoms::stderr());
    match options.get("stderr")? {
        Stdio::Null => {}
        Stdio::Inherit => {
            let which = Which::Error;
            builder.stderr(Inherited { which, budget });
        }
        Stdio::Pipe(pipe) => {
            builder.stderr(PipeStream { budget, ..pipe });
        }
    }
    Ok(())
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

/// Preview 1 for core modules.
pub const fn host_module<T: View>() -> HostModule<T> {
    HostModule {
        name: NAMESPACE,
        provides: |namespace| namespace == NAMESPACE,
        granted: |data| data.wasi_context().is_granted(),
        core: Some(|linker| {
            p1::add_to_linker_async(linker, View::wasi)?;
            calls::replace_in_linker(linker)
        }),
        traced: None,
        component: None,
    }
}
