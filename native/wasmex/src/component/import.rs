//! Elixir functions as imports of a component, and as destructors of resources that Elixir owns.

use crate::component::abi;
use crate::component::abi::import::{Params, Returned};
use crate::component::lift::deferred::{Deferred, Lifted, Terms};
use crate::component::mapping::{Mapping, PACKED, PACKED_ATOMS};
use crate::component::state::Components;
use crate::guest::data::StoreData;
use crate::guest::handoff;
use crate::guest::suspension::{self, Import, ImportRaised, ImportTable, PendingImport};
use crate::vm::env;
use rustler::Encoder;
use rustler::sys::ErlNifTerm;
use std::sync::Arc;
use wasmtime::component::{LinkerInstance, ResourceType};
use wasmtime::{AsContextMut, Result, StoreContextMut};

/// Words of a result that is decoded on a normal scheduler, see [`crate::vm::weight`].
const RESULT: u64 = 128 * 1024;

/// An Elixir function that a component imports.
#[derive(Clone)]
pub struct ComponentImport {
    import: Import,
    /// How the values look in Elixir.
    pub mapping: Mapping,
}

impl ComponentImport {
    /// The function at this index in the table.
    pub fn new(table: &Arc<ImportTable>, index: u32, mapping: Mapping) -> Self {
        ComponentImport {
            import: table.function(index),
            mapping,
        }
    }
}

/// Defines the function under this name.
pub fn define(
    linker: &mut LinkerInstance<'_, StoreData>,
    name: &str,
    import: ComponentImport,
) -> Result<()> {
    macro_rules! define {
        ($mapping:literal) => {
            linker.func_wrap_async(name, move |mut cx, args: Params<$mapping>| match args.0 {
                Lifted::Now(terms) => {
                    let pending = pending(&mut cx, &import, terms.list);
                    Box::new(call(cx, pending, import.mapping, terms))
                }
                Lifted::Later(deferred) => Box::new(call_later(cx, import.clone(), deferred)),
            })
        };
    }
    match import.mapping.outward() {
        0 => define!(0),
        1 => define!(1),
        2 => define!(2),
        PACKED => define!(6),
        PACKED_ATOMS => define!(7),
        _ => define!(3),
    }
}

async fn call(
    mut cx: StoreContextMut<'_, StoreData>,
    pending: PendingImport,
    mapping: Mapping,
    terms: Terms,
) -> Result<Returned> {
    let term = suspension::suspend(cx.as_context_mut(), pending).await;
    for handle in terms.borrowed {
        if let Some(any) = handle.take() {
            any.resource_drop_async(&mut cx).await?;
        }
    }
    Ok(Returned {
        term: term?,
        mapping,
    })
}

async fn call_later(
    mut cx: StoreContextMut<'_, StoreData>,
    import: ComponentImport,
    deferred: Box<Deferred>,
) -> Result<Returned> {
    let terms = abi::import::later(deferred).await?;
    let pending = pending(&mut cx, &import, terms.list);
    call(cx, pending, import.mapping, terms).await
}

fn pending(
    cx: &mut StoreContextMut<'_, StoreData>,
    import: &ComponentImport,
    params: ErlNifTerm,
) -> PendingImport {
    let serial = cx.data_mut().next_serial();
    let mut pending = PendingImport::new(&import.import, serial, params, None, 0);
    (pending.most, pending.copied) = (RESULT, true);
    pending
}

/// A resource type implemented in Elixir. `dropped`, if any, is called with the term of a dropped resource.
pub fn define_resource(
    linker: &mut LinkerInstance<'_, StoreData>,
    name: &str,
    id: u32,
    dropped: Option<ComponentImport>,
) -> Result<()> {
    linker.resource_async(name, ResourceType::host_dynamic(id), move |cx, rep| {
        Box::new(drop_hosted(cx, rep, dropped.clone()))
    })
}

async fn drop_hosted(
    mut cx: StoreContextMut<'_, StoreData>,
    rep: u32,
    dropped: Option<ComponentImport>,
) -> Result<()> {
    let cell = handoff::current_cell().ok_or(ImportRaised {})?;
    let Some(import) = dropped else {
        Components::of(&cell).hosted.remove(rep);
        return Ok(());
    };
    let params = env::in_env(|env| {
        let term = Components::of(&cell).hosted.get(env, rep, true)?;
        Some([term].encode(env).as_c_arg())
    });
    let params = params.flatten().ok_or(ImportRaised {})?;
    let pending = pending(&mut cx, &import, params);
    suspension::suspend(cx.as_context_mut(), pending)
        .await
        .map(drop)
}
