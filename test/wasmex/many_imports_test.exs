defmodule Wasmex.ManyImportsTest do
  # An instance with many imports is made on a dirty scheduler.
  use ExUnit.Case, async: true

  alias Wasmex.Components
  alias Wasmex.{Instance, Linker, Module, Plugin, Store, Template}

  @many 1500
  @wasm_module ~s|(module #{Enum.map_join(1..@many, &~s|(import "e" "f#{&1}" (func))|)}
    (func (export "run") (call 0)))|

  defp imports(number \\ @many) do
    me = self()

    imported = fn _context ->
      send(me, :called)
      nil
    end

    %{e: Map.new(1..number, &{"f#{&1}", {:fn, [], [], imported}})}
  end

  defp compiled(wat) do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, wat)
    {module, store}
  end

  # Whether the function, whose result is returned too, used a dirty scheduler.
  defp dirty?(fun) do
    tracer = spawn_link(fn -> collect([]) end)
    :erlang.trace(self(), true, [:running, :scheduler_id, {:tracer, tracer}])
    result = fun.()
    :erlang.trace(self(), false, [:running, :scheduler_id])
    delivered = :erlang.trace_delivered(self())
    receive do: ({:trace_delivered, _, ^delivered} -> :ok)
    send(tracer, {:tell, self()})
    receive do: ({:ids, ids} -> {result, Enum.any?(ids, &(&1 > System.schedulers()))})
  end

  defp collect(ids) do
    receive do
      {:trace, _pid, :in, id, _function} -> collect([id | ids])
      {:tell, pid} -> send(pid, {:ids, ids})
      _other -> collect(ids)
    end
  end

  defp assert_runs(instance) do
    assert {:ok, []} = Instance.call(instance, "run", [])
    assert_received :called
  end

  test "of a module" do
    {module, store} = compiled(@wasm_module)
    imports = imports()

    assert {{:ok, instance}, true} =
             dirty?(fn -> Instance.instantiate(store, module, imports) end)

    assert_runs(instance)

    few = %{e: Map.delete(imports.e, "f7")}

    assert {{:error, %Wasmex.Error{reason: :missing_import}}, true} =
             dirty?(fn -> Instance.instantiate(store, module, few) end)
  end

  test "more than the module has" do
    {module, store} = compiled("(module)")
    imports = imports()
    assert {{:ok, _}, true} = dirty?(fn -> Instance.instantiate(store, module, imports) end)
  end

  test "few are resolved where the caller runs" do
    {module, store} = compiled(~s|(module (import "e" "f1" (func)) (export "run" (func 0)))|)
    imports = imports(10)
    make = fn -> dirty?(fn -> Instance.instantiate(store, module, imports) end) end
    # Garbage may be collected on a dirty scheduler at any time.
    made = Enum.map(1..20, fn _ -> make.() end)
    assert {{:ok, instance}, false} = Enum.find(made, &match?({_, false}, &1))
    assert_runs(instance)
  end

  test "of a linked module" do
    {module, store} = compiled(~s|(module (import "l" "run" (func)) (export "run" (func 0)))|)

    {:ok, linked} = Module.compile(store, @wasm_module)
    links = [%{name: "l", module: linked}]
    imports = imports()

    assert {{:ok, instance}, true} =
             dirty?(fn -> Instance.instantiate(store, module, imports, links) end)

    assert_runs(instance)
  end

  test "of a template" do
    {module, store} = compiled(@wasm_module)

    linker = Linker.define(Linker.new(), "e", imports().e)
    {:ok, template} = Linker.instantiate_pre(linker, module)
    assert {{:ok, instance}, true} = dirty?(fn -> Template.instantiate(template, store) end)
    assert_runs(instance)
    assert {:ok, _} = Template.instantiate(template, store, fuel: nil, timeout: 5000)
  end

  test "of a module that an import makes in its caller's store" do
    {module, store} = compiled(@wasm_module)
    imports = imports()

    make = fn %{caller: caller} ->
      {:ok, inner} = Instance.instantiate(caller, module, imports)
      {:ok, []} = Instance.call(inner, "run", [])
      nil
    end

    {:ok, outer} =
      Module.compile(store, ~s|(module (import "e" "make" (func)) (export "make" (func 0)))|)

    {:ok, outer} = Instance.instantiate(store, outer, %{e: %{make: {:fn, [], [], make}}})
    assert {{:ok, []}, true} = dirty?(fn -> Instance.call(outer, "make", []) end)
    assert_received :called
  end

  test "of a component" do
    functions = Enum.map_join(1..@many, &~s|(export "f#{&1}" (func))|)

    component = ~s|(component (import "e" (instance $e #{functions}))
      (core func $f (canon lower (func $e "f1"))) (core module $m (func (import "e" "f")))
      (core instance (instantiate $m (with "e" (instance (export "f" (func $f)))))))|

    {:ok, store} = Components.Store.new()
    {:ok, component} = Components.Component.compile(store, component)
    me = self()

    called = fn ->
      send(me, :called)
      nil
    end

    function = {:fn, called}
    imports = %{"e" => Map.new(1..@many, &{"f#{&1}", function})}
    {:ok, template} = Components.Template.new(component, imports)
    make = fn -> Components.Template.instantiate(template, store) end
    assert {{:ok, %Components.Instance{}}, true} = dirty?(make)
  end

  test "of a plug-in" do
    log = fn n -> ~s|(import "extism:host/env" "log_info" (func $f#{n} (param i64)))| end

    wat =
      ~s|(module #{Enum.map_join(1..@many, log)} (func (export "run") (result i32) (i32.const 0)))|

    {:ok, compiled} = Plugin.compile(wat)
    assert {{:ok, plugin}, true} = dirty?(fn -> Plugin.new(compiled) end)
    assert {:ok, ""} = Plugin.call(plugin, "run", "")
  end
end
