//! Blocks with many globals, references or locals.

use crate::bytes::{module, refused, section, sized, uleb, vector};
use scan::Limit;

fn globals(count: usize, ty: &[u8], value: &[u8], body: &[u8]) -> Vec<u8> {
    let global = [ty, value, &[0x0b]].concat();
    let types = [
        vec![0x60, 0, 0],
        vec![0x5f, 1, 0x7f, 0],
        vec![0x60, 0, 1, 0x6f],
    ];
    module(&[
        section(1, &vector(&types)),
        section(3, &[2, 0, 2]),
        section(6, &vector(&vec![global; count])),
        section(
            10,
            &vector(&[
                sized(&[&[0], body, &[0x0b]].concat()),
                vec![5, 0, 0xd0, 0x6f, 0x0b],
            ]),
        ),
    ])
}

/// `global.get`, and an `if` that sets it.
fn blocks_of_globals(globals: usize) -> Vec<u8> {
    (0..globals)
        .flat_map(|global| {
            let global = uleb(global as u64);
            [
                &[0x23],
                &global[..],
                &[0x04, 0x40, 0x41, 1, 0x24],
                &global,
                &[0x0b],
            ]
            .concat()
        })
        .collect()
}

#[test]
fn blocks_with_many_globals_count_more_than_their_sum() {
    let of = |count| globals(count, &[0x7f, 1], &[0x41, 0], &blocks_of_globals(count));
    assert_eq!(refused(&of(1000)), None);
    assert!(matches!(refused(&of(1600)), Some((Limit::FunctionWork, _))));
    // A few that are used often are what compilers make.
    let often = [0x23, 0, 0x04, 0x40, 0x41, 1, 0x24, 0, 0x0b].repeat(100_000);
    assert_eq!(refused(&globals(8, &[0x7f, 1], &[0x41, 0], &often)), None);
    let straight = [0x41, 1, 0x24, 0].repeat(50_000);
    let refused = refused(&globals(50_000, &[0x7f, 1], &[0x41, 0], &straight));
    assert!(matches!(refused, Some((Limit::FunctionWork, _))));
}

#[test]
fn many_functions_with_many_globals_count_together() {
    let body = sized(&[&[0], &blocks_of_globals(1000)[..], &[0x0b]].concat());
    let of = |functions: usize| {
        let global = vec![0x7f, 1, 0x41, 0, 0x0b];
        module(&[
            section(1, &[1, 0x60, 0, 0]),
            section(3, &vector(&vec![vec![0]; functions])),
            section(6, &vector(&vec![global; 1000])),
            section(10, &vector(&vec![body.clone(); functions])),
        ])
    };
    assert_eq!(refused(&of(20)), None);
    assert!(matches!(refused(&of(30)), Some((Limit::Work, _))));
}

#[test]
fn references_that_calls_return_count_with_blocks() {
    let body = |count| {
        [
            &[0x10, 1].repeat(count)[..],
            &[0x02, 0x40, 0x0b].repeat(count),
            &[0x1a].repeat(count),
        ]
        .concat()
    };
    let of = |count| globals(1, &[0x7f, 1], &[0x41, 0], &body(count));
    assert_eq!(refused(&of(3000)), None);
    assert!(matches!(refused(&of(8000)), Some((Limit::FunctionWork, _))));
}

/// A function of so many locals, each of them written at the inside of so many blocks of this kind.
fn written_inside(blocks: usize, open: &[u8], locals: usize) -> Vec<u8> {
    let sets: Vec<u8> = (0..locals as u64)
        .flat_map(|local| [&[0x41, 0, 0x21], &uleb(local)[..]].concat())
        .collect();
    let locals = [vec![1], uleb(locals as u64), vec![0x7f]].concat();
    let ends = [0x0b].repeat(blocks);
    let body = [locals, open.repeat(blocks), sets, ends, vec![0x0b]].concat();
    module(&[
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(10, &vector(&[sized(&body)])),
    ])
}

#[test]
fn locals_that_are_written_in_nested_blocks_count_with_their_number() {
    let refusal = |blocks, open: &[u8], locals| {
        refused(&written_inside(blocks, open, locals)).map(|(limit, _)| limit)
    };
    let expected = Some(Limit::FunctionWork);
    let (ifs, loops): (&[u8], &[u8]) = (&[0x20, 0, 0x04, 0x40], &[0x03, 0x40]);
    assert_eq!(refusal(1000, ifs, 5000), None);
    assert_eq!(refusal(3000, ifs, 3000), expected);
    assert_eq!(refusal(15, loops, 10_000), None);
    assert_eq!(refusal(500, loops, 500), expected);
    assert_eq!(refusal(1581, loops, 36), expected);
    assert_eq!(refusal(5000, loops, 36), expected);
    assert_eq!(refusal(2364, loops, 2), expected);
    // In a row, with all of the locals before and after.
    let row = |count: usize| [loops, &[0x41, 0, 0x21, 0, 0x0b]].concat().repeat(count);
    let mut sets = written_inside(0, ifs, 2000);
    assert_eq!(refused(&sets), None);
    sets = written_inside(1, &row(2000), 2000);
    assert!(matches!(refused(&sets), Some((Limit::FunctionWork, _))));
}

#[test]
fn structures_that_globals_begin_with_count_more_than_their_sum() {
    let of = |count| globals(count, &[0x63, 1, 0], &[0xfb, 1, 1], &[]);
    assert_eq!(refused(&of(700)), None);
    assert!(matches!(refused(&of(900)), Some((Limit::Constants, _))));
}
