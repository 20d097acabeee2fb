//! The figures of bench/peers in plain Rust, as a Rust program would do the work: typed calls, no epochs.

use std::time::{Duration, Instant};
use wasmtime::{Engine, Instance, InstancePre, Linker, Memory, Module, Result, Store, TypedFunc};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};

/// Prints each work, a tab and its figure: see bench/hosts/wasmex.exs.
pub fn peers() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("env", "id", |n: i32| n)?;
    let template = linker.instantiate_pre(&module(&engine, "GUEST")?)?;
    put("memory", each_kib(&engine, &template)?);
    let (mut store, instance) = start(&engine, &template)?;

    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
    put(
        "add",
        measure(|| {
            add.call(&mut store, std::hint::black_box((40, 2)))
                .map(drop)
        })?,
    );
    let imports = instance.get_typed_func::<i32, ()>(&mut store, "imports")?;
    put(
        "import",
        measure(|| imports.call(&mut store, 1000))? / 1000.0,
    );

    let echo = instance.get_typed_func::<i32, i32>(&mut store, "echo")?;
    let memory = instance
        .get_memory(&mut store, "memory")
        .ok_or_else(|| wasmtime::format_err!("memory"))?;
    for (work, size) in [("text_1k", 1024), ("text_1m", 1024 * 1024)] {
        let text = "abcdefgh".repeat(size / 8);
        assert_eq!(copy(&mut store, &echo, memory, &text)?, text);
        put(
            work,
            measure(|| copy(&mut store, &echo, memory, &text).map(drop))?,
        );
    }

    put("instance", measure(|| start(&engine, &template).map(drop))?);
    put("program", program(&engine)?);
    put("compute", compute(&engine)?);
    Ok(())
}

fn put(work: &str, figure: impl std::fmt::Display) {
    println!("{work}\t{figure}");
}

fn quick() -> bool {
    std::env::var_os("QUICK").is_some()
}

/// Microseconds of one run: twice as many runs each time, until they fill the time. The first ones warm up.
fn measure(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let budget = Duration::from_millis(if quick() { 20 } else { 300 });
    run()?;
    let mut count = 1_u64;
    loop {
        let begun = Instant::now();
        for _ in 0..count {
            run()?;
        }
        let took = begun.elapsed();
        if took >= budget {
            return Ok(took.as_secs_f64() * 1e6 / count as f64);
        }
        count *= 2;
    }
}

fn module(engine: &Engine, variable: &str) -> Result<Module> {
    Module::from_file(engine, std::env::var(variable)?)
}

fn start(engine: &Engine, template: &InstancePre<()>) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new(engine, ());
    let instance = template.instantiate(&mut store)?;
    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
    assert_eq!(add.call(&mut store, (40, 2))?, 42);
    Ok((store, instance))
}

fn copy(
    store: &mut Store<()>,
    echo: &TypedFunc<i32, i32>,
    memory: Memory,
    text: &str,
) -> Result<String> {
    memory.write(&mut *store, 0, text.as_bytes())?;
    let address = echo.call(&mut *store, text.len() as i32)? as usize;
    let bytes = &memory.data(&*store)[address..address + text.len()];
    Ok(std::str::from_utf8(bytes)?.to_owned())
}

/// KiB of resident memory for each of many instances that are kept.
fn each_kib(engine: &Engine, template: &InstancePre<()>) -> Result<f64> {
    let before = resident()?;
    let kept = (0..1000)
        .map(|_| start(engine, template))
        .collect::<Result<Vec<_>>>()?;
    Ok((resident()? - before) / kept.len() as f64)
}

fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.unwrap_or("0").parse()?)
}

fn program(engine: &Engine) -> Result<f64> {
    let mut linker: Linker<WasiP1Ctx> = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |context| context)?;
    let template = linker.instantiate_pre(&module(engine, "PROGRAM")?)?;
    let text = "abcdefgh".repeat(128);
    let expected = text.to_uppercase();
    measure(|| {
        let stdout = MemoryOutputPipe::new(1 << 20);
        let context = WasiCtxBuilder::new()
            .args(&["program", "upcase"])
            .stdin(MemoryInputPipe::new(text.clone()))
            .stdout(stdout.clone())
            .build_p1();
        let mut store = Store::new(engine, context);
        let instance = template.instantiate(&mut store)?;
        // A Go program always ends with an exit, which is an error for the caller.
        let _ = instance
            .get_typed_func::<(), ()>(&mut store, "_start")?
            .call(&mut store, ());
        drop(store);
        assert_eq!(stdout.contents(), expected.as_bytes());
        Ok(())
    })
}

fn compute(engine: &Engine) -> Result<f64> {
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, &module(engine, "COMPUTE")?)?;
    let run = instance.get_typed_func::<i32, i32>(&mut store, "sha256_loop")?;
    let rounds = if quick() { 100_000 } else { 5_000_000 };
    let begun = Instant::now();
    run.call(&mut store, rounds)?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}
