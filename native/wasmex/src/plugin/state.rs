//! A plug-in's state in its store between calls: memory, variables, configuration.

use crate::guest::data::StoreData;
use crate::guest::suspension::Import;
use crate::plugin::blocks::Blocks;
use crate::plugin::requests::{Http, Sending};
use crate::plugin::vars::Vars;
use rustler::NifStruct;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wasmtime::{Instance, Memory, TypedFunc};

/// The namespace of the ABI's functions.
pub const ENV: &str = "extism:host/env";

/// `Wasmex.Plugin.Settings`, checked by Elixir.
#[derive(NifStruct)]
#[module = "Wasmex.Plugin.Settings"]
pub struct Settings {
    pub config: HashMap<String, String>,
    /// Pages by which all memories may grow once the plug-in is created; `None` for no limit.
    pub max_pages: Option<u64>,
    pub max_var_bytes: u64,
    pub max_http_response_bytes: u64,
    pub allowed_hosts: Vec<String>,
    pub http_response_headers: bool,
    /// 0 for trace to 4 for error; higher values disable logging.
    pub log_level: i32,
}

/// The kernel's words, saved during a nested call.
pub type Words = [u8; WORDS];

/// Their size in bytes, see kernel.wat.
pub const WORDS: usize = 48;

/// The plug-in's part of a store.
pub struct State {
    /// The library's own Elixir functions, by index in the table.
    own: [Import; 2],
    /// `None` until it is instantiated.
    pub running: Option<Running>,
    pub blocks: Blocks,
    pub vars: Vars,
    pub config: HashMap<String, String>,
    pub http: Http,
    pub log_level: i32,
    pub max_pages: Option<u64>,
    /// The saved words of calls suspended in a host function with a nested call.
    pub outer: Vec<Words>,
    /// Number of calls suspended in a host function.
    suspended: Arc<AtomicU32>,
    /// `_start` has run, so the next call gets a new store.
    pub spent: bool,
}

/// The instance of a plug-in.
pub struct Running {
    /// The kernel's exports.
    pub memory: Memory,
    pub instance: Instance,
    /// Functions called before.
    pub functions: HashMap<Box<[u8]>, Function>,
}

/// A callable export.
#[derive(Clone)]
pub enum Function {
    /// Returns 0 or an error code.
    Code(TypedFunc<(), i32>),
    Silent(TypedFunc<(), ()>),
}

impl State {
    /// The state before the plug-in is instantiated.
    pub fn new(own: [Import; 2], sending: Sending, settings: Settings) -> Self {
        let most = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        State {
            own,
            running: None,
            blocks: Blocks::default(),
            vars: Vars::new(most(settings.max_var_bytes)),
            config: settings.config,
            http: Http::new(
                sending,
                settings.allowed_hosts,
                settings.max_http_response_bytes,
                settings.http_response_headers,
            ),
            log_level: settings.log_level,
            max_pages: settings.max_pages,
            outer: Vec::new(),
            suspended: Arc::default(),
            spent: false,
        }
    }

    /// One of the library's own Elixir functions.
    pub fn own(&self, index: u32) -> Import {
        self.own[(index as usize).min(self.own.len() - 1)].clone()
    }

    /// The plug-in state of a store that has one.
    pub fn of(data: &mut StoreData) -> wasmtime::Result<&mut State> {
        data.slots
            .get_mut::<State>()
            .ok_or_else(|| wasmtime::Error::msg("there is no plug-in in this store"))
    }

    /// The instance, or an error before the plug-in is instantiated.
    pub fn running(&mut self) -> wasmtime::Result<&mut Running> {
        self.running
            .as_mut()
            .ok_or_else(|| wasmtime::Error::msg("the plug-in is not instantiated"))
    }

    /// Whether a call that begins now is nested.
    pub fn is_nested(&self) -> bool {
        self.suspended.load(Ordering::Relaxed) > 0
    }

    /// Marks a call as suspended until the guard is dropped: at its end, or when it is cut off.
    pub fn suspend(&self) -> Suspended {
        self.suspended.fetch_add(1, Ordering::Relaxed);
        Suspended(self.suspended.clone())
    }
}

/// Marks a call as suspended in a host function, until it is dropped.
pub struct Suspended(Arc<AtomicU32>);

impl Drop for Suspended {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
