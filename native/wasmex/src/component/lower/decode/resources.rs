//! Resources: a handle from the guest, or any term if Elixir implements the resource.

use super::Decoder;
use crate::component::lower::image::{Hosted, Target};
use crate::component::problem::{Checked, Problem, ProblemKind};
use crate::component::resource::handle::{HandleResource, Passed};
use crate::component::types::shape::Resource;
use crate::guest::host_term::{self, HostTerm};
use crate::vm::resource::is_elsewhere;
use crate::vm::terms;
use rustler::Term;

const TOO_LARGE: &str = "The term is larger than 512 MiB";

impl Decoder<'_> {
    /// Writes the handle of a resource.
    pub(super) fn resource(
        &mut self,
        term: Term,
        resource: &Resource,
        blob: usize,
        at: usize,
    ) -> Checked<()> {
        let wrong = |why| Problem::new(ProblemKind::Handle(why));
        let Some((ty, host)) = self.resources.get(&resource.table) else {
            return Err(wrong("Guest resource argument has the wrong resource type"));
        };
        let target = if let Some(id) = host {
            if self.may_move && host_term::is_large(term) {
                return Err(Problem::new(ProblemKind::Large));
            }
            let term = HostTerm::new(term).map_err(|_| wrong(TOO_LARGE))?;
            self.image.hosted.push(Hosted {
                term: Some(term),
                id: *id,
                owned: resource.owned,
                rep: 0,
            });
            Target::Hosted {
                index: self.image.hosted.len() as u32 - 1,
                ty: resource.ty,
            }
        } else {
            let Some(handle) = terms::resource::<HandleResource>(term) else {
                return Err(match is_elsewhere(term) {
                    true => wrong("The guest resource belongs to another node"),
                    false => Problem::kind("resource", term),
                });
            };
            if handle.cell.id != self.store {
                return Err(wrong("The guest resource belongs to another store"));
            }
            if handle.ty != *ty {
                return Err(wrong("Guest resource argument has the wrong resource type"));
            }
            self.image.handles.push(Passed::new(handle, resource.owned));
            Target::Handle {
                index: self.image.handles.len() as u32 - 1,
                ty: resource.ty,
            }
        };
        self.image.link(blob, at, target);
        Ok(())
    }
}
