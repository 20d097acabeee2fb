//! The same for components: typed functions that `bindgen!` makes of the guest's WIT.

use crate::{block_on, measure};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Result, Store};

wasmtime::component::bindgen!({
    path: "../../test/guests/component_bench/wit",
    world: "bench",
    imports: { default: async },
    exports: { default: async },
});

use exports::test::bench::values::{Color, Permissions, Wide};

struct Host;

impl BenchImports for Host {
    async fn tick(&mut self, n: u32) -> u32 {
        n
    }

    async fn shout(&mut self, text: String) -> String {
        text.to_uppercase()
    }
}

type Figures = Vec<(&'static str, f64)>;

pub fn components(engine: &Engine, path: &str, n: u64, figures: &mut Figures) -> Result<()> {
    let component = Component::from_file(engine, path)?;
    let mut linker = Linker::new(engine);
    Bench::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
    let template = BenchPre::new(linker.instantiate_pre(&component)?)?;
    let fresh = || {
        let mut store = Store::new(engine, Host);
        store.set_epoch_deadline(u64::MAX / 2);
        store
    };
    let mut store = fresh();
    let guest = block_on(template.instantiate_async(&mut store))?;
    let values = guest.test_bench_values();

    let mut time = |name, n, run: &mut dyn FnMut(&mut Store<Host>) -> Result<()>| {
        let per = measure(n, |n| (0..n).try_for_each(|_| run(&mut store)))?;
        figures.push((name, per));
        Ok::<_, wasmtime::Error>(())
    };
    time("component_add", n, &mut |store| {
        block_on(guest.call_add(store, 40, 2)).map(drop)
    })?;
    time("component_greet", n, &mut |store| {
        block_on(guest.call_greet(store, "Wasmex")).map(drop)
    })?;
    let record = wide();
    time("component_record", n / 10, &mut |store| {
        block_on(values.call_echo_wide(store, &record)).map(drop)
    })?;
    let numbers: Vec<u32> = (0..10_000).collect();
    time("component_numbers", n / 1_000, &mut |store| {
        block_on(values.call_echo_numbers(store, &numbers)).map(drop)
    })?;
    let bytes = vec![7; 1 << 20];
    time("component_bytes", n / 1_000, &mut |store| {
        block_on(values.call_echo_bytes(store, &bytes)).map(drop)
    })?;
    time("component_bytes_in", n / 1_000, &mut |store| {
        block_on(values.call_count_bytes(store, &bytes)).map(drop)
    })?;
    let counters = guest.test_bench_counters();
    let counter = block_on(counters.counter().call_constructor(&mut store, 0))?;
    let method = measure(n, |n| {
        (0..n).try_for_each(|_| {
            block_on(counters.counter().call_add(&mut store, counter, 1)).map(drop)
        })
    })?;
    figures.push(("component_method", method));
    let loops = measure(n, |n| {
        block_on(guest.call_import_loop(&mut store, n as u32)).map(drop)
    })?;
    figures.push(("component_import", loops));
    let instantiate = measure(n / 100, |n| {
        (0..n).try_for_each(|_| block_on(template.instantiate_async(fresh())).map(drop))
    })?;
    figures.push(("component_instantiate", instantiate));
    Ok(())
}

fn wide() -> Wide {
    Wide {
        field_one: true,
        field_two: 2,
        field_three: -3,
        field_four: 4,
        field_five: -5,
        field_six: 6,
        field_seven: -7,
        field_eight: 8,
        field_nine: -9,
        field_ten: 10.5,
        field_eleven: 11.5,
        field_twelve: 'ü',
        field_thirteen: "thirteen".into(),
        field_fourteen: "fourteen".into(),
        field_fifteen: Some(15),
        field_sixteen: Some("sixteen".into()),
        field_seventeen: (17, 17),
        field_eighteen: Color::Green,
        field_nineteen: Permissions::READ | Permissions::EXECUTE,
        field_twenty: 20,
    }
}
