defmodule Bench.Instantiate do
  @moduledoc "Instances from a template, each with its own store, and pure computation."

  import Bench
  alias Wasmex.{Engine, EngineConfig, Instance, Module, Store, Template}
  alias Wasmex.Wasi.WasiOptions

  @small ~s|(module (memory (export "memory") 1) (func (export "f")))|
  @small_wasi ~s|(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
    (memory (export "memory") 1) (func (export "f")))|

  def run(quick?) do
    n = if quick?, do: 5_000, else: 100_000
    {:ok, pooled} = Engine.new(%EngineConfig{config() | pooling: 100})

    [
      row("instance from a template", instances(n, @small, Engine.default(), false), "µs",
        rust: "instantiate",
        goal: "1.15x",
        test: {:ratio, 1.15},
        readme: true
      ),
      row("the same with WASI", instances(n, @small_wasi, Engine.default(), true), "µs",
        rust: "instantiate",
        goal: "1.2x",
        test: {:ratio, 1.2}
      ),
      row("the same from a pool", instances(n, @small, pooled, false), "µs",
        rust: "instantiate_pooled",
        goal: "1.3x",
        test: {:ratio, 1.3},
        readme: true
      )
      | compute(quick?)
    ]
  end

  defp config, do: %EngineConfig{cranelift_opt_level: :speed, memory64: true}

  defp instances(n, wat, engine, wasi?) do
    template = template(wat, engine)
    per_op(n, &repeat(template, engine, wasi?, &1))
  end

  defp repeat(_template, _engine, _wasi?, 0), do: :ok

  defp repeat(template, engine, wasi?, n) do
    {:ok, store} =
      if wasi?, do: Store.new_wasi(%WasiOptions{}, nil, engine), else: Store.new(nil, engine)

    {:ok, _instance} = Template.instantiate(template, store)
    # As in Rust, where the store is dropped at the end of each round.
    Store.close(store)
    repeat(template, engine, wasi?, n - 1)
  end

  defp compute(quick?) do
    {:ok, dense} = Engine.new(%EngineConfig{config() | density: true})
    rounds = if quick?, do: 200_000, else: 10_000_000

    [
      row("compute (SHA-256 chain)", compute_ms(Engine.default(), rounds), "ms",
        rust: "compute_ms",
        goal: "1.03x",
        test: {:ratio, 1.03},
        readme: true
      ),
      row("compute on an engine for density", compute_ms(dense, rounds), "ms",
        rust: "compute_ms",
        goal: "the price, shown"
      )
    ]
  end

  defp compute_ms(engine, rounds) do
    {:ok, store} = Store.new(nil, engine)
    {:ok, module} = Module.compile(engine, compute_guest())
    {:ok, instance} = Instance.new(store, module, %{})

    for _ <- 1..3 do
      {microseconds, {:ok, _}} =
        :timer.tc(fn -> Instance.call(instance, "sha256_loop", [rounds]) end)

      microseconds / 1000
    end
    |> Enum.min()
  end
end
