defmodule Wasmex.InspectTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Components, Engine, Instance, Memory, Module, Store}
  alias Wasmex.ComponentGuests, as: Guests

  @wat ~s|(module $enrich (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
    (memory (export "memory") 17) (table (export "t") 3 funcref) (global (export "g") (mut i64) (i64.const 1))
    (func (export "f") (param i32 f32) (result i64) (i64.const 1)) (func (export "spin") (loop br 0)))|

  test "handles are shown as what they are" do
    {:ok, store} = Store.new_wasi(%Wasmex.Wasi.WasiOptions{})
    {:ok, module} = Module.compile(store, @wat)
    {:ok, instance} = Instance.new(store, module, %{})
    {:ok, memory} = Memory.from_instance(store, instance)
    {:ok, pipe} = Wasmex.Pipe.new()
    Wasmex.Pipe.write(pipe, "abc")

    [table, global, func] =
      for {kind, name} <- [table: "t", global: "g", func: "f"],
          do: elem(Instance.export(instance, kind, name), 1)

    {:ok, template} = Wasmex.Linker.instantiate_pre(%Wasmex.Linker{wasi: true}, module)

    assert inspect(module) == ~s|#Wasmex.Module<"enrich", 5 exports, wasi>|
    assert inspect(template) == ~s|#Wasmex.Template<"enrich", 5 exports, wasi>|
    assert inspect(instance) == "#Wasmex.Instance<functions f, spin, 3 other exports>"
    assert inspect(memory) == "#Wasmex.Memory<17 pages>"
    assert inspect(table) == "#Wasmex.Table<3 elements of funcref>"
    assert inspect(global) == "#Wasmex.Global<mutable i64>"
    assert inspect(func) == "#Wasmex.Func<(i32, f32) -> i64>"
    assert inspect(pipe) == "#Wasmex.Pipe<3 bytes>"

    component = Guests.component("resources")
    assert inspect(component) =~ ~r|^#Wasmex.Components.Component<exports test:resources/|
    {instance, _} = Guests.instance("types", Guests.types_imports())
    assert inspect(instance) =~ ~r/^#Wasmex.Components.Instance<exports .* and \d+ more>$/

    for handle <- [store, Engine.default(), elem(Components.Store.new(), 1)],
        do: assert(inspect(handle) =~ ~r/^#Wasmex\.[\w.]+<#Reference<.*>>$/)
  end

  test "a store in use is not waited for, and nothing raises" do
    {:ok, store} = Store.new_wasi(%Wasmex.Wasi.WasiOptions{})
    {:ok, module} = Module.compile(store, @wat)
    {:ok, instance} = Instance.new(store, module, %{})
    {:ok, memory} = Memory.from_instance(store, instance)
    task = Task.async(fn -> Instance.call(instance, "spin", [], timeout: 1_000) end)
    Process.sleep(50)
    assert inspect(memory) =~ ~r/^#Wasmex.Memory<(#Reference<.*>|17 pages)>$/
    assert {:error, %Wasmex.Error{reason: :timeout}} = Task.await(task, 30_000)
    refute_received {:wasmex_turn, _}
    assert inspect(memory) == "#Wasmex.Memory<17 pages>"

    for module <- [Module, Memory, Wasmex.Pipe, Instance, Components.Component] do
      empty = struct(module)
      assert inspect(empty) =~ "#" <> inspect(module) <> "<"
    end
  end

  test "a guest's names do not reach the terminal as they are" do
    wat = ~s|(module $"e\\1b[31m" (func (export "a\\1b[2J")))|
    {:ok, module} = Module.compile(Engine.default(), wat)
    refute inspect(module) =~ "\e"
  end

  test "i/1 in IEx says what a handle is for" do
    {:ok, pipe} = Wasmex.Pipe.new()
    assert {"Description", text} = pipe |> IEx.Info.info() |> List.keyfind("Description", 0)
    assert text =~ "read/1"
  end
end
