//! Records become maps. Those of one type share their keys, see `vm/small_map.rs`.

use super::Lifter;
use crate::component::types::shape::{Item, Kind, Record};
use crate::vm::small_map::{self, Draft, Drafts, Keys, SharedKeys};
use rustler::Term;
use rustler::sys::ErlNifTerm;
use smallvec::SmallVec;
use wasmtime::Result;

impl<'e> Lifter<'_, 'e> {
    /// A map of the fields.
    pub(super) fn record(&mut self, record: &Record, bytes: &[u8]) -> Result<Term<'e>> {
        if let Some(keys) = self.small_keys(record) {
            let shared = self.shared_keys(record, keys);
            let mut map = Draft::new(self.env, shared, keys.order.len());
            for index in &keys.order {
                map.push(self.field(&record.fields[usize::from(*index)].item, bytes)?);
            }
            return Ok(map.make());
        }
        let fields = || record.by_name.iter().map(|index| &record.fields[*index]);
        let mut values = SmallVec::<[ErlNifTerm; 32]>::new();
        for field in fields() {
            values.push(self.field(&field.item, bytes)?);
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

    /// Records one after the other, each of so many bytes; `None` if they are not small maps.
    pub(super) fn records(
        &mut self,
        record: &Record,
        bytes: &[u8],
        size: usize,
        length: usize,
    ) -> Result<Option<Vec<ErlNifTerm>>> {
        let Some(keys) = self.small_keys(record) else {
            return Ok(None);
        };
        let items = keys.order.iter();
        let items: SmallVec<[&Item; small_map::MOST]> = items
            .map(|index| &record.fields[usize::from(*index)].item)
            .collect();
        let shared = self.shared_keys(record, keys);
        let mut maps = Drafts::new(self.env, shared, items.len(), length);
        for index in 0..length {
            let bytes = &bytes[index * size..];
            maps.begin();
            for item in &items {
                maps.push(self.field(item, bytes)?);
            }
        }
        Ok(Some(maps.finish()))
    }

    /// A field's value. Most are numbers, which take less than a call.
    #[inline]
    fn field(&mut self, item: &Item, bytes: &[u8]) -> Result<ErlNifTerm> {
        let bytes = &bytes[item.offset..];
        let value = match item.shape.kind {
            Kind::Number(number) => number.encode(self.env, bytes),
            _ => self.value(&item.shape, bytes)?,
        };
        Ok(value.as_c_arg())
    }

    fn small_keys<'r>(&self, record: &'r Record) -> Option<&'r Keys> {
        match small_map::LAYOUT.is_used() {
            true => record.keys(self.env, self.mapping),
            false => None,
        }
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
