//! Tags of exceptions, to be handed from one module to another.

use crate::guest::cell::StoreCell;
use crate::vm::live::{Kind, Live};
use rustler::{Resource, ResourceArc};
use wasmtime::Tag;

pub struct TagResource {
    pub cell: ResourceArc<StoreCell>,
    pub tag: Tag,
    _live: Live,
}

impl Resource for TagResource {}
impl std::panic::RefUnwindSafe for TagResource {}

impl TagResource {
    pub fn new(cell: ResourceArc<StoreCell>, tag: Tag) -> ResourceArc<Self> {
        ResourceArc::new(TagResource {
            cell,
            tag,
            _live: Live::new(Kind::Tag),
        })
    }
}
