//! The end of a guest's slice: the guest yields at each epoch tick.

use crate::guest::data::StoreData;
use crate::guest::handoff;
use crate::guest::ticker;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

/// Guests of this store yield at each tick, after `at_tick`.
pub fn yield_at_ticks(
    store: &mut Store<StoreData>,
    mut at_tick: impl FnMut(&mut StoreContextMut<'_, StoreData>) + Send + Sync + 'static,
) {
    // Tells wasmtime that guests of this store yield.
    store.epoch_deadline_async_yield_and_update(ticker::SLICE);
    store.epoch_deadline_callback(move |mut cx| {
        at_tick(&mut cx);
        Ok(end())
    });
}

/// A result that was put off is read before the guest continues: it is suspended in this.
fn end() -> UpdateDeadline {
    match handoff::tick() {
        Some(later) => UpdateDeadline::YieldCustom(ticker::SLICE, later),
        None => UpdateDeadline::Yield(ticker::SLICE),
    }
}
