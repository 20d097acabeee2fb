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

  test "other values that hold code or functions are one line too" do
    linker = Wasmex.Linker.define(Wasmex.Linker.new(), :env, %{a: {:fn, [], [], fn _ -> nil end}})
    assert inspect(Wasmex.Linker.new()) == "#Wasmex.Linker<no imports>"
    assert inspect(linker) == "#Wasmex.Linker<imports env.a>"
    assert inspect(Wasmex.Linker.allow_wasi(linker)) == "#Wasmex.Linker<imports env.a, wasi>"

    {:ok, snapshot} = Wasmex.Snapshot.take({:bytes, ~s|(module (memory (export "m") 1))|})
    assert inspect(snapshot) =~ ~r/^#Wasmex.Snapshot<module of \d+ B, 65.5 kB of memory>$/

    {:ok, code} = Wasmex.Code.new({:bytes, "(module)"}, name: "one")
    assert inspect(code) =~ ~r/^#Wasmex.Code<one@/

    {:ok, function} = Wasmex.HTTP.load(Wasmex.Answers.prints("hi"), name: "hi")
    assert inspect(function) =~ ~r/^#Wasmex.HTTP.Function<"hi", \w+, .*B>$/
    profile = %Wasmex.Profile{name: "p", stacks: [{["f"], 2}, {["g"], 1}]}
    assert inspect(profile) == ~s|#Wasmex.Profile<"p", 3 samples>|
  end

  test "i/1 in IEx describes each kind of handle, with functions that exist" do
    {:ok, pipe} = Wasmex.Pipe.new()
    assert {"Description", text} = pipe |> IEx.Info.info() |> List.keyfind("Description", 0)
    assert text =~ "read/1"

    for module <- Wasmex.Native.IExInfo.modules() do
      info = module |> struct() |> IEx.Info.info() |> Map.new()
      assert info["Data type"] == inspect(module)

      for [_, of, name, arity] <- Regex.scan(~r"([A-Z][\w.]+\.)?(\w+)/(\d)", info["Description"]) do
        of = if of == "", do: module, else: Elixir.Module.concat([String.trim_trailing(of, ".")])
        Code.ensure_loaded!(of)
        {name, arity} = {String.to_existing_atom(name), String.to_integer(arity)}
        assert function_exported?(of, name, arity), "#{inspect(of)}.#{name}/#{arity}"
      end

      for name <- String.split(info["Reference modules"], ", "),
          do: assert(Code.ensure_loaded?(Elixir.Module.concat([name])), name)
    end
  end
end
