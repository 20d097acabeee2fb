defmodule Wasmex.MemoryTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Guest, Memory, Store}

  @piece 1024 * 1024

  setup do
    {:ok, store} = Store.new()
    instance = Guest.instance(store, ~s|(module (memory (export "memory") 40))|)
    {:ok, memory} = Memory.from_instance(store, instance)
    {:ok, memory: memory}
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
