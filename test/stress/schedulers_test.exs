defmodule Wasmex.Stress.SchedulersTest do
  # What works on much, and must not hold a scheduler: in pieces, on dirty schedulers, or elsewhere.
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.{Instance, Linker, Memory, Module, Pipe, Store, Template}

  import Wasmex.Held

  defp instance(wat, imports \\ %{}) do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, imports)
    {instance, store}
  end

  defp many_imports do
    imports = Enum.map_join(1..99_000, "\n", &~s|(import "e" "name-number-#{&1}" (func))|)
    "(module #{imports})"
  end

  defp memory do
    {instance, store} = instance(~s|(module (memory (export "memory") 4000))|)
    {:ok, memory} = Memory.from_instance(store, instance)
    {memory, store}
  end

  @size 200_000_000

  test "the check finds a function that holds a scheduler" do
    # The copy of a message is made in one go.
    term = Enum.to_list(1..3_000_000)
    pid = spawn(fn -> Process.sleep(:infinity) end)
    {_, ours, _plain} = held(fn -> send(pid, term) end)
    assert ours > 0
    Process.exit(pid, :kill)
  end

  test "reading, writing and searching a large memory" do
    {memory, _store} = memory()
    assert_not_held(fn -> {:ok, _} = Memory.read(memory, 0, @size) end)
    bytes = :binary.copy("x", @size)
    assert_not_held(fn -> :ok = Memory.write(memory, 0, bytes) end)
    assert_not_held(fn -> {:ok, _} = Memory.read_cstring(memory, 0, 2 * @size) end)
  end

  test "closing and losing a store with a large memory" do
    fill = fn ->
      {memory, store} = memory()
      :ok = Memory.write(memory, 0, :binary.copy("x", @size))
      {memory, store}
    end

    for _ <- 1..3 do
      {_memory, store} = fill.()
      assert_not_held(fn -> Store.close(store) end)
    end

    fill.()
    assert_not_held(fn -> :erlang.garbage_collect() end)
  end

  test "growing a memory by one page, often" do
    {memory, store} = memory()
    assert_not_held(fn -> for _ <- 1..500, do: Memory.grow(store, memory, 1) end)
  end

  test "an unknown name among 100,000 exports" do
    exports = Enum.map_join(1..99_000, "\n", &~s|(export "name-number-#{&1}" (func 0))|)
    {instance, _store} = instance("(module (func) #{exports})")

    assert_not_held(fn ->
      for _ <- 1..20, do: {:error, _} = Instance.call(instance, "name-number-x", [])
    end)

    assert_not_held(fn ->
      for _ <- 1..20, do: {:ok, []} = Instance.call(instance, "name-number-500", [])
    end)
  end

  test "an instance costs no more for 99,000 exports" do
    # Looking through all of them took a thousand times as long.
    many = fastest(99_000)
    assert many < 50 * max(fastest(10), 1)
  end

  defp fastest(number) do
    exports = Enum.map_join(1..number, "\n", &~s|(export "name-number-#{&1}" (func 0))|)
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, "(module (func) #{exports})")
    make = fn -> {:ok, _} = Instance.new(store, module, %{}) end
    1..20 |> Enum.map(fn _ -> make |> :timer.tc() |> elem(0) end) |> Enum.min()
  end

  test "instances of a module with 99,000 imports" do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, many_imports())
    definitions = Map.new(1..99_000, &{"name-number-#{&1}", {:fn, [], [], fn _ -> nil end}})
    imports = %{"e" => definitions}
    linker = Linker.define(Linker.new(), "e", definitions)
    {:ok, template} = Linker.instantiate_pre(linker, module)

    assert_not_held(fn -> {:ok, _} = Instance.new(store, module, imports) end)
    assert_not_held(fn -> {:ok, _} = Template.instantiate(template, store) end)

    assert_not_held(fn ->
      {:error, _} = Instance.new(store, module, %{"e" => %{}})
    end)
  end

  test "the first instance of a module with large initial memories" do
    far = 15_900_000
    memories = String.duplicate("(memory 256)", 4)

    data =
      for memory <- 0..3, at <- [0, far], do: "(data (memory #{memory}) (i32.const #{at}) \"a\")"

    assert_not_held(fn -> instance("(module #{memories} #{data})") end)
  end

  test "a guest that exhausts its stack, often" do
    {instance, _store} = instance(~s|(module (func $f (export "f") (call $f)))|)
    assert_not_held(fn -> for _ <- 1..500, do: {:error, _} = Instance.call(instance, "f", []) end)
  end

  test "inspecting a module with 99,000 imports" do
    {:ok, bytes} = Wasmex.Wat.to_wasm(many_imports())

    assert_not_held(fn ->
      {:ok, inspection} = Wasmex.Inspection.from_bytes(bytes)
      Wasmex.Inspection.Report.text(inspection, "file")
    end)
  end

  test "a pipe of 100 MB" do
    {:ok, pipe} = Pipe.new()
    bytes = :binary.copy("x", div(@size, 2))
    assert_not_held(fn -> {:ok, _} = Pipe.write(pipe, bytes) end)
    Pipe.seek(pipe, 0)
    assert_not_held(fn -> Pipe.read(pipe) end)
  end

  test "an endless guest, and one that calls Elixir and itself" do
    {endless, _store} = instance(~s|(module (func (export "f") (loop br 0)))|)
    assert_not_held(fn -> {:error, _} = Instance.call(endless, "f", [], timeout: 300) end)

    import = {:fn, [:i32], [:i32], fn context, n -> again(context, n) end}

    {nested, _store} =
      instance(
        ~s|(module (import "env" "again" (func $again (param i32) (result i32)))
          (func (export "f") (param i32) (result i32) (call $again (local.get 0))))|,
        %{env: %{again: import}}
      )

    assert_not_held(fn -> for _ <- 1..50, do: {:ok, [0]} = Instance.call(nested, "f", [50]) end)
  end

  defp again(_context, 0), do: 0

  defp again(context, n) do
    {:ok, [0]} = Instance.call(context.instance, "f", [n - 1])
    0
  end

  test "a name of a function that is a bomb for demanglers, in a trap" do
    name = "_Z1f" <> String.duplicate("N1aS_", 10) <> String.duplicate("S_", 100)
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, Wasmex.HostileBytes.named(name))
    {:ok, instance} = Instance.new(store, module, %{})

    assert_not_held(fn -> for _ <- 1..50, do: {:error, _} = Instance.call(instance, "f", [30]) end)
  end

  test "compiling, in the VM and in a helper" do
    bytes = Wasmex.Guest.bytes("go_main")

    for compile <- [:in_process, :isolated] do
      assert_not_held(fn ->
        {:ok, _} = Module.compile(Wasmex.Engine.default(), bytes, compile: compile)
      end)
    end
  end

  test "what a program prints" do
    wat =
      ~s|(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 200)
      (func (export "_start") (local $i i32)
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 10000000))
        (loop (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get $i) (i32.const 5))))))|

    assert_not_held(fn -> {:ok, _} = Wasmex.run(wat) end)
  end
end
