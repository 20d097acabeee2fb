//! The parts of plug-ins that need no VM: which blocks are handed out, what variables may take, which hosts match.

#![cfg(not(loom))]

use pure::blocks::{Blocks, Place};
use pure::pattern::matches;
use pure::vars::Vars;

const PAGE: u64 = 65_536;

fn at(blocks: &mut Blocks, length: u64) -> u64 {
    match blocks.place(length, PAGE) {
        Place::At(offset) => offset,
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocks_have_their_length_where_they_begin() {
    let mut blocks = Blocks::default();
    let (first, second) = (at(&mut blocks, 20), at(&mut blocks, 1));
    assert_eq!((first, second), (64, 96));
    assert_eq!(blocks.length(first), 20);
    assert_eq!(blocks.length(second), 1);
    assert_eq!(blocks.length(first + 1), 0);
    assert_eq!(blocks.length(0), 0);
    assert_eq!(blocks.length(u64::MAX), 0);
    assert_eq!(blocks.rest(first + 15), 5);
    assert_eq!(blocks.rest(first + 25), 0);
    assert_eq!(blocks.rest(3), 0);
}

#[test]
fn what_is_free_is_freed_once() {
    let mut blocks = Blocks::default();
    let offset = at(&mut blocks, 20);
    assert!(blocks.free(offset));
    assert!(!blocks.free(offset));
    assert!(!blocks.free(offset + 1));
    assert!(!blocks.free(0));
    assert_eq!(blocks.length(offset), 0);
}

#[test]
fn a_full_memory_uses_what_was_freed() {
    let mut blocks = Blocks::default();
    let large = at(&mut blocks, 60_000);
    assert!(blocks.free(large));
    assert_eq!(blocks.place(60_000, PAGE), Place::At(large));
    assert_eq!(blocks.place(60_000, PAGE), Place::Grow(64 + 120_000));
    blocks.free(large);
    // Not for something small, unless there is nothing else.
    at(&mut blocks, 5_000);
    assert!(matches!(blocks.place(1_000, PAGE), Place::Grow(_)));
    assert_eq!(blocks.place_anywhere(1_000), Some(large));
    assert_eq!(blocks.place_anywhere(1_000), None);
}

#[test]
fn what_no_memory_has_is_nowhere() {
    let mut blocks = Blocks::default();
    for length in [1 << 32, 1 << 62, u64::MAX] {
        assert_eq!(blocks.place(length, PAGE), Place::Nowhere);
        assert_eq!(blocks.place_anywhere(length), None);
    }
}

#[test]
fn forgotten_blocks_leave_their_bytes_behind() {
    let mut blocks = Blocks::default();
    let offset = at(&mut blocks, 100);
    assert_eq!(blocks.stale(offset, 100), 0);
    blocks.reset();
    assert_eq!(blocks.length(offset), 0);
    let again = at(&mut blocks, 1_000);
    assert_eq!(again, offset);
    assert_eq!(blocks.stale(again, 1_000), 112);
}

#[test]
fn replacing_counts_old_and_new() {
    let mut vars = Vars::new(200);
    assert!(vars.set("k", vec![0; 100]).is_ok());
    assert_eq!(vars.set("k", vec![1; 100]), Err("Variable store is full"));
    assert_eq!(vars.get("k").as_deref(), Some(&vec![0; 100]));
    assert!(vars.unset("k").is_ok());
    assert!(vars.set("k", vec![1; 151]).is_ok());
    assert_eq!(vars.set("l", vec![]), Err("Variable store is full"));
}

#[test]
fn none_are_allowed_with_zero() {
    let mut vars = Vars::new(0);
    assert!(vars.set("k", vec![]).is_err());
    assert!(vars.unset("k").is_err());
    assert_eq!(vars.get("k"), None);
}

#[test]
fn patterns() {
    for pattern in [
        "*",
        "127.*",
        "???.0.0.1",
        "[1]27.0.0.1",
        "[0-9]*.0.0.1",
        "**",
        "127.0.0.1",
    ] {
        assert!(matches(pattern, "127.0.0.1"), "{pattern}");
    }
    for pattern in [
        "127.0.0.1:80",
        "http://127.0.0.1",
        "{127.0.0.1,x}",
        "[",
        "",
        "[!1]*",
        "127.0.0.?x",
    ] {
        assert!(!matches(pattern, "127.0.0.1"), "{pattern}");
    }
    assert!(matches("*.example.*", "a.b.example.org"));
    assert!(!matches("*.example.org", "example.org"));
    assert!(!matches("LOCALHOST", "localhost"));
    assert!(matches("[]-]x", "]x"));
}
