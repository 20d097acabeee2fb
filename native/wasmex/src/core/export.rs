//! Memories, globals, tables, functions and tags of instances as imports of others.

use crate::core::global::GlobalResource;
use crate::core::memory::MemoryResource;
use crate::core::table::TableResource;
use crate::core::tag::TagResource;
use crate::guest::funcref::FuncResource;
use crate::vm::terms::resource;
use rustler::Term;
use wasmtime::Extern;

/// The external and the id of its store.
pub fn decode(term: Term) -> Option<(Extern, u64)> {
    if let Some(func) = resource::<FuncResource>(term) {
        return Some((func.signature.func.into(), func.cell.id));
    }
    if let Some(memory) = resource::<MemoryResource>(term) {
        return Some((memory.memory.into(), memory.cell.id));
    }
    if let Some(table) = resource::<TableResource>(term) {
        return Some((table.table.into(), table.cell.id));
    }
    if let Some(global) = resource::<GlobalResource>(term) {
        return Some((global.global.into(), global.cell.id));
    }
    if let Some(tag) = resource::<TagResource>(term) {
        return Some((tag.tag.into(), tag.cell.id));
    }
    None
}
