//! Who may write to a directory: its owner and all of its mode, which Erlang's own file functions cut to the rights.

use crate::vm::atoms;
use rustler::{Encoder, Env, Term};

/// The user that the VM runs as, and the owner and mode of the directory: `{:ok, {user, owner, mode}}`; `:none` on
/// systems without such owners, `:error` where it can't be looked at.
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
