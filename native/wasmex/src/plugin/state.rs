//! What a plug-in's store holds of it between calls: memory, variables, configuration.

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

/// `Wasmex.Plugin.Settings` after Elixir has checked it.
#[derive(NifStruct)]
#[module = "Wasmex.Plugin.Settings"]
pub struct Settings {
    pub config: HashMap<String, String>,
    /// Pages that all memories may grow by once the plug-in is made; `None` for any number.
    pub max_pages: Option<u64>,
    pub max_var_bytes: u64,
    pub max_http_response_bytes: u64,
    pub allowed_hosts: Vec<String>,
    pub http_response_headers: bool,
    /// 0 for trace to 4 for error; what is above says that nothing is logged.
    pub log_level: i32,
}

/// The kernel's words, kept while another call has its own.
pub type Words = [u8; WORDS];

/// Bytes of them, see kernel.wat.
pub const WORDS: usize = 48;

/// What the store of a plug-in holds of it.
pub struct State {
    /// The library's own functions of Elixir, by their places in the table.
    own: [Import; 2],
    /// `None` until it is instantiated.
    pub running: Option<Running>,
    pub blocks: Blocks,
    pub vars: Vars,
    pub config: HashMap<String, String>,
    pub http: Http,
    pub log_level: i32,
    pub max_pages: Option<u64>,
    /// What the calls that are suspended in a host function had in the kernel's words when another began.
    pub outer: Vec<Words>,
    /// How many calls are suspended in a host function.
    suspended: Arc<AtomicU32>,
    /// `_start` has run: the next call gets a new store.
    pub spent: bool,
}

/// The instance of a plug-in.
pub struct Running {
    /// The kernel's.
    pub memory: Memory,
    pub instance: Instance,
    /// Functions that were called before.
    pub functions: HashMap<Box<[u8]>, Function>,
}

/// An export that can be called.
#[derive(Clone)]
pub enum Function {
    /// Its result is 0 or the code of an error.
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

    /// One of the library's own functions of Elixir.
    pub fn own(&self, index: u32) -> Import {
        self.own[(index as usize).min(self.own.len() - 1)].clone()
    }

    /// The plug-in's, of a store that has one.
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

    /// Whether a call that begins now does so within another.
    pub fn is_nested(&self) -> bool {
        self.suspended.load(Ordering::Relaxed) > 0
    }

    /// Says that a call is suspended, until the guard is dropped: with the call, where that is cut off.
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
