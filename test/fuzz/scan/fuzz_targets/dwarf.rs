//! Debug information that passes the scan can be read by the parser of backtraces, on a small stack, in about the memory
//! that the scan has counted.

#![no_main]

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use libfuzzer_sys::fuzz_target;
use scan::{Limit, Limits};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// As a dirty scheduler of the Erlang VM has it.
const STACK: usize = 320 * 1024;

/// The limit, and the memory that is a failure.
const WORK: u64 = 4 * 1024 * 1024;
const MOST: usize = 32 * 1024 * 1024;

const NAMES: [&str; 11] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_str",
    ".debug_line_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_aranges",
    ".debug_types",
];

type Sections = [Vec<u8>; NAMES.len()];

fuzz_target!(|sections: Sections| {
    let mut limits = Limits::default();
    limits.read_debug(true);
    limits.set(Limit::DebugWork, WORK);
    if scan::binary(&module(&sections), &limits).is_err() {
        return;
    }
    let thread = std::thread::Builder::new().stack_size(STACK);
    let before = USED.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let read = thread.spawn(move || read(&sections)).map(|thread| thread.join());
    assert!(matches!(read, Ok(Ok(_))));
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    assert!(peak < MOST, "{peak} bytes");
});

/// A module with these custom sections.
fn module(sections: &Sections) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    for (name, content) in NAMES.iter().zip(sections) {
        let mut body = leb(name.len());
        body.extend(name.as_bytes());
        body.extend(content);
        bytes.push(0);
        bytes.extend(leb(body.len()));
        bytes.extend(body);
    }
    bytes
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// As wasmtime does for each frame (`symbolize_context` and `FrameInfo::new`).
fn read(sections: &Sections) -> Option<()> {
    let dwarf = Dwarf::load(|id| {
        let place = NAMES.iter().position(|name| *name == id.name());
        let bytes = place.map_or(&[][..], |place| &sections[place]);
        Ok::<_, ()>(EndianSlice::new(bytes, LittleEndian))
    });
    let context = Context::from_dwarf(dwarf.ok()?).ok()?;
    for probe in [0, 1, 10, 0x100, 0x7fff_ffff, u64::from(u32::MAX)] {
        if let Ok(mut frames) = context.find_frames(probe).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                frame.function.map(|name| name.raw_name().map(|name| name.len()));
                frame.location.map(|location| location.file.map(str::len));
            }
        }
    }
    Some(())
}

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(used, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}
