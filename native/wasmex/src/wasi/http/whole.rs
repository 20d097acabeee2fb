//! Reads whole bodies into memory that becomes a binary of the VM without a copy.

use http_body::Body;
use http_body_util::BodyExt;
use rustler::OwnedBinary;
use wasmtime_wasi_http::{Error, WasiBody};

/// Memory for a body whose length is stated, before its bytes arrive.
const AT_FIRST: u64 = 1 << 20;

/// Reads a body to its end. `take` is asked before each part is kept.
pub async fn read(
    mut body: WasiBody,
    mut take: impl FnMut(usize) -> Result<(), Error>,
) -> Result<OwnedBinary, Error> {
    let mut whole = Whole::new(body.size_hint().lower().min(AT_FIRST) as usize);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            take(data.len())?;
            whole.push(&data)?;
        }
    }
    Ok(whole.finish())
}

/// A binary that grows.
struct Whole {
    bytes: OwnedBinary,
    length: usize,
}

impl Whole {
    fn new(room: usize) -> Self {
        Whole {
            bytes: OwnedBinary::new(room),
            length: 0,
        }
    }

    fn push(&mut self, data: &[u8]) -> Result<(), Error> {
        let end = self.length + data.len();
        if end > self.bytes.len() && !self.bytes.realloc(end.max(2 * self.bytes.len())) {
            return Err(Error::InternalError(Some("no memory for the body".into())));
        }
        self.bytes.as_mut_slice()[self.length..end].copy_from_slice(data);
        self.length = end;
        Ok(())
    }

    fn finish(mut self) -> OwnedBinary {
        match self.bytes.realloc(self.length) {
            true => self.bytes,
            false => OwnedBinary::from_slice(&self.bytes[..self.length]),
        }
    }
}
