//! `poll_oneoff` over sockets, files, standard streams and clocks together.
//!
//! Sockets and clocks are handled here. Subscriptions of files and standard streams are copied, with their numbers in
//! wasmtime's table, and polled by wasmtime in parallel.

use crate::wasi::calls;
use crate::wasi::errno::{Fail, INVAL, code};
use crate::wasi::sockets::descriptors::{Descriptor, Descriptors};
use crate::wasi::sockets::memory::{bytes, little_endian, pointer, put, put_u32};
use crate::wasi::sockets::readiness::{Direction, Readiness};
use crate::wasi::sockets::socket::{Socket, ready_now};
use crate::wasi::sockets::state::P1;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use wasmtime::Result;
use wasmtime_wasi::p1::WasiP1Ctx;
use wiggle::GuestMemory;

/// Bytes of a subscription and of an event.
const SUBSCRIPTION: usize = 48;
const EVENT: usize = 32;

/// Subscriptions of one call.
const MOST: u32 = 1 << 18;

const CLOCK: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// Clocks, and the flag of a time instead of a duration.
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

/// Waits until a subscribed event has occurred.
pub async fn poll_oneoff(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    subscriptions: i32,
    events: i32,
    count: i32,
    happened: i32,
) -> Result<i32> {
    match plan(p1, memory, subscriptions, count) {
        Ok(Some(plan)) => code(wait(p1, memory, plan, events, happened).await),
        Ok(None) => {
            let ctx = &mut p1.ctx;
            calls::poll_oneoff(ctx, memory, subscriptions, events, count, happened).await
        }
        Err(fail) => code(Err(fail)),
    }
}

/// A call with one subscription, a duration: how programs sleep. It needs no context and little memory.
pub struct Nap {
    duration: Duration,
    /// The guest's data, returned in the event.
    user: [u8; 8],
}

impl Nap {
    /// `None` for any other call.
    pub fn new(
        memory: &GuestMemory<'_>,
        subscriptions: i32,
        events: i32,
        count: i32,
    ) -> Option<Self> {
        if count != 1 {
            return None;
        }
        // If the event cannot be written, the call fails immediately.
        bytes(memory, pointer(events), EVENT as u32).ok()?;
        let subscription = bytes(memory, pointer(subscriptions), SUBSCRIPTION as u32).ok()?;
        let user = subscription[..8].try_into().ok()?;
        let duration = (subscription[8] == CLOCK).then(|| duration(&subscription))??;
        Some(Nap { duration, user })
    }

    /// Waits.
    pub async fn sleep(&self) {
        // tokio's timers would take up to a millisecond.
        if !self.duration.is_zero() {
            tokio::time::sleep(self.duration).await;
        }
    }

    /// Writes the event.
    pub fn report(&self, memory: &mut GuestMemory<'_>, events: i32, happened: i32) -> Result<i32> {
        let mut event = [0; EVENT];
        event[..8].copy_from_slice(&self.user);
        event[10] = CLOCK;
        let put = put(memory, pointer(events), &event);
        code(put.and_then(|()| put_u32(memory, happened, 1)))
    }
}

/// The subscriptions of a call, by kind.
struct Plan {
    /// The subscriptions as written by the guest.
    all: Vec<u8>,
    /// Sockets: the subscription's index, the descriptor, and the direction.
    sockets: Vec<(usize, i32, Direction)>,
    /// The clock that fires first, and when.
    clock: Option<(usize, Duration)>,
    /// Those polled by wasmtime, with its numbers.
    files: Vec<u8>,
    /// Subscriptions of descriptors that are not open: each results in an error event.
    errors: Vec<(usize, i32)>,
}

/// `None` if wasmtime can handle all of it.
fn plan(
    p1: &P1,
    memory: &GuestMemory<'_>,
    subscriptions: i32,
    count: i32,
) -> Result<Option<Plan>, Fail> {
    let count = pointer(count);
    if count == 0 || count > MOST {
        return Err(INVAL.into());
    }
    let size = count * SUBSCRIPTION as u32;
    let all = bytes(memory, pointer(subscriptions), size)?;
    let mut plan = Plan {
        all: Vec::new(),
        sockets: Vec::new(),
        clock: None,
        files: Vec::new(),
        errors: Vec::new(),
    };
    let mut renumbered = false;
    for (index, subscription) in all.chunks_exact(SUBSCRIPTION).enumerate() {
        renumbered |= add(&mut plan, &p1.descriptors, index, subscription)?;
    }
    if plan.sockets.is_empty() && plan.errors.is_empty() && !renumbered {
        return Ok(None);
    }
    plan.all = all.into_owned();
    Ok(Some(plan))
}

/// Whether a file's number differs from wasmtime's.
fn add(
    plan: &mut Plan,
    descriptors: &Descriptors,
    index: usize,
    subscription: &[u8],
) -> Result<bool, Fail> {
    let fd = little_endian(&subscription[16..20]);
    let direction = match subscription[8] {
        CLOCK => {
            match duration(subscription) {
                Some(duration) => {
                    if plan.clock.is_none_or(|(_, first)| duration < first) {
                        plan.clock = Some((index, duration));
                    }
                }
                // An absolute time of wasmtime's monotonic clock, whose zero only wasmtime knows.
                None => plan.files.extend_from_slice(subscription),
            }
            return Ok(false);
        }
        READ => Direction::Read,
        WRITE => Direction::Write,
        _ => return Err(INVAL.into()),
    };
    match descriptors.get(fd.cast_signed()) {
        Err(Fail::Errno(errno)) => {
            plan.errors.push((index, errno));
            Ok(false)
        }
        Err(trap) => Err(trap),
        Ok(Descriptor::Socket(_)) => {
            plan.sockets.push((index, fd.cast_signed(), direction));
            Ok(false)
        }
        Ok(Descriptor::File(file)) => {
            let start = plan.files.len();
            plan.files.extend_from_slice(subscription);
            plan.files[start + 16..start + 20].copy_from_slice(&file.to_le_bytes());
            Ok(file.cast_unsigned() != fd)
        }
    }
}

/// The duration from now, if it is known here.
fn duration(subscription: &[u8]) -> Option<Duration> {
    let id = little_endian(&subscription[16..20]);
    let mut timeout = [0; 8];
    timeout.copy_from_slice(&subscription[24..32]);
    let timeout = u64::from_le_bytes(timeout);
    // With any flag wasmtime is asked; the only valid one is for absolute times.
    let relative = subscription[40..42] == [0, 0];
    (relative && matches!(id, REALTIME | MONOTONIC)).then(|| Duration::from_nanos(timeout))
}

async fn wait(
    p1: &mut P1,
    memory: &mut GuestMemory<'_>,
    mut plan: Plan,
    events: i32,
    happened: i32,
) -> Result<(), Fail> {
    let files = std::mem::take(&mut plan.files);
    let mut found = {
        let P1 {
            ctx, descriptors, ..
        } = &mut *p1;
        let sockets = sockets(&plan, descriptors)?;
        match now(&plan, &sockets) {
            // Go polls this way before it waits. wasmtime is only asked if there are files.
            found if !found.is_empty() && files.is_empty() => found,
            found => later(&plan, &sockets, found, ctx, files).await?,
        }
    };
    // In the order of the subscriptions, as everywhere.
    found.sort_unstable_by_key(|(index, _)| *index);
    let mut written = Vec::with_capacity(found.len() * EVENT);
    for (index, event) in &mut found {
        // wasmtime's events carry the index in place of the guest's user data.
        event[..8].copy_from_slice(&plan.all[*index * SUBSCRIPTION..][..8]);
        written.extend_from_slice(event);
    }
    put(memory, pointer(events), &written)?;
    put_u32(
        memory,
        happened,
        u32::try_from(found.len()).map_err(|_| INVAL)?,
    )
}

type Found = Vec<(usize, [u8; EVENT])>;
type Watched<'a> = Vec<(usize, &'a Socket, Direction)>;

fn sockets<'a>(plan: &Plan, descriptors: &'a Descriptors) -> Result<Watched<'a>, Fail> {
    let sockets = plan.sockets.iter();
    sockets
        .map(|(index, fd, direction)| Ok((*index, descriptors.socket(*fd)?, *direction)))
        .collect()
}

/// Events that have already occurred: the system is asked about all sockets at once.
fn now(plan: &Plan, sockets: &Watched<'_>) -> Found {
    let asked = sockets.iter();
    let reports = ready_now(asked.map(|(_, socket, direction)| (*socket, *direction)));
    let found =
        reports
            .into_iter()
            .zip(sockets)
            .filter_map(|(readiness, (index, socket, direction))| {
                let event = || socket_event(plan, *index, socket, *direction, readiness);
                readiness.ready.then(|| (*index, event()))
            });
    let mut found: Found = found.collect();
    for (index, errno) in &plan.errors {
        let mut event = event(plan, *index, Readiness::default());
        event[8..10].copy_from_slice(&errno.to_le_bytes()[..2]);
        found.push((*index, event));
    }
    if let Some((index, duration)) = plan.clock
        && duration.is_zero()
    {
        found.push((index, event(plan, index, Readiness::default())));
    }
    found
}

/// Waits for sockets and clocks here, and for the rest in wasmtime.
async fn later(
    plan: &Plan,
    sockets: &Watched<'_>,
    mut found: Found,
    ctx: &mut WasiP1Ctx,
    files: Vec<u8>,
) -> Result<Found, Fail> {
    let clock = plan.clock.map(|(_, duration)| tokio::time::sleep(duration));
    let mut clock = pin!(clock);
    let indices = file_indices(plan);
    let mut theirs = pin!(async {
        match files.is_empty() {
            true => std::future::pending().await,
            false => poll_files(ctx, files, &indices).await,
        }
    });
    std::future::poll_fn(|cx| {
        // wasmtime is polled at least once, even if events were found here.
        let polled = theirs.as_mut().poll(cx);
        if found.is_empty() {
            ours(plan, sockets, clock.as_mut(), cx, &mut found);
        }
        match polled {
            Poll::Ready(Ok(more)) => {
                found.extend(more);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(fail)) => Poll::Ready(Err(fail)),
            Poll::Pending if found.is_empty() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        }
    })
    .await?;
    Ok(found)
}

fn ours(
    plan: &Plan,
    sockets: &Watched<'_>,
    clock: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
    found: &mut Found,
) {
    for (index, socket, direction) in sockets {
        if let Poll::Ready(readiness) = socket.poll_ready(cx, *direction) {
            let event = socket_event(plan, *index, socket, *direction, readiness);
            found.push((*index, event));
        }
    }
    if let (Some(clock), Some((index, _))) = (clock.as_pin_mut(), plan.clock)
        && clock.poll(cx).is_ready()
    {
        found.push((index, event(plan, index, Readiness::default())));
    }
}

/// The subscriptions polled by wasmtime, by index.
fn file_indices(plan: &Plan) -> Vec<usize> {
    let all = plan.all.chunks_exact(SUBSCRIPTION).enumerate();
    let mut sockets = plan.sockets.iter().map(|(index, ..)| *index).peekable();
    let mut errors = plan.errors.iter().map(|(index, _)| *index).peekable();
    all.filter(|(index, subscription)| match subscription[8] {
        CLOCK => duration(subscription).is_none(),
        _ => sockets.next_if_eq(index).is_none() && errors.next_if_eq(index).is_none(),
    })
    .map(|(index, _)| index)
    .collect()
}

/// wasmtime's part, in our own memory: its subscriptions, its events, and their count.
async fn poll_files(
    ctx: &mut WasiP1Ctx,
    mut scratch: Vec<u8>,
    indices: &[usize],
) -> Result<Found, Fail> {
    let events = scratch.len();
    let count = events + indices.len() * EVENT;
    // The index identifies a subscription.
    for (index, subscription) in indices.iter().zip(scratch.chunks_exact_mut(SUBSCRIPTION)) {
        subscription[..8].copy_from_slice(&(*index as u64).to_le_bytes());
    }
    let users = indices.len();
    scratch.resize(count + 8, 0);
    let place = |at: usize| i32::try_from(at).map_err(|_| Fail::Errno(INVAL));
    let (events_at, users, count_at) = (place(events)?, place(users)?, place(count)?);
    let mut memory = GuestMemory::Unshared(&mut scratch);
    let polled = calls::poll_oneoff(ctx, &mut memory, 0, events_at, users, count_at).await;
    match polled.map_err(Fail::Trap)? {
        0 => {}
        errno => return Err(Fail::Errno(errno)),
    }
    let happened = little_endian(&scratch[count..count + 4]) as usize;
    let events = scratch[events..count].chunks_exact(EVENT).take(happened);
    Ok(events
        .map(|bytes| {
            let mut event = [0; EVENT];
            event.copy_from_slice(bytes);
            (little_endian(&bytes[..4]) as usize, event)
        })
        .collect())
}

/// The event of a socket, with the number of bytes that can be read at once (wasi-libc's `FIONREAD`).
fn socket_event(
    plan: &Plan,
    index: usize,
    socket: &Socket,
    direction: Direction,
    readiness: Readiness,
) -> [u8; EVENT] {
    let mut event = event(plan, index, readiness);
    if direction == Direction::Read && !socket.listening {
        event[16..24].copy_from_slice(&socket.available().to_le_bytes());
    }
    event
}

/// An event without the guest's user data: no error, the kind, and for sockets whether the peer hung up.
fn event(plan: &Plan, index: usize, readiness: Readiness) -> [u8; EVENT] {
    let mut event = [0; EVENT];
    let start = index * SUBSCRIPTION;
    event[10] = plan.all.get(start + 8).copied().unwrap_or_default();
    event[24] = u8::from(readiness.hangup);
    event
}
