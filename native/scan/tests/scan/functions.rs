//! Functions, and what makes them slow to compile.

use crate::bytes::{body_with, component, module, refused, section, sized, uleb, vector};
use scan::Limit;

#[test]
fn functions_have_a_size_and_locals() {
    let code = |bodies: &[Vec<u8>]| module(&[section(10, &vector(bodies))]);
    let locals = sized(&[vec![1], uleb(50_000), vec![0x7f, 0x0b]].concat());
    assert_eq!(refused(&code(&vec![locals.clone(); 200])), None);
    assert!(matches!(
        refused(&code(&vec![locals; 201])),
        Some((Limit::Locals, _))
    ));
    let large = sized(&[vec![0], vec![1; 3_000_000], vec![0x0b]].concat());
    assert!(matches!(
        refused(&code(&[large])),
        Some((Limit::FunctionSize, _))
    ));
    let wide = [vec![0x60], vector(&vec![vec![0x7f]; 1000]), vec![0]].concat();
    let calls = |count| {
        let body = sized(&[vec![0], [0x10, 0].repeat(count), vec![0x0b]].concat());
        module(&[
            section(1, &vector(std::slice::from_ref(&wide))),
            section(3, &[1, 0]),
            section(10, &vector(&[body])),
        ])
    };
    assert_eq!(refused(&calls(1000)), None);
    let wide = calls(2000);
    assert!(matches!(refused(&wide), Some((Limit::FunctionWork, _))));
}

/// A module of so many globals of the value type, with this body.
/// Parsers read on after a body that they do not understand; wit-parser allocates what the next one claims.
#[test]
fn bodies_after_a_malformed_one_count() {
    let malformed = sized(&[1, 0xff]);
    let claims = uleb(0x7fff_fffc);
    let code = section(10, &[vec![2], malformed, claims].concat());
    let bytes = module(&[code]);
    let expected = Some((Limit::FunctionSize, 0x7fff_fffc));
    assert_eq!(refused(&bytes), expected);
    assert_eq!(refused(&component(&[section(1, &bytes)])), expected);
}

#[test]
fn calls_count_with_the_handlers_around_them() {
    let tags = section(13, &vector(&[vec![0, 0]]));
    let code = |catches: u64, calls: usize| {
        let clauses = [0, 0, 0].repeat(usize::try_from(catches).expect("small"));
        let open = [vec![2, 0x40, 0x1f, 0x40], uleb(catches), clauses].concat();
        [open, [0x10, 0].repeat(calls), vec![0x0b, 0x0b]].concat()
    };
    let with = |catches, calls| {
        refused(&body_with(
            &[],
            std::slice::from_ref(&tags),
            0,
            &code(catches, calls),
        ))
    };
    assert_eq!(with(3, 20_000), None);
    assert_eq!(with(1_000, 100), None);
    assert!(matches!(with(1_000, 1_000), Some((Limit::FunctionWork, _))));
    // Also those of the blocks further out.
    let inner = code(2, 1_000);
    let mut open = code(1_000, 0);
    open.truncate(open.len() - 2);
    let nested = [open, inner, vec![0x0b, 0x0b]].concat();
    assert!(matches!(
        refused(&body_with(&[], &[tags], 0, &nested)),
        Some((Limit::FunctionWork, _))
    ));
}

#[test]
fn handlers_count_with_the_values_that_they_take_out() {
    let ty = [vec![0x60], vector(&vec![vec![0x7f]; 1_000]), vec![0]].concat();
    let tags = section(13, &vector(&[vec![0, 1]]));
    let clauses = [0, 0, 0].repeat(10_000);
    let code = [
        vec![2, 0x40, 0x1f, 0x40],
        uleb(10_000),
        clauses,
        vec![0x0b, 0x0b],
    ]
    .concat();
    assert!(matches!(
        refused(&body_with(&[ty], &[tags], 0, &code)),
        Some((Limit::FunctionWork, _))
    ));
}

#[test]
fn branches_count_with_the_locals_that_differ() {
    let sets = |locals: u64| {
        let set = |local| [vec![0x41, 0, 0x21], uleb(local)].concat();
        (0..locals).map(set).collect::<Vec<_>>().concat()
    };
    let code = |locals, branches: usize| {
        let branches = [0x41, 0, 0x0d, 0].repeat(branches);
        [
            vec![2, 0x40],
            branches.clone(),
            sets(locals),
            branches,
            vec![0x0b],
        ]
        .concat()
    };
    let with = |locals, branches| refused(&body_with(&[], &[], locals, &code(locals, branches)));
    assert_eq!(with(100, 2_000), None);
    assert!(matches!(with(2_000, 2_000), Some((Limit::FunctionWork, _))));
    // A table of branches to one label is as many.
    let table = [
        vec![2, 0x40],
        sets(2_000),
        vec![0x41, 0, 0x0e],
        uleb(4_000),
        vec![0; 4_001],
    ];
    let table = [table.concat(), vec![0x0b]].concat();
    assert!(matches!(
        refused(&body_with(&[], &[], 2_000, &table)),
        Some((Limit::FunctionWork, _))
    ));
}

#[test]
fn references_count_with_the_calls_that_they_live_across() {
    let code = |references: usize, calls: usize| {
        [
            [0x41, 0, 0x25, 0].repeat(references),
            [0x10, 0].repeat(calls),
            [0x1a].repeat(references),
        ]
        .concat()
    };
    let table = section(4, &vector(&[vec![0x6f, 0, 1]]));
    let with = |references, calls| {
        refused(&body_with(
            &[],
            std::slice::from_ref(&table),
            0,
            &code(references, calls),
        ))
    };
    assert_eq!(with(1_000, 10_000), None);
    assert!(matches!(
        with(10_000, 10_000),
        Some((Limit::FunctionWork, _))
    ));
}

#[test]
fn instructions_that_become_loops_count_as_such() {
    let fills = [0x41, 0, 0xd0, 0x6f, 0x41, 1, 0xfc, 17, 0].repeat(10_000);
    assert!(matches!(
        refused(&body_with(&[], &[], 0, &fills)),
        Some((Limit::FunctionWork, _))
    ));
}

#[test]
fn branches_to_one_label_count_more_than_their_sum() {
    let branches = |times: usize| {
        let code = [
            vec![0x02, 0x40],
            [0x20, 0, 0x0d, 0].repeat(times),
            vec![0x0b],
        ]
        .concat();
        refused(&body_with(&[], &[], 1, &code))
    };
    assert_eq!(branches(10_000), None);
    assert!(matches!(branches(100_000), Some((Limit::FunctionWork, _))));
    // To the label of the function, too.
    let leaves = [0x20, 0, 0x0d, 0].repeat(100_000);
    let leaves = refused(&body_with(&[], &[], 1, &leaves));
    assert!(matches!(leaves, Some((Limit::FunctionWork, _))));
}

#[test]
fn locals_that_differ_on_branches_count_with_one_another() {
    let branches = |locals: u64, times: usize| {
        let sets = (0..locals).flat_map(|local| [vec![0x20, 0, 0x21], uleb(local)].concat());
        let code = [
            vec![0x02, 0x40],
            sets.collect(),
            [0x20, 0, 0x0d, 0].repeat(times),
            vec![0x0b],
        ];
        refused(&body_with(&[], &[], locals, &code.concat()))
    };
    assert_eq!(branches(4_000, 20), None);
    assert!(matches!(
        branches(40_000, 20),
        Some((Limit::FunctionWork, _))
    ));
}

#[test]
fn rotations_count_as_several() {
    let rotations = |times: usize| {
        let code = [vec![0x20, 0], [0x20, 0, 0x77].repeat(times), vec![0x1a]].concat();
        refused(&body_with(&[], &[], 1, &code))
    };
    assert_eq!(rotations(20_000), None);
    assert!(matches!(rotations(400_000), Some((Limit::FunctionWork, _))));
}

#[test]
fn functions_count_with_their_parameters() {
    let wide = [vec![0x60], vector(&vec![vec![0x7f]; 1_000]), vec![0]].concat();
    let with = |count: usize| {
        let bodies = vec![vec![2, 0, 0x0b]; count];
        let types = section(1, &vector(std::slice::from_ref(&wide)));
        let functions = section(3, &vector(&vec![vec![0]; count]));
        refused(&module(&[types, functions, section(10, &vector(&bodies))]))
    };
    assert_eq!(with(1_000), None);
    assert!(matches!(with(10_000), Some((Limit::Work, _))));
}
