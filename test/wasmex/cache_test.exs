defmodule Wasmex.CacheTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Run}

  @moduletag :tmp_dir

  setup %{tmp_dir: dir} do
    {:ok, path: Path.join(dir, "program.wat")}
  end

  defp exits(status),
    do: ~s|(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const #{status}))))|

  test "a file that changed is compiled again, also one of the same size in the same second", %{
    path: path
  } do
    for status <- [1, 2, 3, 2] do
      File.write!(path, exits(status))
      assert {:ok, %Run{status: ^status}} = Wasmex.run(path)
      assert {:ok, %Run{status: ^status}} = Wasmex.run(path)
    end

    File.rm!(path)
    assert {:error, %Error{reason: :file}} = Wasmex.run(path)
    File.write!(path, "(module (broken")
    assert {:error, %Error{reason: :parse}} = Wasmex.run(path)
    File.write!(path, exits(4))
    assert {:ok, %Run{status: 4}} = Wasmex.run(path)
  end

  test "one that is killed while it compiles lets the next one in", %{path: path} do
    File.cp!("test/guests/go_main/go_main.wasm", path)
    pid = spawn(fn -> Wasmex.run(path) end)
    Process.sleep(20)
    Process.exit(pid, :kill)
    assert {:ok, %Run{status: 0}} = Wasmex.run(path, ["0"])
  end
end
