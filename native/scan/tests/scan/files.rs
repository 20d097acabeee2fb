//! Whole files, and limits that are set.

use crate::bytes::{body_with, component, module, nested_types, refused, section, vector};
use scan::{Limit, Limits, Refusal};

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
fn options_change_limits() {
    let mut limits = Limits::default();
    limits.set(Limit::Nesting, 100);
    assert_eq!(scan::binary(&nested_types(99, 0x41), &limits), Ok(()));
    limits.set(Limit::Nesting, u64::MAX);
    assert!(scan::binary(&nested_types(10_000, 0x41), &limits).is_err());
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
