//! Removes data segments that a snapshot's instances would never use.
//!
//! Wizer preserves the number of segments: those already applied become passive and empty. Go has 49,049 of them, which
//! cost each instance 125 µs. If no instruction refers to a segment, they can be removed.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{DataSection, Module, RawSection};
use wasmparser::{DataKind, DataSectionReader, Operator, Parser, Payload};
use wasmtime::{Error, Result};

/// Removes the passive segments, unless an instruction refers to a segment.
pub fn without_passive_data(module: &[u8]) -> Result<Vec<u8>> {
    if names_a_segment(module)? {
        return Ok(module.to_vec());
    }
    let mut slim = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::DataSection(data) => {
                slim.section(&active(data)?);
            }
            Payload::DataCountSection { .. } => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    let data = module
                        .get(range)
                        .ok_or_else(|| Error::msg("a section ends outside of the module"))?;
                    slim.section(&RawSection { id, data });
                }
            }
        }
    }
    Ok(slim.finish())
}

fn active(data: &DataSectionReader) -> Result<DataSection> {
    let mut section = DataSection::new();
    for segment in data.clone() {
        let segment = segment?;
        if matches!(segment.kind, DataKind::Active { .. }) {
            RoundtripReencoder
                .parse_data(&mut section, segment)
                .map_err(|error| Error::msg(error.to_string()))?;
        }
    }
    Ok(section)
}

fn names_a_segment(module: &[u8]) -> Result<bool> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CodeSectionEntry(body) = payload? {
            let mut operators = body.get_operators_reader()?;
            while !operators.eof() {
                if matches!(
                    operators.read()?,
                    Operator::MemoryInit { .. }
                        | Operator::DataDrop { .. }
                        | Operator::ArrayNewData { .. }
                        | Operator::ArrayInitData { .. }
                ) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
// A test may fail by a panic.
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn segments(module: &[u8]) -> usize {
        Parser::new(0)
            .parse_all(module)
            .map(|payload| match payload.unwrap() {
                Payload::DataSection(data) => data.count() as usize,
                _ => 0,
            })
            .sum()
    }

    #[test]
    fn passive_segments_go_unless_they_are_named() {
        let plain = r#"(module (memory 1) (data "") (data (i32.const 0) "x") (data "y")
            (func (export "f") (result i32) (i32.const 1)))"#;
        let module = wat::parse_str(plain).unwrap();
        let slim = without_passive_data(&module).unwrap();
        assert_eq!((segments(&module), segments(&slim)), (3, 1));
        wasmparser::validate(&slim).unwrap();

        let named = wat::parse_str(
            r#"(module (memory 1) (data $d "y") (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))))"#,
        )
        .unwrap();
        assert_eq!(without_passive_data(&named).unwrap(), named);
    }
}
