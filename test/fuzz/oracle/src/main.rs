//! Makes random modules and says what plain wasmtime makes of them, a line for each thing:
//!
//! ```text
//! case SEED SIZE
//! wasm HEX
//! start OUTCOME
//! call NAME ARGUMENTS OUTCOME
//! memory NAME BYTES ADLER32
//! global NAME VALUE
//! end
//! ```
//!
//! An outcome is `ok:VALUE;VALUE` or `trap:TEXT`; names and texts are hexadecimal. A case is made of SEED
//! and SIZE alone: the same two make the same case again, and a smaller size a smaller one.

use arbitrary::Unstructured;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write;
use wasmtime::{
    Config, Engine, Extern, ExternType, FuncType, Linker, Module, OptLevel, Result, Store,
    StoreLimits, StoreLimitsBuilder, Trap, Val, ValType,
};

/// For instantiation and for each call.
const FUEL: u64 = 100_000;
const MAX_MEMORY: usize = 16 << 20;
const MAX_TABLE: usize = 10_000;

fn main() -> Result<()> {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let [first, count, size] = numbers[..] else {
        eprintln!("oracle FIRST_SEED COUNT SIZE");
        std::process::exit(2);
    };
    let engine = Engine::new(&config())?;
    for seed in first..first + count {
        if let Some(text) = case(&engine, seed, size)? {
            print!("{text}");
        }
    }
    Ok(())
}

/// As the engine that the Elixir side uses.
fn config() -> Config {
    let mut config = Config::new();
    config.consume_fuel(true);
    config.cranelift_opt_level(OptLevel::Speed);
    config.max_wasm_stack(512 * 1024);
    // It never comes, but the code that looks for it takes room on the stack.
    config.epoch_interruption(true);
    config
}

fn case(engine: &Engine, seed: u64, size: u64) -> Result<Option<String>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut entropy = vec![0; size as usize];
    rng.fill_bytes(&mut entropy);
    let Ok(module) = wasm_smith::Module::new(shape(seed), &mut Unstructured::new(&entropy)) else {
        return Ok(None);
    };
    let wasm = module.to_bytes();
    let Ok(module) = Module::new(engine, &wasm) else {
        return Ok(None);
    };
    let mut linker = Linker::new(engine);
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else {
            return Ok(None);
        };
        let Some(results) = defaults(&ty) else {
            return Ok(None);
        };
        let defined = linker.func_new(import.module(), import.name(), ty, move |_, _, slots| {
            slots.clone_from_slice(&results);
            Ok(())
        });
        if defined.is_err() {
            return Ok(None);
        }
    }
    let mut text = format!("case {seed} {size}\nwasm {}\n", hex(&wasm));
    run(engine, &linker, &module, &mut rng, &mut text)?;
    text.push_str("end\n");
    Ok(Some(text))
}

fn shape(seed: u64) -> wasm_smith::Config {
    wasm_smith::Config {
        max_imports: if seed.is_multiple_of(2) { 0 } else { 3 },
        max_funcs: 12,
        max_memories: 1,
        max_tables: 2,
        max_memory32_bytes: 4 << 20,
        max_table_elements: 1_000,
        export_everything: true,
        memory64_enabled: false,
        threads_enabled: false,
        gc_enabled: false,
        compact_imports_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        ..wasm_smith::Config::default()
    }
}

fn run(
    engine: &Engine,
    linker: &Linker<StoreLimits>,
    module: &Module,
    rng: &mut StdRng,
    text: &mut String,
) -> Result<()> {
    let limits = StoreLimitsBuilder::new()
        .memory_size(MAX_MEMORY)
        .table_elements(MAX_TABLE)
        .build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    store.set_fuel(FUEL)?;
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = match linker.instantiate(&mut store, module) {
        Ok(instance) => instance,
        Err(error) => {
            writeln!(text, "start {}", trap(&error))?;
            return Ok(());
        }
    };
    writeln!(text, "start ok:")?;
    for export in module.exports() {
        let name = export.name();
        if let ExternType::Func(ty) = export.ty()
            && let Some(func) = instance.get_func(&mut store, name)
            && let Some(args) = arguments(&ty, rng)
        {
            let mut results = vec![Val::I32(0); ty.results().len()];
            store.set_fuel(FUEL)?;
            let outcome = match func.call(&mut store, &args, &mut results) {
                Ok(()) => format!("ok:{}", values(&results)),
                Err(error) => trap(&error),
            };
            writeln!(
                text,
                "call {} {} {outcome}",
                hex(name.as_bytes()),
                values(&args)
            )?;
        }
    }
    for export in module.exports() {
        let name = hex(export.name().as_bytes());
        match instance.get_export(&mut store, export.name()) {
            Some(Extern::Memory(memory)) => {
                let bytes = memory.data(&store);
                writeln!(text, "memory {name} {} {}", bytes.len(), adler32(bytes))?;
            }
            Some(Extern::Global(global)) => {
                let value = global.get(&mut store);
                writeln!(text, "global {name} {}", value_of(&value))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn defaults(ty: &FuncType) -> Option<Vec<Val>> {
    ty.results().map(|ty| Val::default_for_ty(&ty)).collect()
}

fn arguments(ty: &FuncType, rng: &mut StdRng) -> Option<Vec<Val>> {
    ty.params()
        .map(|ty| {
            Some(match ty {
                ValType::I32 => Val::I32(rng.next_u32() as i32 >> (rng.next_u32() % 32)),
                ValType::I64 => Val::I64(rng.next_u64() as i64 >> (rng.next_u32() % 64)),
                ValType::F32 => Val::F32(rng.next_u32()),
                ValType::F64 => Val::F64(rng.next_u64()),
                ValType::V128 => {
                    let wide = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
                    Val::V128(wide.into())
                }
                ty => Val::default_for_ty(&ty)?,
            })
        })
        .collect()
}

fn values(values: &[Val]) -> String {
    let list: Vec<String> = values.iter().map(value_of).collect();
    if list.is_empty() {
        "-".into()
    } else {
        list.join(";")
    }
}

/// Every NaN is the same: which one an operation makes is not laid down.
fn value_of(value: &Val) -> String {
    match value {
        Val::I32(n) => format!("i32:{n}"),
        Val::I64(n) => format!("i64:{n}"),
        Val::F32(bits) if f32::from_bits(*bits).is_nan() => format!("f32:nan:{bits}"),
        Val::F32(bits) => format!("f32:{bits}"),
        Val::F64(bits) if f64::from_bits(*bits).is_nan() => format!("f64:nan:{bits}"),
        Val::F64(bits) => format!("f64:{bits}"),
        Val::V128(bits) => format!("v128:{}", bits.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => {
            "ref:null".into()
        }
        _ => "ref:some".into(),
    }
}

fn trap(error: &wasmtime::Error) -> String {
    let text = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None if error.is::<wasmtime::ThrownException>() => "uncaught wasm exception".into(),
        None => "other".into(),
    };
    format!("trap:{}", hex(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".into();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for chunk in bytes.chunks(5_552) {
        for byte in chunk {
            a += u32::from(*byte);
            b += a;
        }
        a %= 65_521;
        b %= 65_521;
    }
    b << 16 | a
}
