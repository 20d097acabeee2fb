//! Components: their types, and what they repeat.

use crate::bytes::{component, module, nested_types, refused, section, sized, uleb, vector};
use scan::{Limit, Limits, Refusal};

#[test]
fn types_nest_so_deep() {
    for tag in [0x41, 0x42] {
        assert_eq!(refused(&nested_types(31, tag)), None);
        assert_eq!(refused(&nested_types(32, tag)), Some((Limit::Nesting, 33)));
        assert_eq!(
            refused(&nested_types(1_000_000, tag)),
            Some((Limit::Nesting, 33))
        );
    }
}

#[test]
fn components_nest_so_deep() {
    let nested =
        |depth| (0..depth).fold(component(&[]), |inner, _| component(&[section(4, &inner)]));
    assert_eq!(refused(&nested(32)), None);
    assert_eq!(refused(&nested(33)), Some((Limit::Nesting, 33)));
    assert_eq!(refused(&nested(500)), Some((Limit::Nesting, 33)));
}

/// Each component makes two instances of the one before it.
fn doubling(levels: u32) -> Vec<u8> {
    let mut sections = vec![section(4, &component(&[]))];
    for level in 0..levels {
        let alias = section(6, &vector(&[[vec![4, 2, 1], uleb(level.into())].concat()]));
        let instances = section(5, &vector(&[vec![0, 0, 0], vec![0, 0, 0]]));
        sections.push(section(4, &component(&[alias, instances])));
    }
    component(&sections)
}

#[test]
fn instances_count_as_often_as_they_are_made() {
    assert_eq!(refused(&doubling(10)), None);
    assert!(matches!(
        refused(&doubling(40)),
        Some((Limit::Instances, _))
    ));
}

#[test]
fn aliases_have_a_number() {
    let outer = |count| component(&[section(6, &vector(&vec![vec![3, 2, 1, 0]; count]))]);
    assert_eq!(refused(&outer(100_000)), None);
    assert_eq!(refused(&outer(100_001)), Some((Limit::Aliases, 100_001)));
    let declared = |count| {
        let alias = vec![2, 3, 2, 1, 0];
        let instance = [vec![0x42], vector(&vec![alias; count])].concat();
        component(&[section(7, &[vec![1], instance].concat())])
    };
    assert_eq!(refused(&declared(100_001)), Some((Limit::Aliases, 100_001)));
}

#[test]
fn what_instances_are_made_of_counts_each_time() {
    let of_core = |kind: u8, count| {
        let item = match kind {
            0 => vec![1, b'x', 0x12, 0],
            _ => vec![1, b'x', 0, 0],
        };
        let start = if kind == 0 { vec![0, 0] } else { vec![1] };
        section(2, &[vec![1], start, vector(&vec![item; count])].concat())
    };
    for (kind, limit) in [(0, Limit::Imports), (1, Limit::Exports)] {
        assert_eq!(refused(&component(&[of_core(kind, 100_000)])), None);
        let more = component(&[of_core(kind, 100_001)]);
        assert_eq!(refused(&more), Some((limit, 100_001)));
    }
    // A thousand exports, made so often.
    let times = |count| {
        let inner = section(4, &component(&[of_core(1, 1_000)]));
        let instances = section(5, &vector(&vec![vec![0, 0, 0]; count]));
        component(&[inner, instances])
    };
    assert_eq!(refused(&times(300)), None);
    let limit = refused(&times(400)).map(|(limit, _)| limit);
    assert_eq!(limit, Some(Limit::Instances));
}

/// A component that passes a function to another so many times, each time with a type of two to the power of `depth` parts.
fn compared(depth: u8, times: usize) -> Vec<u8> {
    let pairs = (0..depth).map(|level| vec![0x6f, 2, level, level]);
    let mut types = vec![vec![0x70, 0x7d]];
    types.extend(pairs);
    types.push(vec![0x40, 1, 1, b'x', depth, 1, 0]);
    let function = depth.saturating_add(1);
    let types = section(7, &vector(&types));
    let import = section(10, &vector(&[vec![0, 1, b'f', 1, function]]));
    let inner = component(&[types.clone(), import.clone()]);
    let instance = vec![0, 0, 1, 1, b'f', 1, 0];
    let instances = section(5, &vector(&vec![instance; times]));
    component(&[types, import, section(4, &inner), instances])
}

#[test]
fn types_count_as_often_as_they_are_compared() {
    assert_eq!(refused(&compared(18, 90)), None);
    let limit = refused(&compared(18, 3_000)).map(|(limit, _)| limit);
    assert_eq!(limit, Some(Limit::TypeWork));
    assert_eq!(refused(&compared(5, 3_000)), None);
}

#[test]
fn parts_of_a_component_do_not_claim_more_than_they_have() {
    let limits = Limits::default();
    let claims =
        |bytes: &[u8]| matches!(scan::binary(bytes, &limits), Err(Refusal::Malformed { .. }));
    let types = section(1, &vector(&[vec![0x60, 0, 0]]));
    let functions = section(3, &vector(&[vec![0]]));
    let with_code = |code: &[u8]| module(&[types.clone(), functions.clone(), section(10, code)]);
    let inside = |bytes: &[u8]| component(&[section(1, bytes)]);
    // The locals of the first body are incomplete; what follows is read all the same.
    let with_body = |size| with_code(&[vec![2, 1, 5], uleb(size), vec![0, 0x0b]].concat());
    let limit = refused(&inside(&with_body(0x7fff_ffff))).map(|(limit, _)| limit);
    assert_eq!(limit, Some(Limit::FunctionSize));
    let body = with_body(1_000_000);
    assert!(claims(&inside(&body)));
    assert!(!claims(&inside(&with_code(&[1, 2, 0, 0x0b]))));
    // The parser of modules allocates nothing, and says best what is wrong.
    assert_eq!(scan::binary(&body, &limits), Ok(()));

    let mut cut = with_code(&[1, 2, 0, 0x0b]);
    cut.extend([11, 100, 0]);
    assert!(claims(&inside(&cut)));
    let nested = [component(&[]), vec![0, 100, 1, b'x']].concat();
    assert!(claims(&component(&[
        section(4, &nested),
        section(0, &[1; 200])
    ])));
}

#[test]
fn types_count_where_functions_are_lowered() {
    let tuple = |ty: &[u8]| [vec![0x6f], vector(&vec![ty.to_vec(); 900])].concat();
    let function = [vec![0x40, 1], sized(b"x"), vec![1, 1, 0]].concat();
    let types = section(7, &vector(&[tuple(&[0x7d]), tuple(&[0]), function]));
    let import = section(10, &vector(&[[vec![0], sized(b"f"), vec![1, 2]].concat()]));
    let with = |count| {
        let lowered = section(8, &vector(&vec![vec![1, 0, 0, 0]; count]));
        refused(&component(&[types.clone(), import.clone(), lowered]))
    };
    assert_eq!(with(100), None);
    assert!(matches!(with(1_000), Some((Limit::TypeWork, _))));
}

#[test]
fn items_of_components_count_as_often_as_they_are_instantiated() {
    let function = section(7, &vector(&[vec![0x40, 0, 1, 0]]));
    let import = section(10, &vector(&[[vec![0], sized(b"f"), vec![1, 0]].concat()]));
    let export = |at: u32| [vec![0], sized(at.to_string().as_bytes()), vec![1, 0, 0]].concat();
    let with = |exports, times| {
        // One section for each, so that none has many.
        let exports = (0..exports).map(|at| section(11, &vector(&[export(at)])));
        let inner = [vec![function.clone(), import.clone()], exports.collect()].concat();
        let instance = [vec![0, 0], vector(&[[sized(b"f"), vec![1, 0]].concat()])].concat();
        let outer = [
            function.clone(),
            import.clone(),
            section(4, &component(&inner)),
            section(5, &vector(&vec![instance; times])),
        ];
        refused(&component(&outer))
    };
    assert_eq!(with(1_000, 100), None);
    assert!(matches!(with(5_000, 100), Some((Limit::Instances, _))));
}
