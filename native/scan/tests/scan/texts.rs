//! WAT and WIT.

use scan::{Limit, Limits, Refusal};

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
