//! Adds the functions of preview 1 to a linker, on the guest's own descriptors for both files and sockets.

use crate::vm::resting::Resting;
use crate::wasi::calls;
use crate::wasi::context::View;
use crate::wasi::p1::NAMESPACE;
use crate::wasi::sockets::functions;
use crate::wasi::sockets::poll::Nap;
use crate::wasi::sockets::state::P1;
use wasmtime::{Caller, Extern, Linker, Result};
use wasmtime_wasi::p1;
use wiggle::GuestMemory;

/// `fd`: a function on the guest's descriptors, which may wait. `call`: any other, which does not.
macro_rules! define {
    ($linker:ident: $($how:ident $name:ident $(of $version:ident)? ($($arg:ident: $ty:ty),*) -> $ret:ty)*) => {
        $(define! { @$how $linker $name [$($version::)? $name] ($($arg: $ty),*) -> $ret })*
    };
    (@fd $linker:ident $name:ident [$($path:tt)+] ($($arg:ident: $ty:ty),*) -> $ret:ty) => {
        $linker.func_wrap_async(
            NAMESPACE,
            stringify!($name),
            |mut caller: Caller<'_, T>, ($($arg,)*): ($($ty,)*)| {
                Box::new(Resting::new(async move {
                    let memory = memory(&mut caller)?;
                    let (p1, mut memory) = parts(&mut caller, &memory);
                    functions::$($path)+(p1, &mut memory, $($arg),*).await
                }))
            },
        )?;
    };
    (@wait $linker:ident $name:ident [$($path:tt)+] ($($arg:ident: $ty:ty),*) -> $ret:ty) => {
        $linker.func_wrap_async(
            NAMESPACE,
            stringify!($name),
            |mut caller: Caller<'_, T>, ($($arg,)*): ($($ty,)*)| {
                Box::new(async move {
                    let memory = memory(&mut caller)?;
                    let (p1, mut memory) = parts(&mut caller, &memory);
                    calls::$name(&mut p1.ctx, &mut memory, $($arg),*).await
                })
            },
        )?;
    };
    (@call $linker:ident $name:ident [$($path:tt)+] ($($arg:ident: $ty:ty),*) -> $ret:ty) => {
        $linker.func_wrap(
            NAMESPACE,
            stringify!($name),
            |mut caller: Caller<'_, T>, $($arg: $ty),*| -> Result<$ret> {
                let memory = memory(&mut caller)?;
                let (p1, mut memory) = parts(&mut caller, &memory);
                calls::$name(&mut p1.ctx, &mut memory, $($arg),*)
            },
        )?;
    };
}

/// All of preview 1: wasmtime's functions, some replaced by ours.
pub fn preview1<T: View>(linker: &mut Linker<T>) -> Result<()> {
    p1::add_to_linker_async(linker, View::wasi)?;
    linker.allow_shadowing(true);
    define! { linker:
        fd args_get(a: i32, b: i32) -> i32
        fd args_sizes_get(a: i32, b: i32) -> i32
        call clock_res_get(a: i32, b: i32) -> i32
        call clock_time_get(a: i32, b: i64, c: i32) -> i32
        fd environ_get(a: i32, b: i32) -> i32
        fd environ_sizes_get(a: i32, b: i32) -> i32
        fd fd_advise(a: i32, b: i64, c: i64, d: i32) -> i32
        fd fd_allocate(a: i32, b: i64, c: i64) -> i32
        fd fd_close(a: i32) -> i32
        fd fd_datasync(a: i32) -> i32
        fd fd_fdstat_get(a: i32, b: i32) -> i32
        fd fd_fdstat_set_flags(a: i32, b: i32) -> i32
        fd fd_fdstat_set_rights(a: i32, b: i64, c: i64) -> i32
        fd fd_filestat_get(a: i32, b: i32) -> i32
        fd fd_filestat_set_size(a: i32, b: i64) -> i32
        fd fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32) -> i32
        fd fd_pread(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32
        fd fd_prestat_dir_name(a: i32, b: i32, c: i32) -> i32
        fd fd_prestat_get(a: i32, b: i32) -> i32
        fd fd_pwrite(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32
        fd fd_read(a: i32, b: i32, c: i32, d: i32) -> i32
        fd fd_readdir(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32
        fd fd_renumber(a: i32, b: i32) -> i32
        fd fd_seek(a: i32, b: i64, c: i32, d: i32) -> i32
        fd fd_sync(a: i32) -> i32
        fd fd_tell(a: i32, b: i32) -> i32
        fd fd_write(a: i32, b: i32, c: i32, d: i32) -> i32
        fd path_create_directory(a: i32, b: i32, c: i32) -> i32
        fd path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32
        fd path_filestat_set_times(a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32) -> i32
        fd path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32
        fd path_open(a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32) -> i32
        fd path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32
        fd path_remove_directory(a: i32, b: i32, c: i32) -> i32
        fd path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32
        fd path_symlink(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32
        fd path_unlink_file(a: i32, b: i32, c: i32) -> i32
        call proc_exit(a: i32) -> ()
        call proc_raise(a: i32) -> i32
        wait random_get(a: i32, b: i32) -> i32
        fd sock_accept(a: i32, b: i32, c: i32) -> i32
        fd sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32
        fd sock_send(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32
        fd sock_shutdown(a: i32, b: i32) -> i32
    }
    poll_oneoff(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn poll_oneoff<T: View>(linker: &mut Linker<T>) -> Result<()> {
    linker.func_wrap_async(
        NAMESPACE,
        "poll_oneoff",
        |mut caller: Caller<'_, T>, (subscriptions, events, count, happened)| {
            Box::new(Resting::new(async move {
                let memory = memory(&mut caller)?;
                let (guest, _) = apart(&mut caller, &memory);
                if let Some(nap) = Nap::new(&guest, subscriptions, events, count) {
                    nap.sleep().await;
                    let (mut guest, _) = apart(&mut caller, &memory);
                    return nap.report(&mut guest, events, happened);
                }
                let (p1, mut guest) = parts(&mut caller, &memory);
                // Boxed: it is large, and would enlarge the state of every nap.
                let polled =
                    functions::poll_oneoff(p1, &mut guest, subscriptions, events, count, happened);
                Box::pin(polled).await
            }))
        },
    )?;
    Ok(())
}

/// WasmEdge's additional socket functions, the same in both versions.
pub fn sockets<T: View>(linker: &mut Linker<T>) -> Result<()> {
    define! { linker:
        fd sock_open(a: i32, b: i32, c: i32) -> i32
        fd sock_bind(a: i32, b: i32, c: i32) -> i32
        fd sock_listen(a: i32, b: i32) -> i32
        fd sock_connect(a: i32, b: i32, c: i32) -> i32
        fd sock_send_to(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32
        fd sock_getsockopt(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32
        fd sock_setsockopt(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32
        fd sock_getaddrinfo(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i32) -> i32
    }
    Ok(())
}

/// The functions that differ, in version 2.
pub fn sockets_v2<T: View>(linker: &mut Linker<T>) -> Result<()> {
    define! { linker:
        fd sock_getlocaladdr(a: i32, b: i32, c: i32) -> i32
        fd sock_getpeeraddr(a: i32, b: i32, c: i32) -> i32
    }
    Ok(())
}

/// Messages with sender addresses, in version 2. Separate because Rust's crate uses version 1 of these.
pub fn recv_from<T: View>(linker: &mut Linker<T>) -> Result<()> {
    define! { linker:
        fd sock_recv_from(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i32) -> i32
    }
    Ok(())
}

/// The same in version 1.
pub fn recv_from_v1<T: View>(linker: &mut Linker<T>) -> Result<()> {
    define! { linker:
        fd sock_recv_from of v1(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32
    }
    Ok(())
}

/// The functions that differ, in version 1; its `sock_accept` replaces the standard one.
pub fn sockets_v1<T: View>(linker: &mut Linker<T>) -> Result<()> {
    linker.allow_shadowing(true);
    define! { linker:
        fd sock_accept of v1(a: i32, b: i32) -> i32
        fd sock_getlocaladdr of v1(a: i32, b: i32, c: i32, d: i32) -> i32
        fd sock_getpeeraddr of v1(a: i32, b: i32, c: i32, d: i32) -> i32
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// The calling instance's memory, which must have this name in the interface.
fn memory<T: View>(caller: &mut Caller<'_, T>) -> Result<Extern> {
    let export = caller.get_export("memory");
    export.ok_or_else(|| wasmtime::Error::msg("missing required memory export"))
}

/// The store's preview 1 state, ready for a call, and the caller's memory.
fn parts<'a, T: View>(
    caller: &'a mut Caller<'_, T>,
    memory: &'a Extern,
) -> (&'a mut P1, GuestMemory<'a>) {
    let (memory, data) = apart(caller, memory);
    (data.p1_for_call(), memory)
}

/// The memory and the store's data.
fn apart<'a, T: View>(
    caller: &'a mut Caller<'_, T>,
    memory: &'a Extern,
) -> (GuestMemory<'a>, &'a mut T) {
    match memory {
        Extern::Memory(memory) => {
            let (bytes, data) = memory.data_and_store_mut(caller);
            (GuestMemory::Unshared(bytes), data)
        }
        Extern::SharedMemory(memory) => (GuestMemory::Shared(memory.data()), caller.data_mut()),
        _ => (GuestMemory::Unshared(&mut []), caller.data_mut()),
    }
}
