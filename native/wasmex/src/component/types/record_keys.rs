//! The keys of the maps that are made from a record.

use crate::component::mapping::Mapping;
use crate::component::types::names::Name;
use crate::vm::small_map::Keys;
use rustler::Env;
use rustler::sys::ErlNifTerm;
use std::sync::OnceLock;

/// The keys of a record's maps: as strings or registered atoms, and as existing atoms if there are such for all names.
#[derive(Default)]
pub struct RecordKeys([OnceLock<Option<Keys>>; 2]);

impl RecordKeys {
    /// The keys with these names. Found out once, since names become the same terms each time.
    pub fn get<'n>(
        &self,
        mut names: impl Iterator<Item = &'n Name> + Clone,
        env: Env,
        mapping: Mapping,
    ) -> Option<&Keys> {
        let slot = &self.0[usize::from(mapping.existing_atoms)];
        if let Some(keys) = slot.get() {
            return keys.as_ref();
        }
        let terms = names.clone();
        let are_lasting =
            !mapping.existing_atoms || names.all(|name| name.atom(env, mapping).is_some());
        if !are_lasting {
            return None;
        }
        let terms: Vec<ErlNifTerm> = terms
            .map(|name| name.encode(env, mapping).as_c_arg())
            .collect();
        slot.get_or_init(|| Keys::new(env, &terms)).as_ref()
    }
}
