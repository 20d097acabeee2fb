defmodule Wasmex.LeanTest do
  # A library that was built without some of its parts; `script/lean` builds one and runs this.
  use ExUnit.Case, async: true

  alias Wasmex.Build.Features
  alias Wasmex.{Engine, Error, Instance, Module, Native, Store}

  @moduletag :lean

  @wat ~s|(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))|

  test "has the parts that were selected" do
    assert {:ok, selected} = Features.selected()
    assert Native.features() == Enum.map(selected, &Atom.to_string/1)
  end

  test "runs a module from text" do
    {:ok, pid} = Wasmex.start_link(%{bytes: @wat})
    assert Wasmex.call_function(pid, :add, [1300, 37]) == {:ok, [1337]}
  end

  test "runs a WASI program" do
    assert {:ok, run} =
             Wasmex.run("test/guests/rust_wasi/rust_wasi.wasm", [], stdin: "x", cache: false)

    assert is_integer(run.status)
  end

  test "loads what another library compiled" do
    {:ok, artefact} = Engine.precompile_module(Engine.default(), @wat)
    {:ok, module} = Module.deserialize(artefact)
    {:ok, store} = Store.new()
    {:ok, instance} = Instance.new(store, module, %{})
    assert Instance.call(instance, "add", [1, 2]) == {:ok, [3]}
  end

  test "says which part is missing" do
    needs = [
      wat: fn -> Wasmex.Wat.to_wasm(@wat) end,
      components: fn -> Wasmex.WIT.world({:text, "package a:b; world w {}"}) end,
      plugins: fn -> Wasmex.Plugin.compile(@wat) end
    ]

    for {feature, call} <- needs, Atom.to_string(feature) not in Native.features() do
      error = assert_raise Error, call
      assert error.reason == :unsupported
    end
  end
end
