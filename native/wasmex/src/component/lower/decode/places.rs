//! The places of a record's fields in maps with the same keys.
//!
//! Maps made in one place of a program share their keys, so it is enough to compare those of the first map with the
//! names of the fields.

use crate::component::types::shape::Field;
use crate::vm::atoms;
use crate::vm::small_map::{MOST, SmallMap};
use rustler::Env;

/// The places of fields found lately. They are remembered no longer than the terms are alive.
#[derive(Default)]
pub struct Places {
    known: [Known; 2],
    /// The one to be forgotten next.
    oldest: usize,
}

#[derive(Clone, Copy, Default)]
struct Known {
    /// The address of the keys.
    keys: usize,
    /// The address of the fields.
    fields: usize,
    places: [u8; MOST],
}

impl Places {
    /// The place of each field in a map that has a key for each of them and no others, except that of a struct.
    #[inline]
    pub fn of(&mut self, env: Env, map: SmallMap, fields: &[Field]) -> Option<[u8; MOST]> {
        let (keys, address) = (map.keys.as_ptr() as usize, fields.as_ptr() as usize);
        for known in &self.known {
            if known.keys == keys && known.fields == address {
                return Some(known.places);
            }
        }
        let places = find(env, map, fields)?;
        self.known[self.oldest] = Known {
            keys,
            fields: address,
            places,
        };
        self.oldest ^= 1;
        Some(places)
    }
}

fn find(env: Env, map: SmallMap, fields: &[Field]) -> Option<[u8; MOST]> {
    let is_struct =
        map.keys.len() == fields.len() + 1 && map.keys.contains(&atoms::struct_().as_c_arg());
    if fields.is_empty() || (!is_struct && map.keys.len() != fields.len()) {
        return None;
    }
    let mut places = [0; MOST];
    for (field, place) in fields.iter().zip(&mut places) {
        *place = field.place_in(env, map)? as u8;
    }
    Some(places)
}
