//! Modules: tables, memories and names.

use crate::bytes::{component, module, refused, section, sized, sleb, uleb, vector};
use scan::{Limit, Limits};

fn tables(count: usize, segments: &[(u32, i64)]) -> Vec<u8> {
    let table = [vec![0x70, 0], uleb(1_000_000)].concat();
    let segments: Vec<_> = segments
        .iter()
        .map(|(table, start)| {
            [
                vec![2],
                uleb((*table).into()),
                vec![0x41],
                sleb(*start),
                vec![0x0b, 0, 1, 0],
            ]
            .concat()
        })
        .collect();
    module(&[
        section(4, &vector(&vec![table; count])),
        section(9, &vector(&segments)),
    ])
}

#[test]
fn elements_of_tables_count_with_their_gaps() {
    assert_eq!(refused(&tables(100, &[(0, 999_999)])), None);
    assert_eq!(refused(&tables(1, &[(0, 999_999); 1000])), None);
    let bomb: Vec<_> = (0..100).map(|table| (table, 999_999)).collect();
    assert!(matches!(
        refused(&tables(100, &bomb)),
        Some((Limit::TableElements, _))
    ));
    let small: Vec<_> = (0..3).map(|table| (table, 999_999)).collect();
    let part = section(1, &tables(3, &small));
    assert!(matches!(
        refused(&component(&[part.clone(), part])),
        Some((Limit::TableElements, _))
    ));
}

/// A table of this size, or an imported one, and a segment of this many functions after the given head.
fn functions_in_a_table(imported: bool, least: u64, heads: &[(Vec<u8>, u64)]) -> Vec<u8> {
    let table = [vec![0x70, 0], uleb(least)].concat();
    let import = [vec![1, b'a', 1, b'a', 1], table.clone()].concat();
    let tables = match imported {
        true => section(2, &vector(&[import])),
        false => section(4, &vector(&[table])),
    };
    let segments: Vec<Vec<u8>> = heads
        .iter()
        .map(|(head, count)| {
            let functions = vec![0; usize::try_from(*count).expect("a size")];
            [head.clone(), uleb(*count), functions].concat()
        })
        .collect();
    module(&[
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        tables,
        section(9, &vector(&segments)),
    ])
}

#[test]
fn functions_that_code_puts_into_tables_count_as_instructions() {
    let most = Limits::default().get(Limit::Constants);
    let (few, many) = (most * 4, most * 4 + 4);
    let at = |offset: i64| [vec![0, 0x41], sleb(offset), vec![0x0b]].concat();
    let passive = vec![1, 0];
    let declared = vec![3, 0];
    let of_a_global = vec![0, 0x23, 0, 0x0b];
    let expected = Some(Limit::Constants);

    for (imported, least, heads, refusal) in [
        (false, many, vec![(at(0), many)], None),
        (false, many, vec![(declared.clone(), many)], None),
        (false, 1, vec![(passive.clone(), few)], None),
        (false, 1, vec![(passive, many)], expected),
        (false, many, vec![(of_a_global, many)], expected),
        (true, many, vec![(at(0), many)], expected),
        // Beyond the table's own size, and beyond the largest table that is written out.
        (false, many - 1, vec![(at(0), many)], expected),
        (false, 2_000_000, vec![(at(1_000_000), many)], expected),
        // After one that cannot be written out, no other is.
        (
            false,
            many,
            vec![(at(i64::from(u32::MAX >> 1)), 1), (at(0), many - 4)],
            expected,
        ),
    ] {
        let bytes = functions_in_a_table(imported, least, &heads);
        let limit = refused(&bytes).map(|(limit, _)| limit);
        assert_eq!(limit, refusal, "{imported} {least}");
    }
}

#[test]
fn gaps_in_memories_count() {
    let memories = |count: u64, far: i64| {
        let segment = |memory: u64, at| {
            [
                vec![2],
                uleb(memory),
                vec![0x41],
                sleb(at),
                vec![0x0b, 1, 65],
            ]
            .concat()
        };
        let segments: Vec<_> = (0..count)
            .flat_map(|memory| [segment(memory, 0), segment(memory, far)])
            .collect();
        module(&[
            section(5, &vector(&vec![vec![0, 0xff, 1]; count as usize])),
            section(11, &vector(&segments)),
        ])
    };
    assert_eq!(refused(&memories(4, 16_000_000)), None);
    assert!(matches!(
        refused(&memories(5, 16_000_000)),
        Some((Limit::MemoryGaps, _))
    ));
    // Too far apart to be written out.
    assert_eq!(refused(&memories(50, 17_000_000)), None);
}

#[test]
fn names_have_a_size() {
    let named = |size| {
        let names = section(1, &vector(&[[vec![0], sized(&vec![b'x'; size])].concat()]));
        module(&[section(0, &[sized(b"name"), names].concat())])
    };
    assert_eq!(refused(&named(60_000)), None);
    assert_eq!(refused(&named(70_000)), Some((Limit::NameSize, 70_000)));
}

#[test]
fn names_of_the_name_section_have_a_number() {
    let named = |kind, count| {
        let one = [vec![0, 1, b'x']].concat();
        let names = [uleb(count), one.repeat(count as usize)].concat();
        let part = match kind {
            2 => [vec![1, 0], names].concat(),
            _ => names,
        };
        module(&[section(0, &[sized(b"name"), section(kind, &part)].concat())])
    };
    for kind in [1, 2, 7] {
        assert_eq!(refused(&named(kind, 1_000_000)), None);
        let expected = Some((Limit::Names, 1_000_001));
        assert_eq!(refused(&named(kind, 1_000_001)), expected);
    }
    let modules = section(0, &[1, b'x']).repeat(1_000_001);
    let modules = module(&[section(0, &[sized(b"name"), modules].concat())]);
    assert_eq!(refused(&modules), Some((Limit::Names, 1_000_001)));
}

#[test]
fn names_of_imports_and_exports_have_a_size_together() {
    let long = sized(&vec![b'x'; 60_000]);
    let import = |count| {
        let import = [vec![1, b'a'], long.clone(), vec![3, 0x7f, 0]].concat();
        module(&[section(2, &vector(&vec![import; count]))])
    };
    let export = |count| {
        let export = [long.clone(), vec![0, 0]].concat();
        module(&[section(7, &vector(&vec![export; count]))])
    };
    let of_component = |count| {
        let import = [vec![0], long.clone(), vec![1, 0]].concat();
        component(&[section(10, &vector(&vec![import; count]))])
    };
    let of_type = |count| {
        let export = [vec![4, 0], long.clone(), vec![1, 0]].concat();
        let instance = [vec![0x42], vector(&vec![export; count])].concat();
        component(&[section(7, &[vec![1], instance].concat())])
    };
    let makes: [&dyn Fn(usize) -> Vec<u8>; 4] = [&import, &export, &of_component, &of_type];
    for make in makes {
        assert_eq!(refused(&make(69)), None);
        let limit = refused(&make(70)).map(|(limit, _)| limit);
        assert_eq!(limit, Some(Limit::ExternalNames));
    }
}

#[test]
fn tags_have_a_number() {
    let tags = |count| module(&[section(13, &vector(&vec![vec![0, 0]; count]))]);
    assert_eq!(refused(&tags(10_000)), None);
    assert_eq!(refused(&tags(10_001)), Some((Limit::Tags, 10_001)));
    let inside = component(&[section(1, &tags(5_000)), section(1, &tags(5_001))]);
    assert_eq!(refused(&inside), Some((Limit::Tags, 10_001)));
}
