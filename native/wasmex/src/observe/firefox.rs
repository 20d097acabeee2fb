//! Profiles in the format of <https://profiler.firefox.com>.
//!
//! wasmtime's `GuestProfiler` writes the same format, but when created it demangles every function name of the module,
//! without a limit.

use crate::guest::ticker::TICK;
use fxprof_processed_profile as format;
use fxprof_processed_profile::{
    Frame, FrameFlags, FrameInfo, Profile, ReferenceTimestamp, Timestamp,
};
use std::time::{Duration, Instant, SystemTime};

/// Collects samples in the format of the Firefox profiler.
pub struct Firefox {
    profile: Profile,
    process: format::ProcessHandle,
    thread: format::ThreadHandle,
    /// The frame of each function, in the order added.
    frames: Vec<FrameInfo>,
    started: Instant,
}

impl Firefox {
    /// An empty profile of a program with this name, starting now.
    pub fn new(name: &str) -> Self {
        let zero = Timestamp::from_nanos_since_reference(0);
        let now = ReferenceTimestamp::from(SystemTime::now());
        let mut profile = Profile::new(name, now, TICK.into());
        let process = profile.add_process(name, 0, zero);
        let thread = profile.add_thread(process, 0, zero, true);
        Firefox {
            profile,
            process,
            thread,
            frames: Vec::new(),
            started: Instant::now(),
        }
    }

    /// Samples refer to functions by the order in which they were added.
    pub fn add_function(&mut self, name: &str) {
        self.frames.push(FrameInfo {
            frame: Frame::Label(self.profile.intern_string(name)),
            category_pair: format::CategoryHandle::OTHER.into(),
            flags: FrameFlags::empty(),
        });
    }

    /// Adds a sample: the guest's stack, outermost function first, and the CPU time used since the last one.
    pub fn sample(&mut self, stack: &[usize], used: Duration) {
        let now = self.now();
        let frames = stack
            .iter()
            .filter_map(|place| self.frames.get(*place).cloned());
        let stack = self.profile.intern_stack_frames(self.thread, frames);
        self.profile
            .add_sample(self.thread, now, stack, used.into(), 1);
    }

    /// The profile as JSON.
    pub fn finish(mut self) -> serde_json::Result<Vec<u8>> {
        let now = self.now();
        self.profile.set_thread_end_time(self.thread, now);
        self.profile.set_process_end_time(self.process, now);
        serde_json::to_vec(&self.profile)
    }

    fn now(&self) -> Timestamp {
        let nanoseconds = u64::try_from(self.started.elapsed().as_nanos());
        Timestamp::from_nanos_since_reference(nanoseconds.unwrap_or(u64::MAX))
    }
}
