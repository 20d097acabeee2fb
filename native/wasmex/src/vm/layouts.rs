//! Which of the VM's memory layouts are used.

use crate::vm::{heap_binary, layout, small_map};
use rustler::Env;

/// Compares the layouts with the VM's interface. Called once, when the library is loaded.
///
/// Binaries and maps are made in place only if all of them were read as expected. A VM built for debugging would abort: it
/// checks what terms are made of. There, small maps have three keys at most.
pub fn check(env: Env) {
    let is_wide = size_of::<usize>() == 8;
    layout::LAYOUT.set_known(is_wide && layout::matches(env));
    let are_known = is_wide && heap_binary::matches(env) && small_map::matches(env);
    heap_binary::LAYOUT.set_known(are_known);
    small_map::LAYOUT.set_known(are_known);
}

/// Sets whether the layouts are used from now on, if they are as expected; for testing both paths.
#[rustler::nif]
fn vm_layout_use(wanted: bool) -> bool {
    let layouts = [&layout::LAYOUT, &heap_binary::LAYOUT, &small_map::LAYOUT];
    layouts
        .map(|layout| layout.set_used(wanted))
        .iter()
        .all(|used| *used)
}
