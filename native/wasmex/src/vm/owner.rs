//! Who may write to a directory: its owner and its full mode, which Erlang's own file functions mask.

use crate::vm::atoms;
use rustler::{Encoder, Env, Term};

/// The user of the VM, and the owner and mode of the directory: `{:ok, {user, owner, mode}}`; `:none` on systems
/// without such owners, `:error` if it cannot be read.
#[rustler::nif(schedule = "DirtyIo")]
fn directory_owner<'a>(env: Env<'a>, path: &str) -> Term<'a> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        match std::fs::metadata(path) {
            Ok(data) => {
                let user = rustix::process::geteuid().as_raw();
                (atoms::ok(), (user, data.uid(), data.mode() & 0o7777)).encode(env)
            }
            Err(_) => atoms::error().encode(env),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        atoms::none().encode(env)
    }
}
