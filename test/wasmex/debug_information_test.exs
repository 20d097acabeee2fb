defmodule Wasmex.DebugInformationTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Engine, EngineConfig, Error, HostileDwarf, Instance, Module, Store, Trap}

  # Of the default limits, an order of magnitude above it.
  @hostile %{
    "functions inlined in one another" => {:deep, [100_000], :debug_nesting},
    "names" => {:named, [100, 1_000_000], :name_size},
    "units that share a line program" => {:units, [20_000, 100_000], :debug_work},
    "paths" => {:paths, [100_000, 60_000], :debug_work},
    "a directory with a long name" => {:paths, [10, 100_000], :name_size},
    "entries with many attributes" => {:wide, [1_000_000, 100_000], :debug_work},
    "names that are looked for far away" => {:origins, [100_000, 100_000], :debug_work},
    "functions that share ranges" => {:ranges, [100_000, 100_000], :debug_work},
    "units that share abbreviations" => {:abbreviations, [50_000, 100_000], :debug_work}
  }

  defp engine(options) do
    {:ok, engine} = Engine.new(struct!(EngineConfig, options))
    engine
  end

  defp make(bytes, options), do: Module.make(Engine.resource(engine(options)), bytes)

  for {what, {function, arguments, limit}} <- @hostile do
    test "#{what} are refused where they are read" do
      bytes = apply(HostileDwarf, unquote(function), unquote(arguments))

      for options <- [[wasm_backtrace_details: true], [debug_info: true]] do
        assert {:error, %Error{reason: reason, details: %{limit: unquote(limit)}}} =
                 make(bytes, options)

        assert reason in [:too_large, :nested_too_deep]
      end

      # Elsewhere they do not matter.
      assert {:ok, _module} = make(bytes, [])
    end
  end

  test "and in a component" do
    inner = HostileDwarf.deep(100_000)
    bytes = Wasmex.HostileBytes.component([Wasmex.HostileBytes.section(1, inner)])
    resource = Engine.resource(engine(wasm_backtrace_details: true))

    assert {:error, %Error{details: %{limit: :debug_nesting}}} =
             Wasmex.Components.Component.make(resource, bytes, %{}, %Wasmex.Compiler.Options{})
  end

  test "the helper refuses them as well" do
    options = %Wasmex.Compiler.Options{where: :isolated}
    resource = Engine.resource(engine(wasm_backtrace_details: true))

    assert {:error, %Error{details: %{limit: :debug_nesting}}} =
             Module.make(resource, HostileDwarf.deep(1_000), options)
  end

  test "what is below the limits is shown in a trap" do
    for bytes <- [
          HostileDwarf.deep(100),
          HostileDwarf.named(100, 60_000),
          HostileDwarf.units(10, 10_000),
          HostileDwarf.paths(10_000, 1_000),
          HostileDwarf.wide(1_000, 100),
          HostileDwarf.origins(100, 100),
          HostileDwarf.ranges(100, 100),
          HostileDwarf.abbreviations(100, 100)
        ] do
      assert {:error, %Trap{backtrace: [frame]}} = trap(bytes)
      assert length(frame.symbols) <= 16
    end

    assert {:error, %Trap{backtrace: [%{symbols: [%{file: "d/a.c"}]}]}} =
             trap(HostileDwarf.units(1, 100))
  end

  test "a count of files that are not there" do
    assert {:error, %Trap{backtrace: [_]}} = trap(HostileDwarf.counts())
  end

  test "limits can be raised" do
    limits = %Wasmex.Limits{debug_nesting: 1000}
    assert {:error, %Trap{}} = trap(HostileDwarf.deep(500), limits: limits)
  end

  defp trap(bytes, options \\ []) do
    {:ok, store} = Store.new(nil, engine([wasm_backtrace_details: true] ++ options))
    {:ok, module} = Module.compile(store, bytes)
    {:ok, instance} = Instance.instantiate(store, module, %{})
    Instance.call(instance, "f", [])
  end
end
