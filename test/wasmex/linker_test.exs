defmodule Wasmex.LinkerTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Engine, Error, Global, Guest, Instance, Linker, Memory, Module, Store, Template}

  test "instances of one template share nothing" do
    {:ok, module} =
      Module.compile(Engine.default(), ~s|(module (global (export "g") (mut i32) i32.const 1))|)

    {:ok, template} = Linker.instantiate_pre(Linker.new(), module)

    [one, two] =
      for _ <- 1..2 do
        {:ok, store} = Store.new()
        {:ok, instance} = Template.instantiate(template, store)
        {:ok, global} = Instance.export(instance, :global, "g")
        global
      end

    assert Global.set(one, 2) == :ok
    assert Global.get(two) == {:ok, 1}
  end

  test "memories, globals, tables and functions of other instances can be imported" do
    {store, lib} =
      Guest.start("""
      (module (memory (export "memory") 1) (global (export "g") (mut i32) i32.const 1)
        (table (export "t") 1 funcref) (func (export "f") (result i32) i32.const 9))
      """)

    exports =
      for {kind, name} <- [memory: "memory", global: "g", table: "t", func: "f"], into: %{} do
        {:ok, handle} = Instance.export(lib, kind, name)
        {name, handle}
      end

    wat = """
    (module (import "lib" "memory" (memory 1)) (import "lib" "g" (global $g (mut i32)))
      (import "lib" "t" (table 1 funcref)) (import "lib" "f" (func $f (result i32)))
      (func (export "run") (global.set $g (call $f)) (i32.store8 (i32.const 3) (i32.const 65))))
    """

    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, %{lib: exports})
    assert Instance.call(instance, "run", []) == {:ok, []}
    assert Global.get(exports["g"]) == {:ok, 9}
    assert Memory.read(exports["memory"], 3, 1) == {:ok, "A"}

    # A template that imports what belongs to a store is tied to it.
    {:ok, template} =
      Linker.new()
      |> Linker.define("lib", exports)
      |> Linker.instantiate_pre(module, store: store)

    assert {:ok, _} = Template.instantiate(template, store)
    {:ok, other} = Store.new()
    assert {:error, %Error{reason: :foreign_store}} = Template.instantiate(template, other)
  end

  test "a template that imports WASI needs a store with WASI" do
    wat = ~s|(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))))|
    {:ok, module} = Module.compile(Engine.default(), wat)
    {:ok, template} = Linker.new() |> Linker.allow_wasi() |> Linker.instantiate_pre(module)
    {:ok, store} = Store.new()
    assert {:error, %Error{reason: :wasi}} = Template.instantiate(template, store)
    {:ok, store} = Store.new_wasi(%Wasmex.Wasi.WasiOptions{})
    assert {:ok, _} = Template.instantiate(template, store)
  end

  test "missing imports are found when the template is made" do
    {:ok, module} = Module.compile(Engine.default(), ~s|(module (import "a" "b" (func)))|)

    assert {:error, %Error{reason: :missing_import}} =
             Linker.instantiate_pre(Linker.new(), module)
  end

  test "each calling instance's own memory is in the context" do
    inner = """
    (module (import "env" "log" (func $log)) (memory (export "memory") 1)
      (data (i32.const 0) "inner") (func (export "run") call $log))
    """

    outer = """
    (module (import "env" "log" (func $log)) (import "inner" "run" (func $run)) (memory (export "memory") 1)
      (data (i32.const 0) "outer") (func (export "both") call $log call $run call $log))
    """

    test = self()
    log = fn context -> send(test, Memory.read_binary(context.caller, context.memory, 0, 5)) end
    {:ok, store} = Store.new()
    {:ok, inner} = Module.compile(store, inner)
    {:ok, outer} = Module.compile(store, outer)

    {:ok, instance} =
      Instance.new(store, outer, %{env: %{log: {:fn, [], [], log}}}, [
        %{name: "inner", module: inner}
      ])

    assert Instance.call(instance, "both", []) == {:ok, []}
    assert for(_ <- 1..3, do: receive(do: (text -> text))) == ["outer", "inner", "outer"]
  end

  test "options that make no sense leave the store as it was" do
    spins = ~s|(module (func $s (loop br 0)) (start $s))|
    {:ok, module} = Module.compile(Engine.default(), spins)
    {:ok, template} = Linker.instantiate_pre(Linker.new(), module)
    {:ok, store} = Store.new()

    for wrong <- [[timeout: -1], [timeout: "5"], [fuel: -1], [fuel: :much]],
        do: assert_raise(ArgumentError, fn -> Template.instantiate(template, store, wrong) end)

    assert {:error, %Error{reason: :timeout}} = Template.instantiate(template, store, timeout: 10)
    {:ok, module} = Module.compile(store, "(module)")
    assert {:ok, _} = Instance.instantiate(store, module, %{})
  end
end
