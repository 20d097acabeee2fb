defmodule Wasmex.EngineTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Engine, EngineConfig, Instance, Module, Store, Trap}

  defp start(wat, config) do
    {:ok, engine} = Engine.new(config)
    {:ok, store} = Store.new(nil, engine)

    with {:ok, module} <- Module.compile(store, wat), do: Instance.instantiate(store, module, %{})
  end

  test "proposals are on as documented and can be switched" do
    for {field, wat} <- [
          memory64: "(module (memory i64 1))",
          multi_memory: "(module (memory 1) (memory 1))",
          tail_call: "(module (func (return_call 0)))",
          simd: "(module (func (drop (v128.const i32x4 0 0 0 0))))",
          gc: "(module (type (struct)))",
          exceptions: "(module (tag))"
        ] do
      assert {:ok, _} = start(wat, struct!(EngineConfig, [{field, true}]))
      assert {:error, text} = start(wat, struct!(EngineConfig, [{field, false}]))
      assert text =~ "Could not compile module"
    end
  end

  test "exceptions are caught by guests, or end the call" do
    wat = """
    (module (tag $t (param i32))
      (func (export "throw") i32.const 1 throw $t)
      (func (export "catch") (result i32)
        (block $b (result i32) (try_table (catch $t $b) i32.const 5 throw $t) i32.const 0)))
    """

    {:ok, instance} = start(wat, %EngineConfig{})
    assert {:error, %Trap{code: :uncaught_exception}} = Instance.call(instance, "throw", [])
    assert Instance.call(instance, "catch", []) == {:ok, [5]}
  end

  test "backtraces name functions and, when asked for, files and lines" do
    guest = Wasmex.Guest.bytes("rust_debug")
    {:ok, instance} = start(guest, %EngineConfig{wasm_backtrace_details: true})
    assert {:error, %Trap{backtrace: [inner, outer]}} = Instance.call(instance, "outer", [1])
    assert inner.func_name =~ "inner" and outer.func_name == "outer"
    assert [%{file: file, line: line} | _] = outer.symbols
    assert file =~ "lib.rs" and line in 10..20

    {:ok, instance} = start(guest, %EngineConfig{})
    assert {:error, %Trap{backtrace: [_, %{symbols: []}]}} = Instance.call(instance, "outer", [1])
    assert Instance.call(instance, "outer", [-1]) == {:ok, [0]}
  end

  test "a pool has a size" do
    {:ok, engine} = Engine.new(%EngineConfig{pooling: 2, pooling_memory_size: 1_000_000})
    {:ok, module} = Module.compile(engine, "(module (memory 1))")
    stores = for _ <- 1..3, do: Store.new(nil, engine) |> elem(1)
    results = for store <- stores, do: Instance.new(store, module, %{})
    assert [{:ok, _}, {:ok, _}, {:error, "maximum concurrent limit of 2" <> _}] = results
    Store.close(hd(stores))
    assert {:ok, _} = Instance.new(List.last(stores), module, %{})
  end

  test "an engine for density runs the same guests" do
    wat =
      ~s|(module (memory (export "m") 1) (func (export "f") (param i32) (result i32) local.get 0 i32.load))|

    {:ok, instance} = start(wat, %EngineConfig{density: true})
    assert Instance.call(instance, "f", [0]) == {:ok, [0]}
    assert {:error, %Trap{code: :memory_out_of_bounds}} = Instance.call(instance, "f", [65_533])
    deep = ~s|(module (func $f (export "f") call $f))|
    {:ok, instance} = start(deep, %EngineConfig{density: true})
    assert {:error, %Trap{code: :stack_overflow}} = Instance.call(instance, "f", [])
    assert {:error, text} = Engine.new(%EngineConfig{density: true, pooling: 1})
    assert text =~ "exclude each other"
  end

  @tag :tmp_dir
  test "compiled modules are cached on disk", %{tmp_dir: dir} do
    for _ <- 1..2 do
      {:ok, engine} = Engine.new(%EngineConfig{cache: dir})
      assert {:ok, _} = Module.compile(engine, ~s|(module (func (export "f")))|)
    end

    assert [_ | _] = Path.wildcard(dir <> "/**/*")
    assert {:error, text} = Engine.new(%EngineConfig{cache: "/proc/none/x"})
    assert text =~ "cannot be created"
  end

  test "ahead-of-time artefacts" do
    {:ok, engine} = Engine.new(%EngineConfig{})
    {:ok, artefact} = Engine.precompile_module(engine, ~s|(module (func (export "f")))|)
    assert {:ok, %Module{}} = Module.deserialize(artefact, engine)
    assert {:error, "Could not precompile module: " <> _} = Engine.precompile_module(engine, "no")
  end

  test "the native library may be loaded again" do
    code = ~S"""
    alias Wasmex.{Engine, EngineConfig, Instance, Module, Store}

    run = fn engine ->
      {:ok, store} = Store.new(nil, engine)
      {:ok, module} = Module.compile(store, ~s|(module (func (export "f") (result i32) (i32.const 7)))|)
      {:ok, instance} = Instance.new(store, module, %{})
      {:ok, [7]} = Instance.call(instance, "f", [])
      {store, instance}
    end

    all = fn ->
      {:ok, own} = Engine.new(%EngineConfig{})
      {store, instance} = run.(nil)
      for engine <- [Engine.default(), Engine.shared(consume_fuel: false), own], do: run.(engine)
      {own, store, instance}
    end

    for _ <- 1..3 do
      {own, store, instance} = all.()
      :code.delete(Wasmex.Native)
      :code.purge(Wasmex.Native)
      for _ <- 1..2, do: all.()

      for use <- [fn -> run.(own) end, fn -> Instance.call(instance, "f", []) end, fn -> Store.close(store) end] do
        try do
          use.()
        rescue
          error in ArgumentError -> IO.puts(error.message =~ "loaded again")
        end
      end

      :erlang.garbage_collect()
    end
    """

    assert Wasmex.ChildVM.run(code) == {String.duplicate("true\n", 9), 0}
  end
end
