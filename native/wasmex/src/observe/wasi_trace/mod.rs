//! WASI preview 1 with tracing: arguments, result and duration of each call.
//!
//! It calls the same functions as without tracing (`wasi::calls`), reading arguments before and results after. Source:
//! the interface definition (`wasi_snapshot_preview1.witx`).

use crate::guest::data::StoreData;
use crate::observe::trace::{Arg, Event, Log, Outcome};
use crate::wasi::calls as theirs;
use crate::wasi::context::View;
use crate::wasi::sockets::functions as calls;
use arguments::Kind::*;
use arguments::{Kind, Memory, each, input, number, output};
use names::*;
use std::sync::Arc;
use wasmtime::{Caller, Extern, Linker, Result, bail};
use wasmtime_wasi::I32Exit;
use wiggle::GuestMemory;

mod arguments;
mod names;

/// `fd`: a function on the guest's descriptors, `wait` and `call`: any other.
macro_rules! functions {
    ($linker:ident: $($how:ident $name:ident $(of $version:ident)? ($($arg:ident: $ty:ty),*) -> $ret:ty { $($kind:expr),* })*) => {
        $($linker.func_wrap_async(
            "wasi_snapshot_preview1",
            stringify!($name),
            |mut caller: Caller<'_, StoreData>, ($($arg,)*): ($($ty,)*)| {
                Box::new(async move {
                    const KINDS: &[Kind] = &[$($kind),*];
                    let params: &[u64] = &[$($arg.raw()),*];
                    let export = caller.get_export("memory");
                    let (mut memory, data) = match &export {
                        Some(Extern::Memory(memory)) => {
                            let (bytes, data) = memory.data_and_store_mut(&mut caller);
                            (GuestMemory::Unshared(bytes), data)
                        }
                        Some(Extern::SharedMemory(memory)) => {
                            (GuestMemory::Shared(memory.data()), caller.data_mut())
                        }
                        _ => bail!("missing required memory export"),
                    };
                    begin(data, stringify!($name), KINDS, params, &memory);
                    let p1 = data.p1_for_call();
                    let result: Result<$ret> = functions!(@$how p1, memory, [$($version::)? $name]($($arg),*));
                    let refusal = p1.net.take_refusal();
                    end(data, KINDS, params, &memory, &result, refusal);
                    result
                })
            },
        )?;)*
    };
    (@fd $p1:ident, $memory:ident, [$($name:tt)+]($($arg:ident),*)) => {
        calls::$($name)+($p1, &mut $memory, $($arg),*).await
    };
    (@wait $p1:ident, $memory:ident, [$($name:tt)+]($($arg:ident),*)) => {
        theirs::$($name)+(&mut $p1.ctx, &mut $memory, $($arg),*).await
    };
    (@call $p1:ident, $memory:ident, [$($name:tt)+]($($arg:ident),*)) => {
        theirs::$($name)+(&mut $p1.ctx, &mut $memory, $($arg),*)
    };
}

/// Adds all of preview 1, traced.
#[rustfmt::skip]
pub fn add_to_linker(linker: &mut Linker<StoreData>) -> Result<()> {
    functions! { linker:
        fd args_get(a: i32, b: i32) -> i32 { Hidden, Hidden }
        fd args_sizes_get(a: i32, b: i32) -> i32 { Out32("count"), Out32("size") }
        fd environ_get(a: i32, b: i32) -> i32 { Hidden, Hidden }
        fd environ_sizes_get(a: i32, b: i32) -> i32 { Out32("count"), Out32("size") }
        call clock_res_get(a: i32, b: i32) -> i32 { Name("id", CLOCKS), Out64("time") }
        call clock_time_get(a: i32, b: i64, c: i32) -> i32 { Name("id", CLOCKS), Hidden, Out64("time") }
        fd fd_advise(a: i32, b: i64, c: i64, d: i32) -> i32 { Number("fd"), Number("offset"), Number("len"), Name("advice", ADVICE) }
        fd fd_allocate(a: i32, b: i64, c: i64) -> i32 { Number("fd"), Number("offset"), Number("len") }
        fd fd_close(a: i32) -> i32 { Number("fd") }
        fd fd_datasync(a: i32) -> i32 { Number("fd") }
        fd fd_fdstat_get(a: i32, b: i32) -> i32 { Number("fd"), Hidden }
        fd fd_fdstat_set_flags(a: i32, b: i32) -> i32 { Number("fd"), Flags("flags", FD) }
        fd fd_fdstat_set_rights(a: i32, b: i64, c: i64) -> i32 { Number("fd"), Flags("rights", RIGHTS), Hidden }
        fd fd_filestat_get(a: i32, b: i32) -> i32 { Number("fd"), Hidden }
        fd fd_filestat_set_size(a: i32, b: i64) -> i32 { Number("fd"), Number("size") }
        fd fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32) -> i32 { Number("fd"), Number("atim"), Number("mtim"), Flags("which", TIMES) }
        fd fd_pread(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32 { Number("fd"), Read("data"), Number("offset"), Out32("count") }
        fd fd_prestat_get(a: i32, b: i32) -> i32 { Number("fd"), Hidden }
        fd fd_prestat_dir_name(a: i32, b: i32, c: i32) -> i32 { Number("fd"), Room("path") }
        fd fd_pwrite(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32 { Number("fd"), Written("data"), Number("offset"), Out32("count") }
        fd fd_read(a: i32, b: i32, c: i32, d: i32) -> i32 { Number("fd"), Read("data"), Out32("count") }
        fd fd_readdir(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32 { Number("fd"), Room("buffer"), Number("cookie"), Out32("count") }
        fd fd_renumber(a: i32, b: i32) -> i32 { Number("fd"), Number("to") }
        fd fd_seek(a: i32, b: i64, c: i32, d: i32) -> i32 { Number("fd"), Number("offset"), Name("whence", WHENCE), Out64("position") }
        fd fd_sync(a: i32) -> i32 { Number("fd") }
        fd fd_tell(a: i32, b: i32) -> i32 { Number("fd"), Out64("position") }
        fd fd_write(a: i32, b: i32, c: i32, d: i32) -> i32 { Number("fd"), Written("data"), Out32("count") }
        fd path_create_directory(a: i32, b: i32, c: i32) -> i32 { Number("fd"), Path("path") }
        fd path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 { Number("fd"), Flags("flags", LOOKUP), Path("path"), Hidden }
        fd path_filestat_set_times(a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32) -> i32 { Number("fd"), Flags("flags", LOOKUP), Path("path"), Number("atim"), Number("mtim"), Flags("which", TIMES) }
        fd path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32 { Number("fd"), Flags("flags", LOOKUP), Path("path"), Number("new_fd"), Path("new_path") }
        fd path_open(a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32) -> i32 { Number("fd"), Hidden, Path("path"), Flags("open", OPEN), Flags("rights", RIGHTS), Hidden, Flags("flags", FD), Out32("fd") }
        fd path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32 { Number("fd"), Path("path"), Room("buffer"), Out32("count") }
        fd path_remove_directory(a: i32, b: i32, c: i32) -> i32 { Number("fd"), Path("path") }
        fd path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32 { Number("fd"), Path("path"), Number("new_fd"), Path("new_path") }
        fd path_symlink(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 { Path("path"), Number("fd"), Path("new_path") }
        fd path_unlink_file(a: i32, b: i32, c: i32) -> i32 { Number("fd"), Path("path") }
        fd poll_oneoff(a: i32, b: i32, c: i32, d: i32) -> i32 { Hidden, Hidden, Number("subscriptions"), Out32("events") }
        call proc_exit(a: i32) -> () { Number("status") }
        call proc_raise(a: i32) -> i32 { Number("signal") }
        call sched_yield() -> i32 { }
        wait random_get(a: i32, b: i32) -> i32 { Room("buffer") }
        fd sock_accept(a: i32, b: i32, c: i32) -> i32 { Number("fd"), Flags("flags", FD), Out32("fd") }
        fd sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32 { Number("fd"), Room("data"), Number("flags"), Out32("count"), Hidden }
        fd sock_send(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 { Number("fd"), Written("data"), Number("flags"), Out32("count") }
        fd sock_shutdown(a: i32, b: i32) -> i32 { Number("fd"), Number("how") }
    }
    Ok(())
}

/// Adds the functions for sockets, traced.
#[rustfmt::skip]
pub fn add_sockets(linker: &mut Linker<StoreData>) -> Result<()> {
    functions! { linker:
        fd sock_open(a: i32, b: i32, c: i32) -> i32 { Name("family", FAMILIES), Name("type", SOCKET_TYPES), Out32("fd") }
        fd sock_bind(a: i32, b: i32, c: i32) -> i32 { Number("fd"), To("address") }
        fd sock_listen(a: i32, b: i32) -> i32 { Number("fd"), Number("backlog") }
        fd sock_connect(a: i32, b: i32, c: i32) -> i32 { Number("fd"), To("address") }
        fd sock_send_to(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32 { Number("fd"), Written("data"), To("address"), Number("flags"), Out32("count") }
        fd sock_getsockopt(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 { Number("fd"), Number("level"), Name("option", SOCKET_OPTIONS), Out32("value"), Hidden }
        fd sock_setsockopt(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 { Number("fd"), Number("level"), Name("option", SOCKET_OPTIONS), In32("value"), Hidden }
        fd sock_getaddrinfo(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i32) -> i32 { Path("name"), Path("service"), Hidden, Hidden, Number("most"), Out32("found") }
    }
    Ok(())
}

/// Adds the functions that differ in version 1, traced.
#[rustfmt::skip]
pub fn add_sockets_v1(linker: &mut Linker<StoreData>) -> Result<()> {
    linker.allow_shadowing(true);
    functions! { linker:
        fd sock_accept of v1(a: i32, b: i32) -> i32 { Number("fd"), Out32("fd") }
        fd sock_getlocaladdr of v1(a: i32, b: i32, c: i32, d: i32) -> i32 { Number("fd"), FromV1("address") }
        fd sock_getpeeraddr of v1(a: i32, b: i32, c: i32, d: i32) -> i32 { Number("fd"), FromV1("address") }
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Adds the functions that differ in version 2, traced.
#[rustfmt::skip]
pub fn add_sockets_v2(linker: &mut Linker<StoreData>) -> Result<()> {
    functions! { linker:
        fd sock_getlocaladdr(a: i32, b: i32, c: i32) -> i32 { Number("fd"), From("address", 2) }
        fd sock_getpeeraddr(a: i32, b: i32, c: i32) -> i32 { Number("fd"), From("address", 2) }
    }
    Ok(())
}

/// Adds functions for messages with sender addresses, traced.
#[rustfmt::skip]
pub fn add_recv_from(linker: &mut Linker<StoreData>) -> Result<()> {
    functions! { linker:
        fd sock_recv_from(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i32) -> i32 { Number("fd"), Read("data"), From("address", 3), Out32("count"), Hidden }
    }
    Ok(())
}

/// The same in version 1.
#[rustfmt::skip]
pub fn add_recv_from_v1(linker: &mut Linker<StoreData>) -> Result<()> {
    functions! { linker:
        fd sock_recv_from of v1(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32 { Number("fd"), Read("data"), Hidden, Number("flags"), Out32("count"), Hidden }
    }
    Ok(())
}

trait Raw {
    fn raw(self) -> u64;
}

impl Raw for i32 {
    fn raw(self) -> u64 {
        u64::from(self.cast_unsigned())
    }
}

impl Raw for i64 {
    fn raw(self) -> u64 {
        self.cast_unsigned()
    }
}

trait Code {
    fn code(&self) -> i32;
}

impl Code for i32 {
    fn code(&self) -> i32 {
        *self
    }
}

impl Code for () {
    fn code(&self) -> i32 {
        0
    }
}

fn begin(data: &StoreData, name: &'static str, kinds: &[Kind], params: &[u64], memory: &Memory) {
    let Some(log) = data.slots.get::<Arc<Log>>() else {
        return;
    };
    let event = Event {
        name,
        args: each(kinds, params)
            .filter_map(|(kind, params)| input(kind, params, memory))
            .collect(),
        outcome: Outcome::Unfinished,
        outputs: Vec::new(),
        nanoseconds: 0,
    };
    log.lock().begin(event);
}

fn end<T: Code>(
    data: &StoreData,
    kinds: &[Kind],
    params: &[u64],
    memory: &Memory,
    result: &Result<T>,
    refusal: Option<String>,
) {
    let Some(log) = data.slots.get::<Arc<Log>>() else {
        return;
    };
    let (outcome, outputs) = match result {
        Ok(code) if code.code() == 0 => {
            let count = each(kinds, params).find_map(|(kind, params)| match kind {
                Out32("count") => number(params[0], 4, memory),
                _ => None,
            });
            let outputs = each(kinds, params)
                .filter_map(|(kind, params)| output(kind, params, memory, count))
                .collect();
            (Outcome::Errno("ok"), outputs)
        }
        Ok(code) => {
            let name = usize::try_from(code.code())
                .ok()
                .and_then(|code| ERRNO.get(code));
            let why = refusal.map(|why| ("refused", Arg::Text(why.into_bytes())));
            let outputs = why.into_iter().collect();
            (Outcome::Errno(name.unwrap_or(&"unknown_errno")), outputs)
        }
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => (Outcome::Exit(exit.0), Vec::new()),
            None => (Outcome::Trap, Vec::new()),
        },
    };
    log.lock().end(outcome, outputs);
}
