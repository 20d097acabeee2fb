//! Modules and components, written by hand.

use scan::{Limit, Limits, Refusal};

pub fn uleb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

pub fn sleb(mut number: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if (number == 0 && low & 0x40 == 0) || (number == -1 && low & 0x40 != 0) {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

pub fn sized(body: &[u8]) -> Vec<u8> {
    [uleb(body.len() as u64), body.to_vec()].concat()
}

pub fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [vec![id], sized(body)].concat()
}

pub fn vector(items: &[Vec<u8>]) -> Vec<u8> {
    [uleb(items.len() as u64), items.concat()].concat()
}

pub fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

pub fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".to_vec(), sections.concat()].concat()
}

pub fn refused(bytes: &[u8]) -> Option<(Limit, u64)> {
    match scan::binary(bytes, &Limits::default()) {
        Ok(()) => None,
        Err(Refusal::Exceeded { limit, value, .. }) => Some((limit, value)),
        Err(Refusal::Malformed { offset }) => panic!("malformed at {offset}"),
    }
}

/// A module with a function of no parameters, and others of these types.
pub fn body_with(types: &[Vec<u8>], more: &[Vec<u8>], locals: u64, code: &[u8]) -> Vec<u8> {
    let types = [vec![vec![0x60, 0, 0]], types.to_vec()].concat();
    let locals = [vec![1], uleb(locals), vec![0x7f]].concat();
    let body = sized(&[locals, code.to_vec(), vec![0x0b]].concat());
    let sections = [
        vec![section(1, &vector(&types)), section(3, &[1, 0])],
        more.to_vec(),
        vec![section(10, &vector(&[body]))],
    ];
    module(&sections.concat())
}

/// Types of this kind, nested so deep.
pub fn nested_types(depth: usize, tag: u8) -> Vec<u8> {
    let levels = [tag, 1, 1].repeat(depth);
    component(&[section(7, &[vec![1], levels, vec![tag, 0]].concat())])
}
