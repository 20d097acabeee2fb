//! Advances the epoch of engines with running guests, so that each guest yields after a slice.
//!
//! One thread serves all engines. It is parked while no guest runs; a starting guest wakes it. Each thread that runs
//! guests owns a slot naming the engine it is running. Only that thread writes the slot, so entering a guest touches no
//! cache line written by another scheduler.

use rustler::sys::{ErlNifSysInfo, enif_system_info};
use std::cell::Cell;
use std::collections::HashMap;
use std::mem::MaybeUninit;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;
use wasmtime::EngineWeak;

/// The length of a slice while guests occupy all schedulers and other processes wait.
pub const TICK: Duration = Duration::from_micros(250);

/// Ticks that a slice lasts. No deadline may be further ahead, see [`crate::guest::handoff::put_off_result`].
pub const SLICE: u64 = 1;

/// The length of a slice while a scheduler is free to take over waiting processes. Each tick costs the guest and its
/// scheduler a few microseconds.
const LONG_TICK: Duration = Duration::from_millis(1);

/// Ticks without any guest after which the thread parks.
const IDLE_TICKS: u32 = 10;

static TICKING: AtomicBool = AtomicBool::new(false);
static TICKER: OnceLock<Thread> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());
static NEXT_ENGINE: AtomicU64 = AtomicU64::new(1);
static ENGINES: Mutex<Option<HashMap<u64, EngineWeak>>> = Mutex::new(None);
static SLOTS: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

/// Ticks so far.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// A number that grows with each tick while guests run.
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// The id of the engine whose guest this thread runs; 0 for none.
#[repr(align(128))]
struct Slot(AtomicU64);

thread_local! {
    static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

/// Number of users that need short slices.
static SHORT: AtomicUsize = AtomicUsize::new(0);

/// While this lives, slices are short even if schedulers are free, for regular sampling.
pub struct ShortTicks;

impl ShortTicks {
    /// From the next tick on.
    pub fn keep() -> Self {
        SHORT.fetch_add(1, Ordering::Relaxed);
        ShortTicks
    }
}

impl Drop for ShortTicks {
    fn drop(&mut self) {
        SHORT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An engine registered here for as long as this lives.
pub struct Ticks(u64);

impl Ticks {
    /// Registers an engine.
    pub fn of(engine: EngineWeak) -> Self {
        let id = NEXT_ENGINE.fetch_add(1, Ordering::Relaxed);
        let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
        engines.get_or_insert_default().insert(id, engine);
        Ticks(id)
    }

    /// Marks this thread as running a guest of the engine: ticks come as long as the returned value lives.
    pub fn enter(&self) -> Running {
        let slot = SLOT.get().unwrap_or_else(new_slot);
        slot.0.store(self.0, Ordering::SeqCst);
        // Pairs with the check in `run`: at least one of the two sees the other's write.
        if !TICKING.load(Ordering::SeqCst) {
            wake();
        }
        Running(slot)
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engines) = engines.as_mut() {
            engines.remove(&self.0);
        }
    }
}

/// Marks this thread as running a guest.
pub struct Running(&'static Slot);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release);
    }
}

/// Never freed: the VM has few schedulers and they never end.
#[cold]
fn new_slot() -> &'static Slot {
    let slot: &'static Slot = Box::leak(Box::new(Slot(AtomicU64::new(0))));
    SLOTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(slot);
    SLOT.set(Some(slot));
    slot
}

#[cold]
fn wake() {
    TICKING.store(true, Ordering::SeqCst);
    if let Some(thread) = TICKER.get() {
        thread.unpark();
    }
}

/// False if there is no ticker thread: then no guest may run, since nothing could interrupt it. Call this before
/// [`Ticks::enter`]; each call tries again to start the thread.
pub fn available() -> bool {
    TICKER.get().is_some() || start()
}

#[cold]
fn start() -> bool {
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if TICKER.get().is_some() {
        return true;
    }
    let thread = std::thread::Builder::new().name("wasmex-ticker".into());
    thread
        .spawn(run)
        .is_ok_and(|handle| TICKER.set(handle.thread().clone()).is_ok())
}

fn run() {
    raise_priority();
    let mut idle = 0;
    let mut running = Vec::new();
    let mut tick_length = TICK;
    loop {
        std::thread::sleep(tick_length);
        let guests = running_engines(&mut running);
        let long = guests < schedulers() && SHORT.load(Ordering::Relaxed) == 0;
        tick_length = if long { LONG_TICK } else { TICK };
        if running.is_empty() {
            idle += 1;
        } else {
            idle = 0;
            tick(&running);
        }
        if idle > IDLE_TICKS {
            idle = 0;
            TICKING.store(false, Ordering::SeqCst);
            tick_length = TICK;
            running_engines(&mut running);
            if running.is_empty() {
                while !TICKING.load(Ordering::SeqCst) {
                    std::thread::park();
                }
            } else {
                TICKING.store(true, Ordering::SeqCst);
            }
        }
    }
}

/// The maximum number of schedulers, or of cores.
fn schedulers() -> usize {
    static SCHEDULERS: OnceLock<usize> = OnceLock::new();
    *SCHEDULERS.get_or_init(|| {
        let mut info = MaybeUninit::<ErlNifSysInfo>::zeroed();
        // SAFETY: the VM writes at most the size passed to it.
        let schedulers = unsafe {
            enif_system_info(info.as_mut_ptr(), size_of::<ErlNifSysInfo>());
            info.assume_init().scheduler_threads
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        usize::try_from(schedulers).unwrap_or(1).clamp(1, cores)
    })
}

/// The engines with running guests, and the number of guests.
fn running_engines(ids: &mut Vec<u64>) -> usize {
    ids.clear();
    let mut guests = 0;
    let slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    for slot in slots.iter() {
        let id = slot.0.load(Ordering::SeqCst);
        guests += usize::from(id != 0);
        if id != 0 && !ids.contains(&id) {
            ids.push(id);
        }
    }
    guests
}

fn tick(ids: &[u64]) {
    TICKS.fetch_add(1, Ordering::Relaxed);
    let engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(engines) = engines.as_ref() else {
        return;
    };
    for engine in ids.iter().filter_map(|id| engines.get(id)?.upgrade()) {
        engine.increment_epoch();
    }
}

/// A late tick makes a long slice, so this thread takes priority over schedulers if the system allows.
fn raise_priority() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::setpriority_process;
        use rustix::thread::set_current_timer_slack;
        // Both apply to the calling thread only. If refused, nothing changes.
        let _ = setpriority_process(None, -15);
        let _ = set_current_timer_slack(NonZeroU64::new(1_000));
    }
}
