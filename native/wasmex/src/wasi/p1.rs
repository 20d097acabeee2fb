//! WASI preview 1. A store grants its guests only what its options name.

use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::options::{Options, SavedOptions};
use crate::vm::terms;
use crate::wasi::budget::Budget;
use crate::wasi::context::View;
use crate::wasi::host::HostModule;
use crate::wasi::http::tls::Roots;
use crate::wasi::link;
use crate::wasi::network::Network;
use crate::wasi::p2::state::P2;
use crate::wasi::pipe::PipeResource;
use crate::wasi::pipe::stream::PipeStream;
use crate::wasi::places::Listen;
use crate::wasi::sockets::descriptors::Descriptors;
use crate::wasi::sockets::listener;
use crate::wasi::sockets::net::Net;
use crate::wasi::sockets::reach::Reach;
use crate::wasi::sockets::readiness::NONBLOCK;
use crate::wasi::sockets::state::{Interfaces, P1};
use crate::wasi::stdio::{Inherited, Which};
use rand::rngs::StdRng;
use rand::{SeedableRng, TryCryptoRng, TryRng};
use rustler::{Atom, Binary, Decoder, NifResult, Term};
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime::{Result, bail};
use wasmtime_wasi::{FsPerms, HostMonotonicClock, HostWallClock, WasiCtxBuilder, WasiView};

/// The namespace modules import it from.
pub const NAMESPACE: &str = "wasi_snapshot_preview1";

/// Maximum number of files, sockets, streams, requests and the like that a guest may have open. Many are file
/// descriptors, of which the whole VM may have only a thousand.
const MAX_HANDLES: usize = 1_000;

/// Maximum number of directories that a store is given, so that its guests can open as many files.
const MAX_PREOPENS: usize = MAX_HANDLES / 2;

/// A standard stream: empty, the VM's own, or a pipe.
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
    has_listeners: bool,
    is_large: bool,
    /// The size up to which guests may fill a pipe without a capacity.
    most_buffered: usize,
    /// The socket interfaces.
    pub sockets: Interfaces,
}

impl WasiSpec {
    /// From the options of Elixir. Guests may fill a pipe without a capacity up to `most_buffered` bytes.
    pub fn new(options: &Options, most_buffered: u64) -> Result<Self> {
        Ok(WasiSpec {
            most_buffered: usize::try_from(most_buffered).unwrap_or(usize::MAX),
            // The mutex only makes them `Sync`.
            options: Mutex::new(options.save()),
            // Otherwise it would have been moved to a dirty scheduler.
            is_large: !dirty::is_normal() && WasiSpec::is_slow(options),
            has_preopens: !options.get::<Vec<Term>>("preopen")?.is_empty(),
            has_listeners: options
                .get_or_default::<Vec<Listen>>("listen")?
                .iter()
                .any(Listen::opens),
            sockets: options.get_or_default("sockets")?,
        })
    }

    /// Whether anything must be opened immediately, so that errors are reported where it was requested, or takes long.
    pub fn is_made_now(&self) -> bool {
        self.has_preopens || self.has_listeners || self.is_large
    }

    /// Whether these options belong on a dirty scheduler: arguments and environment variables may be many.
    pub fn is_slow(options: &Options) -> bool {
        options.is_large(&["args", "env"])
    }

    /// Whether the options take long to copy and to free.
    pub fn is_large(&self) -> bool {
        self.is_large
    }

    /// Makes the context.
    pub fn build(self) -> Result<(P2, P1)> {
        let options = self.options.into_inner();
        let options = options.unwrap_or_else(PoisonError::into_inner);
        let is_large = self.is_large;
        options.read(|options| build(options, self.most_buffered, is_large))
    }
}

/// Each option takes effect here, or where `P2::new` reads it.
fn build(options: &Options, most_buffered: usize, is_large: bool) -> Result<(P2, P1)> {
    let mut builder = WasiCtxBuilder::new();
    builder.args(&options.get::<Vec<&str>>("args")?);
    builder.envs(&options.get::<Vec<(&str, &str)>>("env")?);
    streams(options, &mut builder, most_buffered)?;
    let preopens = options.get::<Vec<Options>>("preopen")?;
    if preopens.len() > MAX_PREOPENS {
        bail!(
            "a store may have {MAX_PREOPENS} directories, got {}",
            preopens.len()
        );
    }
    for preopen in &preopens {
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
    match options.get::<Option<u64>>("seed")? {
        Some(seed) => seeded(&mut builder, seed),
        // wasmtime's default is a generator per store, 320 bytes.
        None => {
            builder.secure_random(ThreadRandom::default());
        }
    }
    if let Some(cwd) = options.get_or_default::<Option<String>>("cwd")? {
        builder.initial_cwd(cwd);
    }
    let reach = reach(options)?;
    reach.network.apply(&mut builder);
    let mut ctx = builder.build_p1();
    ctx.ctx().table.set_max_capacity(MAX_HANDLES);
    let p2 = P2::new(reach.clone());
    let mut net = Net::new(reach, buffer(options)?);
    net.by_path = options.get_or_default::<Interfaces>("sockets")?.any();
    let descriptors = descriptors(options, preopens.len())?;
    let standard = match options.get_or_default("non_blocking_stdio")? {
        true => NONBLOCK,
        false => 0,
    };
    Ok((
        p2,
        P1 {
            ctx,
            descriptors,
            net,
            has_large_environment: is_large,
            #[cfg(unix)]
            listings: Default::default(),
            standard: [standard; 3],
        },
    ))
}

/// The maximum size of a socket buffer.
fn buffer(options: &Options) -> Result<usize> {
    let bytes: Option<u64> = options.get_or_default("socket_buffer")?;
    Ok(bytes.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)))
}

/// The addresses that guests may reach.
fn reach(options: &Options) -> Result<Reach> {
    let timeout: Option<u64> = options.get_or_default("dial_timeout")?;
    let timeout = Duration::from_millis(timeout.unwrap_or_default());
    let own: Option<Vec<Binary>> = options.get_or_default("dial_cacerts")?;
    let certificate = |der: &Binary| CertificateDer::from(der.as_slice().to_vec());
    let roots = match own {
        None => Roots::System,
        Some(own) => Roots::Own(own.iter().map(certificate).collect()),
    };
    let network = Network::new(options)?;
    Ok(match network.is_empty() {
        true => Reach::nothing(),
        false => Reach::new(network, roots, timeout),
    })
}

/// The standard streams, directories, and listeners passed in by the host.
fn descriptors(options: &Options, directories: usize) -> Result<Descriptors> {
    let most: Option<u64> = options.get_or_default("max_sockets")?;
    let most = most.map_or(0, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let listeners: Vec<Listen> = options.get_or_default("listen")?;
    // They do not count, or a store could be unable to hold what it was granted.
    let handed_in = listeners.iter().filter(|listen| listen.opens()).count();
    let mut descriptors = Descriptors::new(directories, most.saturating_add(handed_in));
    descriptors.limit_files(
        options.get_or_default("max_open_files")?,
        options.get_or_default("max_open_dirs")?,
    );
    if handed_in == 0 {
        return Ok(descriptors);
    }
    for listen in listeners.into_iter().filter(Listen::opens) {
        let socket = listener::open(listen)?;
        let added = descriptors.add_socket(socket);
        added.map_err(|_| wasmtime::Error::msg("too many listeners"))?;
    }
    Ok(descriptors)
}

fn streams(options: &Options, builder: &mut WasiCtxBuilder, most: usize) -> Result<()> {
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
            builder.stdout(PipeStream {
                budget,
                most,
                ..pipe
            });
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
            builder.stderr(PipeStream {
                budget,
                most,
                ..pipe
            });
        }
    }
    Ok(())
}

fn seeded(builder: &mut WasiCtxBuilder, seed: u64) {
    builder.secure_random(StdRng::seed_from_u64(seed));
    builder.insecure_random(StdRng::seed_from_u64(seed));
    builder.insecure_random_seed(u128::from(seed));
}

/// The generator of the thread, cryptographically secure, from which wasmtime would seed one for each store. wasmtime takes
/// random bytes one by one, so that some numbers are generated ahead.
#[derive(Default)]
struct ThreadRandom {
    ahead: [[u8; 4]; AHEAD],
    left: usize,
}

/// Numbers generated ahead.
const AHEAD: usize = 16;

impl TryRng for ThreadRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        if self.left == 0 {
            rand::rng().try_fill_bytes(self.ahead.as_flattened_mut())?;
            self.left = AHEAD;
        }
        self.left -= 1;
        let bytes = std::mem::take(&mut self.ahead[self.left]);
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        rand::rng().try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> std::result::Result<(), Infallible> {
        rand::rng().try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for ThreadRandom {}

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
        own: None,
        granted: |data| data.wasi_context().is_granted(),
        core: Some(link::preview1),
        traced: None,
        component: None,
    }
}
