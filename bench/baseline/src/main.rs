//! The measurements in plain Rust with the same engine settings: one line of JSON.

mod components;
mod peers;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use wasmtime::{
    Config, Enabled, Engine, FuncType, InstanceAllocationStrategy, InstancePre, Linker, Module,
    OptLevel, PoolingAllocationConfig, Result, Store, Val, ValType,
};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

const GUEST: &str = r#"
(module
  (import "env" "id" (func $id (param i32) (result i32)))
  (memory (export "memory") 32)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "imports") (param $n i32)
    (loop
      (drop (call $id (local.get $n)))
      (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
"#;

const SMALL: &str = r#"(module (memory (export "memory") 1) (func (export "f")))"#;

const SMALL_WASI: &str = r#"
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
  (memory (export "memory") 1) (func (export "f")))
"#;

fn main() -> Result<()> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let flag = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    if std::env::args().any(|arg| arg == "--peers") {
        return peers::peers();
    }
    let mut figures = vec![("share", share())];
    if std::env::args().any(|arg| arg == "--share") {
        print(&figures);
        return Ok(());
    }
    let n: u64 = if quick { 100_000 } else { 1_000_000 };

    let engine = Engine::new(&config(true))?;
    calls(&engine, n, &mut figures)?;
    figures.push(("instantiate", instantiate(&engine, n / 10)?));
    figures.push(("instantiate_wasi", instantiate_wasi(&engine, n / 10)?));
    let pooled = Engine::new(&pooling(0))?;
    figures.push(("instantiate_pooled", instantiate(&pooled, n / 10)?));
    memory(n, &mut figures);
    if let Some(path) = flag("--compute") {
        let rounds = if quick { 200_000 } else { 10_000_000 };
        figures.push(("compute_ms", compute_ms(&path, rounds)?));
    }

    if let Some(path) = flag("--program") {
        let n = if quick { 20 } else { 200 };
        programs(
            ["program", "programs_at_once"],
            &engine,
            &path,
            n,
            &mut figures,
        )?;
        let pooled = Engine::new(&pooling(RESIDENT))?;
        let names = ["program_pooled", "programs_pooled_at_once"];
        programs(names, &pooled, &path, n, &mut figures)?;
    }

    if let Some(path) = flag("--component") {
        components::components(&engine, &path, n, &mut figures)?;
    }

    print(&figures);
    Ok(())
}

fn print(figures: &[(&str, f64)]) {
    let fields: Vec<String> = figures
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value:.6}"))
        .collect();
    println!("{{{}}}", fields.join(", "));
}

/// The share of its core that a loop on each core gets: 1 on an idle machine.
fn share() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let loops: Vec<_> = (0..cores).map(|_| std::thread::spawn(spin)).collect();
    let shares = loops.into_iter().map(|share| share.join().unwrap_or(0.0));
    shares.sum::<f64>() / cores as f64
}

/// CPU time divided by elapsed time, for half a second of work.
fn spin() -> f64 {
    let (start, cpu) = (Instant::now(), thread_time());
    while start.elapsed() < Duration::from_millis(500) {
        std::hint::spin_loop();
    }
    (thread_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64()
}

/// CPU time of this thread; elapsed time if the system does not provide it.
fn thread_time() -> Duration {
    #[cfg(unix)]
    {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes `time`.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
    #[cfg(not(unix))]
    {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// Like `Wasmex.Engine.default/0`.
fn config(epochs: bool) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(epochs);
    config.cranelift_opt_level(OptLevel::Speed);
    config.max_wasm_stack(512 * 1024);
    config.async_stack_size(1024 * 1024);
    config.wasm_memory64(true);
    config
}

/// Memory of a program that stays with its place in the pool.
const RESIDENT: usize = 4 << 20;

/// Like an engine with `pooling` and `pooling_keep_resident`.
fn pooling(resident: usize) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.pagemap_scan(Enabled::Auto);
    pool.linear_memory_keep_resident(resident);
    pool.table_keep_resident(resident);
    pool.async_stack_keep_resident(resident.min(64 << 10));
    pool.total_core_instances(100);
    pool.total_memories(100);
    pool.total_tables(100);
    pool.total_stacks(100);
    pool.total_gc_heaps(100);
    pool.max_memory_size(64 << 20);
    let mut config = config(true);
    config.memory_reservation(64 << 20);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Polls on this thread until the future is ready, like the NIF.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// Microseconds for one of `n` runs, the median of five rounds.
fn measure(n: u64, mut run: impl FnMut(u64) -> Result<()>) -> Result<f64> {
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        run(n)?;
        rounds.push(start.elapsed().as_secs_f64() * 1e6 / n as f64);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[2])
}

/// Suspends once, like a call into Elixir.
async fn suspend_once() {
    let mut suspended = false;
    std::future::poll_fn(|_| {
        if suspended {
            return Poll::Ready(());
        }
        suspended = true;
        Poll::Pending
    })
    .await
}

fn calls(engine: &Engine, n: u64, figures: &mut Vec<(&str, f64)>) -> Result<()> {
    let module = Module::new(engine, GUEST)?;
    let mut linker: Linker<()> = Linker::new(engine);
    let ty = FuncType::new(engine, [ValType::I32], [ValType::I32]);
    linker.func_new_async("env", "id", ty, |_, params, results| {
        Box::new(async move {
            suspend_once().await;
            results[0] = params[0];
            Ok(())
        })
    })?;
    let mut store = Store::new(engine, ());
    store.epoch_deadline_async_yield_and_update(1);
    store.set_epoch_deadline(1);
    let instance = block_on(linker.instantiate_async(&mut store, &module))?;

    let add = instance
        .get_func(&mut store, "add")
        .ok_or_else(|| wasmtime::format_err!("add"))?;
    let params = [Val::I32(40), Val::I32(2)];
    let mut results = [Val::I32(0)];
    figures.push((
        "call",
        measure(n, |n| {
            for _ in 0..n {
                block_on(add.call_async(&mut store, &params, &mut results))?;
            }
            Ok(())
        })?,
    ));

    let typed = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
    figures.push((
        "call_typed",
        measure(n, |n| {
            for _ in 0..n {
                std::hint::black_box(block_on(typed.call_async(&mut store, (40, 2)))?);
            }
            Ok(())
        })?,
    ));

    let imports = instance.get_typed_func::<i32, ()>(&mut store, "imports")?;
    figures.push((
        "import",
        measure(n, |n| block_on(imports.call_async(&mut store, n as i32)))?,
    ));
    Ok(())
}

fn instantiate(engine: &Engine, n: u64) -> Result<f64> {
    let module = Module::new(engine, SMALL)?;
    let template = Linker::new(engine).instantiate_pre(&module)?;
    measure(n, |n| {
        for _ in 0..n {
            let mut store = Store::new(engine, ());
            store.epoch_deadline_async_yield_and_update(1);
            store.set_epoch_deadline(1);
            block_on(template.instantiate_async(&mut store))?;
        }
        Ok(())
    })
}

fn instantiate_wasi(engine: &Engine, n: u64) -> Result<f64> {
    let module = Module::new(engine, SMALL_WASI)?;
    let mut linker: Linker<WasiP1Ctx> = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |context| context)?;
    let template = linker.instantiate_pre(&module)?;
    measure(n, |n| {
        for _ in 0..n {
            let mut store = Store::new(engine, WasiCtxBuilder::new().build_p1());
            store.epoch_deadline_async_yield_and_update(1);
            store.set_epoch_deadline(1);
            block_on(template.instantiate_async(&mut store))?;
        }
        Ok(())
    })
}

fn memory(n: u64, figures: &mut Vec<(&str, f64)>) {
    let source = vec![7_u8; 1 << 20];
    let mut target = vec![0_u8; 1 << 20];
    for (name, size, n) in [("copy_64", 64, n), ("copy_1m", 1 << 20, n / 1000)] {
        let copied = measure(n, |n| {
            for _ in 0..n {
                target[..size].copy_from_slice(std::hint::black_box(&source[..size]));
                std::hint::black_box(&target);
            }
            Ok(())
        });
        figures.push((name, copied.unwrap_or(f64::NAN)));
    }
}

/// A program from a template to its end, with captured output: alone, and on all cores at once.
fn programs(
    [alone, at_once]: [&'static str; 2],
    engine: &Engine,
    path: &str,
    n: u64,
    figures: &mut Vec<(&str, f64)>,
) -> Result<()> {
    let module = Module::from_file(engine, path)?;
    let mut linker: Linker<WasiP1Ctx> = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |context| context)?;
    let template = linker.instantiate_pre(&module)?;
    figures.push((alone, measure(n, |n| run_programs(engine, &template, n))?));
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get()) as u64;
    let elapsed = measure(n, |n| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores)
                .map(|_| scope.spawn(|| run_programs(engine, &template, n)))
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .map_err(|_| wasmtime::format_err!("a thread panicked"))?
            })
        })
    })?;
    figures.push((at_once, elapsed / cores as f64));
    Ok(())
}

fn run_programs(engine: &Engine, template: &InstancePre<WasiP1Ctx>, n: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for _ in 0..n {
        let stdout = MemoryOutputPipe::new(1 << 20);
        let context = WasiCtxBuilder::new()
            .args(&["program", "hello"])
            .stdout(stdout.clone())
            .build_p1();
        let mut store = Store::new(engine, context);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        let run = async {
            let instance = template.instantiate_async(&mut store).await?;
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
            // A Go program always ends with an exit, which is an error for the caller.
            let _ = start.call_async(&mut store, ()).await;
            Ok::<_, wasmtime::Error>(())
        };
        runtime.block_on(run)?;
        assert!(!stdout.contents().is_empty());
    }
    Ok(())
}

/// The same work without epochs: the optimum, for guests that are never interrupted.
fn compute_ms(path: &str, rounds: i32) -> Result<f64> {
    let engine = Engine::new(&config(false))?;
    let module = Module::from_file(&engine, path)?;
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
    let run = instance.get_typed_func::<i32, i32>(&mut store, "sha256_loop")?;
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        run.call(&mut store, rounds)?;
        best = best.min(start.elapsed());
    }
    Ok(best.as_secs_f64() * 1e3)
}
