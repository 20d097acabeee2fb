//! Builds the shapes of a component's types.

use crate::component::internal::{CanonicalAbiInfo, ComponentTypes, InterfaceType};
use crate::component::types::scalar::Scalar;
use crate::component::types::shape::{Case, Cases, Field, Item, Kind, Record, Resource, Shape};
use crate::component::types::shared::Shared;
use crate::component::types::weight::{inside, weight};
use std::collections::HashMap;
use std::sync::Arc;

/// Maximum nesting of types: conversion recurses as deep as the type.
const MAX_DEPTH: usize = 100;

/// Maximum number of fields of a record: finding them in a map with other keys takes quadratic time.
const MAX_FIELDS: usize = 1_000;

/// Builds each type once. A type used twice shares one shape; otherwise a small component could describe an enormous
/// type.
pub struct Builder<'a> {
    /// wasmtime's types of the component.
    pub types: &'a ComponentTypes,
    /// The source of names.
    pub shared: &'a Shared,
    /// The shapes built so far.
    pub shapes: &'a mut HashMap<InterfaceType, Arc<Shape>>,
}

impl Builder<'_> {
    /// The shape of a type at this nesting depth.
    pub fn shape(&mut self, ty: InterfaceType, depth: usize) -> wasmtime::Result<Arc<Shape>> {
        if let Some(shape) = self.shapes.get(&ty) {
            return Ok(shape.clone());
        }
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let kind = self.kind(ty, depth + 1)?;
        let abi = self.types.canonical_abi(&ty);
        let inside = inside(&kind);
        let weight = weight(&kind);
        if inside.depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        let shape = Arc::new(Shape {
            kind,
            size: abi.size32 as usize,
            align: abi.align32 as usize,
            flat: abi.flat_count.map(usize::from),
            depth: inside.depth + 1,
            weight,
            indirect: inside.indirect,
            handles: inside.handles,
        });
        self.shapes.insert(ty, shape.clone());
        Ok(shape)
    }

    fn kind(&mut self, ty: InterfaceType, depth: usize) -> wasmtime::Result<Kind> {
        let types = self.types;
        if let Some(scalar) = Scalar::of(ty) {
            return Ok(match scalar {
                Scalar::Bool => Kind::Bool,
                Scalar::Number(number) => Kind::Number(number),
                Scalar::Char => Kind::Char,
            });
        }
        Ok(match ty {
            InterfaceType::String => Kind::String,
            InterfaceType::List(index) => Kind::List(self.shape(types[index].element, depth)?),
            InterfaceType::FixedLengthList(index) => Kind::FixedList(
                self.shape(types[index].element, depth)?,
                types[index].size as usize,
            ),
            InterfaceType::Map(index) => self.map(types[index].key, types[index].value, depth)?,
            InterfaceType::Record(index) if types[index].fields.len() > MAX_FIELDS => {
                return Err(wasmtime::Error::msg(format!(
                    "a record has more than {MAX_FIELDS} fields"
                )));
            }
            InterfaceType::Record(index) => {
                let mut offset = 0;
                let mut fields = Vec::new();
                for field in types[index].fields.iter() {
                    let item = self.item(field.ty, &mut offset, depth)?;
                    let name = self.shared.name(&field.name);
                    fields.push(Field::new(name, item, fields.len()));
                }
                Kind::Record(Record::new(fields))
            }
            InterfaceType::Tuple(index) => Kind::Tuple(self.items(&types[index].types, depth)?),
            InterfaceType::Variant(index) => {
                let variant = &types[index];
                let cases = variant.cases.iter().map(|(name, ty)| (name.as_str(), *ty));
                let info = &variant.info;
                Kind::Variant(self.cases(cases, info.size.into(), info.payload_offset32, depth)?)
            }
            InterfaceType::Enum(index) => {
                let names = types[index].names.iter().map(|name| (name.as_str(), None));
                let info = &types[index].info;
                Kind::Enum(self.cases(names, info.size.into(), info.payload_offset32, depth)?)
            }
            InterfaceType::Option(index) => {
                let cases = [("none", None), ("some", Some(types[index].ty))];
                let info = &types[index].info;
                let (size, offset) = (info.size.into(), info.payload_offset32);
                Kind::Option(self.cases(cases.into_iter(), size, offset, depth)?)
            }
            InterfaceType::Result(index) => {
                let cases = [("ok", types[index].ok), ("error", types[index].err)];
                let info = &types[index].info;
                let (size, offset) = (info.size.into(), info.payload_offset32);
                Kind::Result(self.cases(cases.into_iter(), size, offset, depth)?)
            }
            InterfaceType::Flags(index) => Kind::Flags(
                types[index]
                    .names
                    .iter()
                    .map(|name| self.shared.name(name))
                    .collect(),
            ),
            InterfaceType::Own(table) => Kind::Resource(Resource {
                ty,
                table,
                owned: true,
            }),
            InterfaceType::Borrow(table) => Kind::Resource(Resource {
                ty,
                table,
                owned: false,
            }),
            _ => {
                return Err(wasmtime::Error::msg(
                    "futures, streams and error contexts are not supported",
                ));
            }
        })
    }

    fn items(&mut self, list: &[InterfaceType], depth: usize) -> wasmtime::Result<Box<[Item]>> {
        let mut offset = 0;
        list.iter()
            .map(|ty| self.item(*ty, &mut offset, depth))
            .collect()
    }

    fn item(
        &mut self,
        ty: InterfaceType,
        offset: &mut usize,
        depth: usize,
    ) -> wasmtime::Result<Item> {
        let shape = self.shape(ty, depth)?;
        Ok(Item {
            offset: self.types.canonical_abi(&ty).next_field32_size(offset),
            shape,
        })
    }

    /// An entry is a tuple, which may be missing from the component's own types.
    fn map(
        &mut self,
        key: InterfaceType,
        value: InterfaceType,
        depth: usize,
    ) -> wasmtime::Result<Kind> {
        let items = self.items(&[key, value], depth)?;
        let abis = [key, value].map(|ty| self.types.canonical_abi(&ty).clone());
        let abi = CanonicalAbiInfo::record(abis.iter());
        let kind = Kind::Tuple(items);
        let inside = inside(&kind);
        Ok(Kind::Map(Arc::new(Shape {
            weight: weight(&kind),
            kind,
            size: abi.size32 as usize,
            align: abi.align32 as usize,
            flat: abi.flat_count.map(usize::from),
            depth: inside.depth + 1,
            indirect: inside.indirect,
            handles: inside.handles,
        })))
    }

    fn cases<'c>(
        &mut self,
        cases: impl Iterator<Item = (&'c str, Option<InterfaceType>)>,
        tag_size: u32,
        payload_offset: u32,
        depth: usize,
    ) -> wasmtime::Result<Cases> {
        let mut list = Vec::new();
        for (name, payload) in cases {
            list.push(Case {
                name: self.shared.name(name),
                payload: payload.map(|ty| self.shape(ty, depth)).transpose()?,
            });
        }
        Ok(Cases::new(list, tag_size as usize, payload_offset as usize))
    }
}

fn too_deep() -> wasmtime::Error {
    wasmtime::Error::msg(format!("the type is nested more than {MAX_DEPTH} deep"))
}
