//! SHA-256, for artefacts and their names in the disk cache. Loading OTP's `crypto` for it takes a fifth of the time in which
//! a command starts.

use rustler::{Binary, Env, Term};
use sha2::{Digest, Sha256};

use crate::vm::terms::binary;

/// The digest of the parts, one after the other. Artefacts are large.
#[rustler::nif(schedule = "DirtyCpu")]
fn digest_sha256<'a>(env: Env<'a>, parts: Vec<Binary<'a>>) -> Term<'a> {
    let mut digest = Sha256::new();
    for part in &parts {
        digest.update(part.as_slice());
    }
    binary(env, &digest.finalize())
}
