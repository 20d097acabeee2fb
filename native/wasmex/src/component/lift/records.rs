//! Records become maps. Those of one type share their keys, see `vm/small_map.rs`.

use super::Lifter;
use crate::component::mapping::Mapping;
use crate::component::types::shape::Record;
use crate::vm::small_map::{self, Draft, Keys, SharedKeys};
use rustler::sys::ErlNifTerm;
use rustler::{Env, Term};
use smallvec::SmallVec;
use std::sync::OnceLock;
use wasmtime::Result;

/// The keys of a record's maps: as strings or registered atoms, and as existing atoms if there are such for all names.
#[derive(Default)]
pub struct RecordKeys([OnceLock<Option<Keys>>; 2]);

impl RecordKeys {
    /// Found out once, since names become the same terms each time.
    fn get(&self, record: &Record, env: Env, mapping: Mapping) -> Option<&Keys> {
        let slot = &self.0[usize::from(mapping.existing_atoms)];
        if let Some(keys) = slot.get() {
            return keys.as_ref();
        }
        let are_lasting = !mapping.existing_atoms
            || record
                .fields
                .iter()
                .all(|field| field.name.atom(env, mapping).is_some());
        if !are_lasting || !small_map::LAYOUT.is_used() {
            return None;
        }
        let names = record
            .fields
            .iter()
            .map(|field| field.name.encode(env, mapping).as_c_arg());
        let names: Vec<ErlNifTerm> = names.collect();
        slot.get_or_init(|| Keys::new(env, &names)).as_ref()
    }
}

impl<'e> Lifter<'_, 'e> {
    pub(super) fn record(&mut self, record: &Record, bytes: &[u8]) -> Result<Term<'e>> {
        if small_map::LAYOUT.is_used()
            && let Some(keys) = record.keys.get(record, self.env, self.mapping)
        {
            return self.small_record(record, keys, bytes);
        }
        let fields = || record.by_name.iter().map(|index| &record.fields[*index]);
        let mut values = SmallVec::<[ErlNifTerm; 32]>::new();
        for field in fields() {
            let value = self.value(&field.item.shape, &bytes[field.item.offset..])?;
            values.push(value.as_c_arg());
        }
        let (env, mapping) = (self.env, self.mapping);
        let names = self.key_lists.entry(std::ptr::from_ref(record));
        let names = names.or_insert_with(|| {
            fields()
                .map(|field| field.name.encode(env, mapping).as_c_arg())
                .collect()
        });
        small_map::by_interface(env, names, &values)
            .ok_or_else(|| wasmtime::Error::msg("two fields of a record have one name"))
    }

    fn small_record(&mut self, record: &Record, keys: &Keys, bytes: &[u8]) -> Result<Term<'e>> {
        let mut map = Draft::new(self.env, self.shared_keys(record, keys));
        for index in &keys.order {
            let item = &record.fields[usize::from(*index)].item;
            map.push(self.value(&item.shape, &bytes[item.offset..])?.as_c_arg());
        }
        Ok(map.make())
    }

    fn shared_keys(&mut self, record: &Record, keys: &Keys) -> SharedKeys<'e> {
        if let Some(shared) = self.keys.get(record) {
            return shared;
        }
        let shared = keys.copy(self.env);
        self.keys.insert(record, shared);
        shared
    }
}
