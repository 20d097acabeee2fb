//! Exception tags, passed from one module to another.

use crate::guest::cell::StoreCell;
use crate::vm::live::{Kind, Live};
use crate::vm::resource::{ResourceArc, named_resource};

use wasmtime::Tag;

/// A tag.
pub struct TagResource {
    /// Its store.
    pub cell: ResourceArc<StoreCell>,
    /// wasmtime's tag.
    pub tag: Tag,
    _live: Live,
}

named_resource!(TagResource, "tag");
impl std::panic::RefUnwindSafe for TagResource {}

impl TagResource {
    /// A handle of this tag.
    pub fn new(cell: ResourceArc<StoreCell>, tag: Tag) -> ResourceArc<Self> {
        ResourceArc::new(TagResource {
            cell,
            tag,
            _live: Live::new(Kind::Tag),
        })
    }
}
