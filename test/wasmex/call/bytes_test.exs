defmodule Wasmex.Call.BytesTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Guest, Instance}

  setup do
    {_, instance} = Guest.start(Guest.bytes("rust_reactor"))
    %{instance: instance}
  end

  test "a binary is copied in, passed as pointer and length, and freed", %{instance: instance} do
    assert Instance.call(instance, "sum_bytes", [{:bytes, <<1, 2, 3>>}]) == {:ok, [6]}
    assert Instance.call(instance, "sum_bytes", [{:bytes, [<<1>>, 2]}]) == {:ok, [3]}
    assert Instance.call(instance, "sum_bytes", [{:bytes, ""}]) == {:ok, [0]}

    assert Instance.call(instance, "sum_bytes", [{:bytes, "a"}], allocator: "cabi_realloc") ==
             {:ok, [97]}

    assert Instance.call(instance, "live", []) == {:ok, [0]}
  end

  test "a packed result is read back", %{instance: instance} do
    assert {:ok, [packed]} = Instance.call(instance, "upcase", [{:bytes, "hello"}])
    assert Instance.read_bytes(instance, packed) == {:ok, "HELLO"}
    assert {:ok, [packed]} = Instance.call(instance, "concat", [{:bytes, "ab"}, {:bytes, "cd"}])
    assert Instance.read_bytes(instance, packed) == {:ok, "abcd"}

    assert {:error, %Error{reason: :out_of_bounds}} =
             Instance.read_bytes(instance, {0, 0x7FFF_FFFF})
  end

  test "other allocators have other names" do
    imports = %{
      env: %{
        abort: {:fn, [:i32, :i32, :i32, :i32], [], fn _, _, _, _, _ -> :ok end},
        log:
          {:fn, [:i32, :i32], [],
           fn context, pointer, length ->
             send(
               self(),
               {:log, Wasmex.Memory.read_binary(context.caller, context.memory, pointer, length)}
             )
           end}
      }
    }

    {_, instance} = Guest.start(Guest.bytes("as_greet"), imports)
    assert {:ok, _} = Instance.call(instance, "greet", [{:bytes, "you"}])
    assert_received {:log, text}
    assert text =~ "you"
  end

  test "a guest without allocator or memory says so" do
    {_, instance} = Guest.start(~s|(module (func (export "f") (param i32 i32)))|)

    assert {:error, %Error{reason: :params} = error} =
             Instance.call(instance, "f", [{:bytes, "x"}])

    assert Exception.message(error) =~ "allocator"

    {_, instance} =
      Guest.start(
        ~s|(module (func (export "malloc") (param i32) (result i32) i32.const 0) (memory (export "m") 1) (func (export "f") (param i32 i32)))|
      )

    assert {:error, %Error{reason: :guest} = error} =
             Instance.call(instance, "f", [{:bytes, "x"}])

    assert Exception.message(error) =~ "gave no memory"
  end
end
