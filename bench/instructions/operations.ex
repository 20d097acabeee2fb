defmodule Bench.Operations do
  @moduledoc "The counted operations: a name, the number of repetitions, and a function that repeats it."

  alias Wasmex.{
    Components,
    Engine,
    EngineConfig,
    Instance,
    Linker,
    Memory,
    Module,
    Store,
    Template
  }

  alias Wasmex.Wasi.WasiOptions

  # A helper runs outside of valgrind, and its code may use instructions that valgrind does not have.
  @here [compile: :in_process]

  @guest """
  (module
    (import "env" "id" (func $id (param i32) (result i32)))
    (memory (export "memory") 32)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "imports") (param $n i32)
      (loop
        (drop (call $id (local.get $n)))
        (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  """
  @small ~s|(module (memory (export "memory") 1) (func (export "f")))|
  @small_wasi ~s|(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
    (memory (export "memory") 1) (func (export "f")))|
  @empty ~s|(module (memory (export "memory") 1) (func (export "_start")))|
  @go "test/guests/programs/go/program.wasm"
  @component "test/guests/component_bench/component_bench.wasm"
  @values "test:bench/values@1.0.0"
  @counters "test:bench/counters@1.0.0"

  def all, do: core() ++ instances() ++ components() ++ programs()

  defp core do
    imports = %{env: %{id: {:fn, [:i32], [:i32], fn _context, n -> n end}}}
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, @guest, @here)
    {:ok, instance} = Instance.new(store, module, imports)
    {:ok, memory} = Memory.from_instance(store, instance)
    {:ok, server} = Wasmex.start_link(%{bytes: @guest, imports: imports})

    [
      {"call", 1_000, times(fn -> {:ok, [42]} = Instance.call(instance, "add", [40, 2]) end)},
      {"import", 1_000, fn n -> [] = Instance.call!(instance, "imports", [n]) end},
      {"call_function", 500,
       times(fn -> {:ok, [42]} = Wasmex.call_function(server, "add", [40, 2]) end)},
      {"read_64", 1_000, times(fn -> Memory.read_binary(store, memory, 0, 64) end)},
      {"write_64", 1_000, times(fn -> Memory.write_binary(store, memory, 0, <<0::512>>) end)}
    ]
  end

  defp instances do
    {:ok, pooled} =
      Engine.new(%EngineConfig{cranelift_opt_level: :speed, memory64: true, pooling: 10})

    default = Engine.default()

    [
      {"template", 100, instantiate(@small, default, &Store.new(nil, &1))},
      {"template_wasi", 100,
       instantiate(@small_wasi, default, &Store.new_wasi(%WasiOptions{}, nil, &1))},
      {"pool", 100, instantiate(@small, pooled, &Store.new(nil, &1))}
    ]
  end

  defp instantiate(wat, engine, store) do
    template = template(wat, engine)

    times(fn ->
      {:ok, store} = store.(engine)
      {:ok, _instance} = Template.instantiate(template, store)
      Store.close(store)
    end)
  end

  defp template(wat, engine) do
    {:ok, module} = Module.compile(engine, wat, @here)
    {:ok, template} = Linker.new() |> Linker.allow_wasi() |> Linker.instantiate_pre(module)
    template
  end

  defp programs do
    empty = template(@empty, Engine.default())
    go = template(File.read!(@go), Engine.default())

    [
      {"run_empty", 50, times(fn -> {:ok, %{status: 0}} = Wasmex.run(empty) end)},
      {"run_go", 4, times(fn -> {:ok, %{status: 0}} = Wasmex.run(go, ["hello"]) end)}
    ]
  end

  defp components do
    {:ok, component} =
      Components.Component.compile(Engine.default(), File.read!(@component), @here)

    imports = %{"tick" => {:fn, fn n -> n end}, "shout" => {:fn, &String.upcase/1}}
    {:ok, template} = Components.Template.new(component, imports)
    {:ok, store} = Components.Store.new()
    {:ok, instance} = Components.Template.instantiate(template, store)
    {:ok, counter} = Components.GuestResource.new(instance, [@counters, "counter"], [0])
    numbers = Enum.to_list(0..999)
    points = for n <- 1..100, do: %{"x" => n, "y" => -n}
    method = [@counters, "[method]counter.add"]

    [
      {"component_add", 500, call(instance, "add", [40, 2])},
      {"component_greet", 500, call(instance, "greet", ["Wasmex"])},
      {"component_record", 100, call(instance, {@values, "echo-wide"}, [wide()])},
      {"component_records", 50, call(instance, {@values, "echo-points"}, [points])},
      {"component_list", 30, call(instance, {@values, "echo-numbers"}, [numbers])},
      {"component_method", 500, call(instance, method, [counter, 1])},
      {"component_import", 1_000,
       fn n -> {:ok, _} = Components.Instance.call(instance, "import-loop", [n]) end}
    ]
  end

  defp call(instance, path, params),
    do: times(fn -> {:ok, _} = Components.Instance.call(instance, path, params) end)

  defp times(fun), do: &times(fun, &1)
  defp times(_fun, 0), do: :ok

  defp times(fun, n) do
    fun.()
    times(fun, n - 1)
  end

  defp wide do
    numbers =
      for {name, n} <- Enum.with_index(~w(two four six eight twenty)),
          into: %{},
          do: {"field-#{name}", n}

    negative =
      for {name, n} <- Enum.with_index(~w(three five seven nine)),
          into: %{},
          do: {"field-#{name}", -n}

    Map.merge(Map.merge(numbers, negative), %{
      "field-one" => true,
      "field-ten" => 10.5,
      "field-eleven" => 11.5,
      "field-twelve" => "ü",
      "field-thirteen" => "thirteen",
      "field-fourteen" => "fourteen",
      "field-fifteen" => {:some, 15},
      "field-sixteen" => {:some, "sixteen"},
      "field-seventeen" => {17, 17},
      "field-eighteen" => "green",
      "field-nineteen" => %{"read" => true, "execute" => true}
    })
  end
end
