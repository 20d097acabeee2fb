//! Charges the calling process for the time that a NIF took, so that the scheduler passes to others in time.

use rustler::Env;
use rustler::schedule::consume_timeslice;
use std::time::Instant;

/// A time slice of the VM, in microseconds.
const SLICE: u128 = 1_000;

/// What is not worth charging.
const LEAST: u128 = SLICE / 100;

/// Does the work, and charges for its duration: that of a copy depends on whether its pages are new, by a factor of
/// ten.
pub fn timed<R>(env: Env, work: impl FnOnce() -> R) -> R {
    let began = Instant::now();
    let result = work();
    let took = began.elapsed().as_micros();
    if took >= LEAST {
        consume_timeslice(env, (took * 100 / SLICE).min(100) as i32);
    }
    result
}
