defmodule Wasmex.MemoryTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Guest, Instance, Memory, Store}

  @piece 1024 * 1024

  setup do
    {:ok, store} = Store.new()
    instance = Guest.instance(store, ~s|(module (memory (export "memory") 40))|)
    {:ok, memory} = Memory.from_instance(store, instance)
    {:ok, memory: memory}
  end

  test "many bytes are read in one go, also inside an import, and by many processes", %{
    memory: memory
  } do
    bytes = :crypto.strong_rand_bytes(2 * @piece + 7)
    :ok = Memory.write(memory, 3, bytes)
    assert Memory.read(memory, 3, byte_size(bytes)) == {:ok, bytes}
    read = fn _ -> Task.async(fn -> Memory.read(memory, 3, byte_size(bytes)) end) end
    assert 1..20 |> Enum.map(read) |> Task.await_many(60_000) |> Enum.uniq() == [{:ok, bytes}]

    size = 40 * 65_536
    assert {:error, %Error{reason: :out_of_bounds}} = Memory.read(memory, 1, size)

    assert {:error, %Error{reason: :out_of_bounds}} =
             Memory.read(memory, 1, 0x7FFF_FFFF_FFFF_FFFF)

    {:ok, store} = Store.new()
    test = self()

    inside = fn %{memory: memory, caller: caller} ->
      send(test, {:read, Memory.read(caller, memory, 0, size)})
      nil
    end

    wat =
      ~s|(module (import "e" "f" (func $f)) (memory (export "memory") 40) (func (export "g") (call $f)))|

    instance = Guest.instance(store, wat, %{"e" => %{"f" => {:fn, [], [], inside}}})
    assert {:ok, []} = Instance.call(instance, "g", [])
    assert_received {:read, {:ok, read}}
    assert byte_size(read) == size

    {:ok, closed} = Memory.from_instance(store, instance)
    Store.close(store)
    assert {:error, %Error{reason: :closed}} = Memory.read(closed, 0, size)
  end

  test "a text up to its NUL, however long it is", %{memory: memory} do
    for length <- [0, 3, @piece - 1, @piece, @piece + 1, 2 * @piece + 7] do
      text = :binary.copy("x", length)
      :ok = Memory.write(memory, 16, text <> <<0>>)
      assert Memory.read_cstring(memory, 16, 3 * @piece) == {:ok, text}
      assert Memory.read_cstring(memory, 16, length + 1) == {:ok, text}

      if length > 0,
        do: assert({:error, %Error{reason: :guest}} = Memory.read_cstring(memory, 16, length))
    end
  end

  test "a text without a NUL ends with the memory", %{memory: memory} do
    size = 40 * 65_536
    :ok = Memory.write(memory, 0, :binary.copy("x", size))
    assert {:error, %Error{reason: :guest}} = Memory.read_cstring(memory, 0, 10 * @piece)

    assert {:error, %Error{reason: :guest}} =
             Memory.read_cstring(memory, size - @piece, 9 * @piece)

    assert {:error, %Error{}} = Memory.read_cstring(memory, size + 1, 10)
  end
end
