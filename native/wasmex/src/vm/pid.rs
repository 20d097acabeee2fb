//! Comparison of pids.

use rustler::LocalPid;
use rustler::sys::ErlNifPid;

/// Whether two pids are equal. Those of this node are words, and rustler's comparison takes a hundred instructions, so
/// the words are compared first.
pub fn is_same(one: LocalPid, other: LocalPid) -> bool {
    word(&one) == word(&other) || one == other
}

fn word(pid: &LocalPid) -> usize {
    const { assert!(size_of::<ErlNifPid>() == size_of::<usize>()) };
    // SAFETY: a pid holds one term, and a term is a word.
    unsafe { std::mem::transmute_copy::<ErlNifPid, usize>(pid.as_c_arg()) }
}
