//! Inputs that pass the scan, and inputs that do not.

use scan::{Limit, Limits, Refusal};

fn uleb(mut number: u64) -> Vec<u8> {
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

fn sleb(mut number: i64) -> Vec<u8> {
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

fn sized(body: &[u8]) -> Vec<u8> {
    [uleb(body.len() as u64), body.to_vec()].concat()
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [vec![id], sized(body)].concat()
}

fn vector(items: &[Vec<u8>]) -> Vec<u8> {
    [uleb(items.len() as u64), items.concat()].concat()
}

fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".to_vec(), sections.concat()].concat()
}

fn refused(bytes: &[u8]) -> Option<(Limit, u64)> {
    match scan::binary(bytes, &Limits::default()) {
        Ok(()) => None,
        Err(Refusal::Exceeded { limit, value, .. }) => Some((limit, value)),
        Err(Refusal::Malformed { offset }) => panic!("malformed at {offset}"),
    }
}

fn nested_types(depth: usize, tag: u8) -> Vec<u8> {
    let levels = [tag, 1, 1].repeat(depth);
    component(&[section(7, &[vec![1], levels, vec![tag, 0]].concat())])
}

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

/// Go's linker writes as many data segments as other engines allow, plus a table.
#[test]
fn a_large_program_of_go_passes() {
    let program = |data: usize| {
        let byte = vec![0, 0x41, 0, 0x0b, 1, 65];
        let element = vec![0, 0x41, 0, 0x0b, 0];
        module(&[
            section(4, &vector(&[vec![0x70, 0, 1]])),
            section(5, &vector(&[vec![0, 1]])),
            section(9, &vector(&[element])),
            section(11, &vector(&vec![byte; data])),
        ])
    };
    assert_eq!(refused(&program(100_000)), None);
    assert!(matches!(
        refused(&program(200_000)),
        Some((Limit::Segments, _))
    ));
}

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

#[test]
fn malformed_modules_pass_and_malformed_components_do_not() {
    let limits = Limits::default();
    assert_eq!(scan::binary(b"", &limits), Ok(()));
    assert_eq!(scan::binary(b"\0asm\x01\0\0\0\x01\x05", &limits), Ok(()));
    assert_eq!(
        scan::binary(&module(&[section(1, &[1, 0x99])]), &limits),
        Ok(())
    );
    let malformed = component(&[section(7, &[1, 0x99])]);
    assert_eq!(
        scan::binary(&malformed, &limits),
        Err(Refusal::Malformed { offset: 12 })
    );
}

#[test]
fn brackets_of_wit_nest_so_deep() {
    let limits = Limits::default();
    let nested = |depth: usize, between: &str| {
        let open = format!("list<{between}").repeat(depth);
        scan::wit(
            format!("interface i {{ type t = {open}u8 }}").as_bytes(),
            &limits,
        )
    };
    assert_eq!(nested(30, ""), Ok(()));
    for between in ["", "/* > */", "// >\n", "/* /* > */ > */"] {
        let refused = nested(40, between);
        assert!(
            matches!(
                refused,
                Err(Refusal::Exceeded {
                    limit: Limit::Nesting,
                    ..
                })
            ),
            "{between}"
        );
    }
    let functions = "f: func(a: list<u8>) -> list<u8>;\n".repeat(1000);
    assert_eq!(scan::wit(functions.as_bytes(), &limits), Ok(()));
    assert_eq!(scan::wit(b"/*", &limits), Ok(()));
}

#[test]
fn options_change_limits() {
    let mut limits = Limits::default();
    limits.set(Limit::Nesting, 100);
    assert_eq!(scan::binary(&nested_types(99, 0x41), &limits), Ok(()));
    limits.set(Limit::Nesting, u64::MAX);
    assert!(scan::binary(&nested_types(10_000, 0x41), &limits).is_err());
}

/// The limit of a WIT text that is exceeded.
fn wit_refused(text: &str) -> Option<Limit> {
    match scan::wit(text.as_bytes(), &Limits::default()) {
        Err(Refusal::Exceeded { limit, .. }) => Some(limit),
        _ => None,
    }
}

#[test]
fn what_worlds_repeat_counts_each_time() {
    let each = |count: usize, text: &dyn Fn(usize) -> String| -> String {
        (1..=count).map(text).collect()
    };
    let worlds = |count| {
        each(count, &|n| {
            format!(
                "world w{n} {{ include w{}; import a{n}: func(); }}\n",
                n - 1
            )
        })
    };
    assert_eq!(wit_refused(&worlds(1_000)), None);
    assert_eq!(wit_refused(&worlds(10_000)), Some(Limit::TextWork));

    let interfaces = |count| {
        each(count, &|n| {
            format!("interface i{n} {{ use i{}.{{t}}; }}\n", n - 1)
        })
    };
    assert_eq!(wit_refused(&interfaces(10_000)), None);
    assert_eq!(wit_refused(&interfaces(50_000)), Some(Limit::TextWork));
    // Escaped, and in comments, they are names.
    let names = each(50_000, &|_| {
        "%interface-a /* interface */ // interface\n".into()
    });
    assert_eq!(wit_refused(&names), None);

    let long = "n".repeat(500_000);
    let items = each(5_000, &|n| format!("import i{n};\n"));
    for text in [
        format!("package a:b@1.0.0-{long};\nworld w {{ {items} }}"),
        format!(
            "package a:b@1.0.0+{}; world w {{ {items} }}",
            "a.".repeat(250_000)
        ),
        format!("interface {long} {{ type t = u8; {items} }}"),
    ] {
        assert_eq!(wit_refused(&text), Some(Limit::TextWork));
    }

    // Files of a package count together.
    let limits = Limits::default();
    let mut files = scan::Wit::new(&limits);
    let one = interfaces(10_000);
    let added: Vec<_> = (0..5).map(|_| files.add(one.as_bytes()).is_ok()).collect();
    assert_eq!(added, [true, true, false, false, false]);
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
fn real_programs_are_far_below_limits() {
    let mut limits = Limits::default();
    limits.set(Limit::TypeWork, 2_000_000);
    limits.set(Limit::Instances, 2_000);
    limits.set(Limit::Aliases, 5_000);
    limits.set(Limit::ExternalNames, 200_000);
    limits.set(Limit::Names, 50_000);
    limits.set(Limit::Tags, 10);
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/guests");
    let mut folders = vec![std::path::PathBuf::from(guests)];
    let mut components = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "wasm")
            {
                let bytes = std::fs::read(&path).unwrap_or_default();
                components += usize::from(bytes.get(4) == Some(&0x0d));
                assert_eq!(scan::binary(&bytes, &limits), Ok(()), "{}", path.display());
            }
        }
    }
    assert!(components > 5, "{components}");
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

/// A module with a function of no parameters, and others of these types.
fn body_with(types: &[Vec<u8>], more: &[Vec<u8>], locals: u64, code: &[u8]) -> Vec<u8> {
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

fn text_refused(refused: Result<(), Refusal>) -> Option<Limit> {
    match refused {
        Err(Refusal::Exceeded { limit, .. }) => Some(limit),
        _ => None,
    }
}

#[test]
fn labels_of_wat_count_with_the_blocks_around_them() {
    let limits = Limits::default();
    let flat = |depth: usize, times: usize| {
        let text = [
            "(func block $l ",
            &"block ".repeat(depth),
            &"br $l ".repeat(times),
        ]
        .concat();
        text_refused(scan::wat(text.as_bytes(), &limits))
    };
    assert_eq!(flat(100, 100_000), None);
    assert_eq!(flat(20_000, 100_000), Some(Limit::TextWork));
    let folded = [
        "(func ",
        &"(block $a ".repeat(50_000),
        &"(br $l)".repeat(50_000),
    ]
    .concat();
    assert_eq!(
        text_refused(scan::wat(folded.as_bytes(), &limits)),
        Some(Limit::TextWork)
    );
    // Blocks that have ended, strings and comments are none.
    let row = "block $l br $l end ;; block\n(; block ;) \"block \\\" block\" ".repeat(50_000);
    assert_eq!(text_refused(scan::wat(row.as_bytes(), &limits)), None);
}

#[test]
fn items_of_wat_count() {
    let limits = Limits::default();
    let with = |count: usize| text_refused(scan::wat("(func)".repeat(count).as_bytes(), &limits));
    assert_eq!(with(100_000), None);
    assert_eq!(with(2_700_000), Some(Limit::TextWork));
}

#[test]
fn names_that_are_included_as_others_count_with_what_is_there() {
    let limits = Limits::default();
    let with = |count: usize| {
        let each = |line: fn(usize) -> String| (0..count).map(line).collect::<String>();
        let items = each(|at| format!("import a{at}: func();"));
        let renames = each(|at| format!("a{at} as b{at},"));
        let text = format!("world x {{ {items} }} world y {{ include x with {{ {renames} }} }}");
        text_refused(scan::wit(text.as_bytes(), &limits))
    };
    assert_eq!(with(1_000), None);
    assert_eq!(with(20_000), Some(Limit::TextWork));
}

#[test]
fn half_the_stack_of_a_dirty_scheduler_is_enough() {
    let code = [0x02, 0x40].repeat(10_000);
    let code = [code, vec![0x0b; 10_000]].concat();
    let module = body_with(&[], &[], 0, &code);
    let nested = (0..30).fold(component(&[section(1, &module)]), |inner, _| {
        component(&[section(4, &inner)])
    });
    let scan = move || assert_eq!(refused(&nested), None);
    let small = std::thread::Builder::new().stack_size(160 * 1024);
    assert!(small.spawn(scan).expect("a thread").join().is_ok());
}

#[test]
fn quick_limits_are_a_share_of_the_defaults_and_never_above_the_engine_s() {
    let mut limits = Limits::default();
    limits.set(Limit::Functions, 7);
    limits.set(Limit::FunctionWork, u64::MAX);
    let quick = limits.quick();
    assert_eq!(quick.get(Limit::Functions), 7);
    assert_eq!(
        quick.get(Limit::FunctionWork),
        Limits::default().get(Limit::FunctionWork) / 50
    );
    assert_eq!(quick.get(Limit::Nesting), limits.get(Limit::Nesting));
}
