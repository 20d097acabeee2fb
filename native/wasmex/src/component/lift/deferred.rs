//! Values that become terms at once, or on a dirty scheduler if there are many.

use super::Lifter;
use super::handles::Handles;
use super::source::{Source, TooLong, slice};
use crate::component::internal::{LiftContext, StringEncoding};
use crate::component::mapping::Mapping;
use crate::component::resource::handle::HandleResource;
use crate::component::types::flat;
use crate::component::types::shape::Shape;
use crate::guest::handoff;
use crate::guest::suspension::ImportRaised;
use crate::vm::env;
use crate::vm::resource::ResourceArc;
use rustler::sys::ErlNifTerm;
use smallvec::SmallVec;
use std::sync::Arc;
use wasmtime::{Result, ValRaw};

/// The items of a tuple, which arguments and results are.
pub enum Values<'v> {
    /// As core values.
    Flat(&'v [ValRaw]),
    /// In memory, at a pointer.
    At(u32),
}

/// Values as terms of the polling NIF.
pub struct Terms {
    /// A list.
    pub list: ErlNifTerm,
    /// Borrowed handles: they end with the call of the import that received them.
    pub borrowed: Vec<ResourceArc<HandleResource>>,
}

/// What becomes of values.
pub enum Lifted {
    /// They are terms.
    Now(Terms),
    /// They take longer than a slice.
    Later(Box<Deferred>),
}

/// Values in a guest's memory that become terms later.
pub struct Deferred {
    memory: *const [u8],
    encoding: StringEncoding,
    fuel: usize,
    mapping: Mapping,
    shape: Arc<Shape>,
    root: Root,
    handles: Handles,
}

enum Root {
    Here(Bytes),
    At(u32),
}

/// Values of this size in bytes need no allocation.
type Bytes = SmallVec<[u8; 64]>;

// SAFETY: the memory is only read by `lift`, whose condition does not depend on the thread.
unsafe impl Send for Deferred {}
// SAFETY: as above; nothing is read through a shared reference.
unsafe impl Sync for Deferred {}

/// Lifts values of a tuple type. On a normal scheduler that takes a slice at most.
pub fn lift(
    cx: &mut LiftContext<'_>,
    mapping: Mapping,
    shape: Arc<Shape>,
    values: Values,
) -> Result<Lifted> {
    let memory = cx.memory();
    let mut here = Bytes::new();
    let bytes = match values {
        Values::Flat(values) => {
            here.resize(shape.size, 0);
            flat::unflatten(&shape, &mut values.iter(), &mut here)?;
            &here[..]
        }
        Values::At(at) => slice(memory, at as usize, shape.size, shape.align)?,
    };
    let mut handles = match shape.handles {
        true => Handles::take(cx, &shape, bytes)?,
        false => Handles::default(),
    };
    // Values without pointers have no strings.
    let encoding = match shape.indirect {
        true => cx.options().string_encoding,
        false => StringEncoding::Utf8,
    };
    let fuel = handoff::hostcall_fuel();
    let source = Source::sliced(memory, encoding, fuel);
    match lift_from(source, mapping, &shape, bytes, &mut handles) {
        Ok(list) => Ok(Lifted::Now(Terms {
            list,
            borrowed: handles.finish()?,
        })),
        Err(error) if error.is::<TooLong>() => Ok(Lifted::Later(Box::new(Deferred {
            memory,
            encoding,
            fuel,
            mapping,
            shape,
            root: match values {
                Values::Flat(_) => Root::Here(here),
                Values::At(at) => Root::At(at),
            },
            handles,
        }))),
        Err(error) => Err(error),
    }
}

impl Deferred {
    /// Lifts the values, on whichever scheduler this is.
    ///
    /// # Safety
    /// No guest of the store has run since they were put off, so that the memory is the same.
    pub unsafe fn lift(mut self) -> Result<Terms> {
        // SAFETY: by this function's own condition, and the store is alive, since its guest's call is in progress.
        let memory = unsafe { &*self.memory };
        let source = Source::whole(memory, self.encoding, self.fuel);
        let bytes = match &self.root {
            Root::Here(bytes) => &bytes[..],
            Root::At(at) => slice(memory, *at as usize, self.shape.size, self.shape.align)?,
        };
        let list = lift_from(source, self.mapping, &self.shape, bytes, &mut self.handles)?;
        Ok(Terms {
            list,
            borrowed: self.handles.finish()?,
        })
    }
}

fn lift_from(
    source: Source<'_>,
    mapping: Mapping,
    shape: &Shape,
    bytes: &[u8],
    handles: &mut Handles,
) -> Result<ErlNifTerm> {
    env::in_env(|env| {
        let mut lifter = Lifter::new(env, mapping, source, handles);
        lifter.list(shape, bytes).map(|list| list.as_c_arg())
    })
    .ok_or(ImportRaised {})?
}
