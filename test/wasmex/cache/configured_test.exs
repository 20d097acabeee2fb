defmodule Wasmex.Cache.ConfiguredTest do
  # Of the whole VM: its environment and configuration are changed.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  alias Wasmex.{Engine, Error}
  alias Wasmex.Cache.Disk

  @moduletag :tmp_dir
  @rust "test/guests/rust_wasi/rust_wasi.wasm"
  @component "test/guests/component_types/component_types.wasm"

  setup %{tmp_dir: dir} do
    dir = Path.join(dir, "cache")
    before = System.get_env("WASMEX_CACHE")
    System.put_env("WASMEX_CACHE", dir)

    on_exit(fn ->
      System.put_env("WASMEX_CACHE", before)
      for key <- [:cache, :cache_size], do: Application.delete_env(:wasmex, key)
      File.rm_rf(dir)
    end)

    %{dir: dir}
  end

  # Other bytes each time, so that nothing else has compiled them: a custom section holds a number.
  defp fresh(path) do
    name = "n#{System.unique_integer([:positive])}"
    File.read!(path) <> <<0, byte_size(name) + 1, byte_size(name)>> <> name
  end

  defp entries(dir) do
    case File.ls(dir) do
      {:ok, names} -> length(names)
      {:error, :enoent} -> 0
    end
  end

  test "what processes, programs and components are made of is kept", %{dir: dir, tmp_dir: tmp} do
    bytes = fresh(@rust)

    for {start, kept} <- [
          {fn -> Wasmex.run(bytes, ["exit", "0"]) end, 1},
          {fn -> Wasmex.run(bytes, ["exit", "0"]) end, 1},
          {fn -> Wasmex.run(bytes, ["exit", "0"], cache: false) end, 1},
          {fn -> Wasmex.run(fresh(@rust), ["exit", "0"], cache: false) end, 1},
          {fn -> Wasmex.start_link(bytes: bytes, wasi: true) end, 1},
          {fn -> Wasmex.start_link(bytes: fresh(@rust), wasi: true) end, 2},
          {fn -> Wasmex.start_link(bytes: fresh(@rust), wasi: true, cache: false) end, 2},
          {fn -> Wasmex.Module.compile(Engine.default(), fresh(@rust)) end, 2},
          {fn -> Wasmex.Module.compile(Engine.default(), fresh(@rust), cache: true) end, 3},
          {fn -> Engine.precompile_module(Engine.default(), bytes, cache: true) end, 3}
        ] do
      assert {:ok, _} = start.()
      assert entries(dir) == kept
    end

    path = Path.join(tmp, "types.wasm")
    File.write!(path, fresh(@component))
    engine = Engine.resource(nil)
    options = Wasmex.Compiler.Loader.options(%{})

    assert {:ok, one} =
             Wasmex.Compiler.Loader.load({:path, path}, :test, engine, &load(&1, engine, options))

    assert entries(dir) == 4
    # Not even read again.
    assert {:ok, ^one} =
             Wasmex.Compiler.Loader.load({:path, path}, :test, engine, &load(&1, engine, options))
  end

  defp load(bytes, engine, options),
    do: Wasmex.Compiler.Loader.component_of(bytes, engine, %{}, options)

  test "small code is not kept, and the engine's own cache has precedence", %{
    dir: dir,
    tmp_dir: tmp
  } do
    assert {:ok, _} = Wasmex.start_link(bytes: "(module)")
    assert entries(dir) == 0
    own = Path.join(tmp, "own")
    on_exit(fn -> File.rm_rf(own) end)
    {:ok, engine} = Engine.new(%Wasmex.EngineConfig{cache: own})
    assert {:ok, _} = Wasmex.start_link(bytes: fresh(@rust), wasi: true, engine: engine)
    assert {entries(dir), entries(own)} == {0, 1}
  end

  test "the environment, then the configuration say where", %{dir: dir, tmp_dir: tmp} do
    Application.put_env(:wasmex, :cache, Path.join(tmp, "configured"))
    assert Disk.configured() == dir
    System.put_env("WASMEX_CACHE", "off")
    assert Disk.configured() == nil
    System.delete_env("WASMEX_CACHE")
    assert Disk.configured() == Path.join(tmp, "configured")
    Application.put_env(:wasmex, :cache, false)
    assert Disk.configured() == nil
    Application.put_env(:wasmex, :cache, :yes)
    assert_raise ArgumentError, ~r/config :wasmex, cache: :yes/, fn -> Disk.configured() end
  end

  test "a configured directory that others may write to is an error", %{dir: dir} do
    File.mkdir_p!(dir)
    File.chmod!(dir, 0o777)
    assert {:error, text} = Wasmex.start_link(bytes: fresh(@rust), wasi: true)
    assert text =~ "is writable by other users"
    assert {:error, %Error{reason: :cache}} = Wasmex.run(fresh(@rust), ["exit", "0"])
  end

  test "the default one is left alone then, which is said once", %{tmp_dir: tmp} do
    home = System.get_env("XDG_CACHE_HOME")
    System.put_env("XDG_CACHE_HOME", tmp)
    System.delete_env("WASMEX_CACHE")
    :persistent_term.erase({Disk, :warned})
    bad = Path.join(tmp, "wasmex/compiled")
    File.mkdir_p!(bad)
    File.chmod!(bad, 0o777)

    on_exit(fn ->
      if home,
        do: System.put_env("XDG_CACHE_HOME", home),
        else: System.delete_env("XDG_CACHE_HOME")
    end)

    assert capture_log(fn -> assert Disk.configured() == nil end) =~ "is not cached"
    refute capture_log(fn -> assert Disk.configured() == nil end) =~ "is not cached"
    assert {:ok, _} = Wasmex.run(fresh(@rust), ["exit", "0"])
  end

  test "what was not used for longest goes first", %{dir: dir} do
    [first, second, third] = for _ <- 1..3, do: fresh(@rust)
    assert {:ok, _} = Wasmex.run(first, ["exit", "0"])
    [entry] = File.ls!(dir)
    size = File.stat!(Path.join(dir, entry)).size
    File.touch!(Path.join(dir, entry), System.os_time(:second) - 100)
    assert {:ok, _} = Wasmex.run(second, ["exit", "0"])
    # Two and a half of them fit.
    Application.put_env(:wasmex, :cache_size, div(size * 5, 2))
    assert {:ok, _} = Wasmex.run(third, ["exit", "0"])
    refute entry in File.ls!(dir)
    assert File.ls!(dir) != []
  end

  test "compiled files are as good as wasm", %{tmp_dir: tmp} do
    {:ok, artefact} =
      Engine.precompile_module(
        Engine.default(),
        ~s|(module (func (export "f") (result i32) i32.const 7))|
      )

    path = Path.join(tmp, "f.cwasm")
    File.write!(path, artefact)

    for source <- [[bytes: artefact], [path: path]] do
      assert {:ok, pid} = Wasmex.start_link(source)
      assert Wasmex.call_function(pid, :f, []) == {:ok, [7]}
    end

    assert {:ok, pid} =
             Wasmex.start_link(
               bytes: ~s|(module (import "f" "f" (func (result i32))) (export "g" (func 0)))|,
               links: %{f: %{path: path}}
             )

    assert Wasmex.call_function(pid, :g, []) == {:ok, [7]}

    wat =
      ~s|(component (core module $m (func (export "f") (result i32) i32.const 7)) (core instance $i (instantiate $m))
      (func (export "f") (result u32) (canon lift (core func $i "f"))))|

    {:ok, artefact} = Engine.precompile_component(Engine.default(), wat)
    File.write!(path, artefact)
    {:ok, component} = Wasmex.Components.Component.deserialize(artefact)

    for source <- [[bytes: artefact], [path: path], [component: component]] do
      assert {:ok, pid} = Wasmex.Components.start_link(source)
      assert Wasmex.Components.call_function(pid, "f", []) == {:ok, 7}
    end

    assert {:error, "could not read no/such.wasm: no such file or directory"} =
             Wasmex.start_link(path: "no/such.wasm")
  end
end
