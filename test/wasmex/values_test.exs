defmodule Wasmex.ValuesTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Func, Guest, Instance, Table}

  for type <- ~w(i32 i64 f32 f64 v128) do
    @identity {type, "(func (export \"#{type}\") (param #{type}) (result #{type}) local.get 0)"}
    Module.register_attribute(__MODULE__, :functions, accumulate: true)
    @functions elem(@identity, 1)
  end

  @wat "(module #{Enum.join(@functions)}
    (func (export \"externref\") (param externref) (result externref) local.get 0)
    (func $inc (export \"inc\") (param i32) (result i32) local.get 0 i32.const 1 i32.add)
    (func (export \"get\") (result funcref) ref.func $inc)
    (func (export \"call\") (param funcref i32) (result i32)
      (table.set $t (i32.const 0) (local.get 0))
      (call_indirect $t (param i32) (result i32) (local.get 1) (i32.const 0)))
    (table $t (export \"t\") 2 funcref)
    (func (export \"swap\") (param i32 f64) (result f64 i32) local.get 1 local.get 0)
    (func (export \"i31\") (param i32) (result i31ref) local.get 0 ref.i31)
    (func (export \"i31back\") (param i31ref) (result i32) local.get 0 i31.get_s)
    (func (export \"seven\") (param i32 i32 i32 i32 i32 i32 i32) (result i32) local.get 6))"

  setup_all do
    {store, instance} = Guest.start(@wat)
    %{store: store, instance: instance}
  end

  defp identity(%{instance: instance}, type, value) do
    with {:ok, [result]} <- Instance.call(instance, type, [value]), do: result
  end

  test "integers: signed results, signed and unsigned arguments, exact bounds", context do
    for {type, bits} <- [{"i32", 32}, {"i64", 64}] do
      top = Integer.pow(2, bits - 1)
      assert identity(context, type, top - 1) == top - 1
      assert identity(context, type, -top) == -top
      assert identity(context, type, top) == -top
      assert identity(context, type, 2 * top - 1) == -1

      for value <- [2 * top, -top - 1, 1.0, "1", nil, :nan] do
        assert {:error, %Error{reason: :value, details: details}} = identity(context, type, value)
        assert %{position: 0, expected: ^type} = details
      end
    end
  end

  test "floats: numbers, infinities and NaN both ways", context do
    for type <- ["f32", "f64"], value <- [0.0, 1.5, -2.25, :nan, :infinity, :neg_infinity] do
      assert identity(context, type, value) == value
    end

    assert identity(context, "f64", 3) == 3.0
    assert identity(context, "f32", 0.1) == 0.10000000149011612
    assert identity(context, "f64", 1.7e308) == 1.7e308
    assert {:error, %Error{reason: :value}} = identity(context, "f32", 3.5e38)
    assert {:error, %Error{reason: :value}} = identity(context, "f64", :atom)
  end

  test "v128 is an unsigned integer of 128 bits", context do
    top = Integer.pow(2, 128)

    for value <- [0, 1, top - 1, 0x0102030405060708090A0B0C0D0E0F10] do
      assert identity(context, "v128", value) == value
    end

    assert {:error, %Error{reason: :value}} = identity(context, "v128", -1)
    assert {:error, %Error{reason: :value}} = identity(context, "v128", top)
  end

  test "an externref carries any term", context do
    for term <- [nil, :atom, %{a: [1, "b", {self(), make_ref()}]}, &is_atom/1, 1.0, <<1::3>>] do
      assert identity(context, "externref", term) === term
    end
  end

  test "a function is a value: called, passed, stored", %{instance: instance} do
    {:ok, [func]} = Instance.call(instance, "get", [])
    assert Func.call(func, [1]) == {:ok, [2]}
    assert Instance.call(instance, "call", [func, 41]) == {:ok, [42]}
    {:ok, table} = Instance.export(instance, :table, "t")
    assert Table.set(table, 1, func) == :ok
    assert {:ok, %Func{} = back} = Table.get(table, 1)
    assert Func.call(back, [2]) == {:ok, [3]}
    assert {:error, %Error{reason: :value}} = Table.set(table, 1, :no_function)
    assert {:error, %Error{reason: :out_of_bounds}} = Table.get(table, 2)
  end

  test "handles of another store are rejected", %{instance: instance} do
    {_store, other} = Guest.start(@wat)
    {:ok, [func]} = Instance.call(other, "get", [])
    assert {:error, %Error{reason: :foreign_store}} = Instance.call(instance, "call", [func, 1])
  end

  test "several results come in order, more parameters than the short path takes", context do
    assert Instance.call(context.instance, "swap", [1, 2.5]) == {:ok, [2.5, 1]}
    assert Instance.call(context.instance, "seven", [1, 2, 3, 4, 5, 6, 7]) == {:ok, [7]}
  end

  test "small integers as GC references", %{instance: instance} do
    assert Instance.call(instance, "i31", [-5]) == {:ok, [{:i31, -5}]}
    assert Instance.call(instance, "i31back", [{:i31, -5}]) == {:ok, [-5]}

    assert {:error, %Error{reason: :value}} =
             Instance.call(instance, "i31back", [{:i31, 1 <<< 40}])
  end

  test "the wrong argument is named by its position", %{instance: instance} do
    assert {:error, error} = Instance.call(instance, "swap", [1, "x"])
    assert Exception.message(error) =~ "argument #2 to a WebAssembly f64 value. Given `Binary`"
  end

  defp left <<< right, do: Bitwise.bsl(left, right)

  test "floats bit by bit: NaNs with payloads, in and out, alone and among others" do
    wat = """
    (module
      (func (export "f32") (param f32) (result f32) local.get 0)
      (func (export "f64") (param f64) (result f64) local.get 0)
      (func (export "many") (param f32 f64 i32) (result f32 f64 i32) local.get 0 local.get 1 local.get 2))
    """

    {_store, instance} = Wasmex.Guest.start(wat)
    call = &Wasmex.Instance.call(instance, &1, &2, floats: :bits)

    for bits <- [0x7FA00001, 0xFFC00000, 0, 0x80000000],
        do: assert(call.("f32", [{:bits, bits}]) == {:ok, [{:bits, bits}]})

    for bits <- [0x7FF4000000000001, 0xFFF0000000000000],
        do: assert(call.("f64", [{:bits, bits}]) == {:ok, [{:bits, bits}]})

    params = [{:bits, 0x7FA00001}, {:bits, 0x7FF4000000000001}, 3]
    assert call.("many", params) == {:ok, params}
    assert Wasmex.Instance.call(instance, "f32", [{:bits, 0x3F800000}]) == {:ok, [1.0]}
    assert Wasmex.Instance.call(instance, "f64", [{:bits, 0x7FF4000000000001}]) == {:ok, [:nan]}

    for bad <- [
          {:bits, -1},
          {:bits, 0x1_0000_0000},
          {:bits, 1.0},
          {:bit, 1},
          {:bits},
          {:bits, 1, 2}
        ] do
      assert {:error, %Wasmex.Error{reason: :value}} = call.("f32", [bad])
    end

    assert_raise ArgumentError, ~r/floats/, fn ->
      Wasmex.Instance.call(instance, "f32", [1.0], floats: :exact)
    end
  end

  test "floats bit by bit: with binaries as arguments, and of a function that is a value" do
    wat = """
    (module
      (memory (export "memory") 1)
      (func (export "malloc") (param i32) (result i32) i32.const 8)
      (func (export "bytes") (param i32 i32) (result f32) (f32.load (local.get 0)))
      (func $f (export "f") (param f64) (result f64) local.get 0)
      (func (export "get") (result funcref) ref.func $f))
    """

    {_store, instance} = Wasmex.Guest.start(wat)
    nan = {:bytes, <<0x7FA00001::little-32>>}
    call = &Wasmex.Instance.call(instance, "bytes", [nan], &1)
    assert call.(floats: :bits) == {:ok, [{:bits, 0x7FA00001}]}
    assert call.([]) == {:ok, [:nan]}

    {:ok, [func]} = Wasmex.Instance.call(instance, "get", [])
    bits = {:bits, 0x7FF4000000000001}
    assert Wasmex.Func.call(func, [bits], floats: :bits) == {:ok, [bits]}
    assert Wasmex.Func.call(func, [bits]) == {:ok, [:nan]}
    assert_raise ArgumentError, ~r/floats/, fn -> Wasmex.Func.call(func, [1.0], floats: 1) end
  end

  test "a term of the host as an anyref comes back through a conversion" do
    wat = """
    (module (func (export "f") (param anyref) (result externref) (extern.convert_any (local.get 0))))
    """

    {_store, instance} = Wasmex.Guest.start(wat)

    assert Wasmex.Instance.call(instance, "f", [{:extern, %{any: "term"}}]) ==
             {:ok, [%{any: "term"}]}
  end
end
