defmodule Wasmex.Components.ScalarsTest do
  # Functions whose values are all numbers, booleans or characters are converted on a way of their own. Each is compared
  # here with a function that also has a tuple, and is converted as all others.
  use ExUnit.Case, async: true

  alias Wasmex.Components.{Component, Instance, Store, Template}
  alias Wasmex.Error

  @types [
    bool: "i32",
    s8: "i32",
    u8: "i32",
    s16: "i32",
    u16: "i32",
    s32: "i32",
    u32: "i32",
    s64: "i64",
    u64: "i64",
    f32: "f32",
    f64: "f64",
    char: "i32"
  ]

  @formats [[], [value_format: :compat], [bytes: :list], [lists: :binary]]

  # `alone` is a function with scalars only, and `beside` the same with a tuple.
  defp functions({type, core}) do
    """
    (core func $lowered-#{type} (canon lower (func $host-#{type})))
    (core module $module-#{type}
      (import "host" "f" (func $f (param #{core} i32) (result #{core})))
      (func (export "alone") (param #{core} i32) (result #{core}) local.get 0)
      (func (export "beside") (param #{core} i32 i32) (result #{core}) local.get 0)
      (func (export "bits") (param i64) (result #{core}) local.get 0 #{of_i64(core)})
      (func (export "asks") (param #{core} i32) (result #{core})
        local.get 0 local.get 1 call $f))
    (core instance $core-#{type} (instantiate $module-#{type}
      (with "host" (instance (export "f" (func $lowered-#{type}))))))
    #{lift(type, "alone", "(param \"a\" #{type}) (param \"b\" bool) (result #{type})")}
    #{lift(type, "beside", "(param \"a\" #{type}) (param \"b\" bool) (param \"c\" (tuple bool)) (result (tuple #{type}))")}
    #{lift(type, "bits", "(param \"bits\" u64) (result #{type})")}
    #{lift(type, "bits", "(param \"bits\" u64) (result (tuple #{type}))", "boxed-bits")}
    #{lift(type, "asks", "(param \"a\" #{type}) (param \"b\" bool) (result #{type})")}
    """
  end

  defp lift(type, function, signature, name \\ nil) do
    name = name || function

    """
    (func (export "#{name}-#{type}") #{signature}
      (canon lift (core func $core-#{type} "#{function}")))
    """
  end

  defp of_i64("i64"), do: ""
  defp of_i64("i32"), do: "i32.wrap_i64"
  defp of_i64("f32"), do: "i32.wrap_i64 f32.reinterpret_i32"
  defp of_i64("f64"), do: "f64.reinterpret_i64"

  defp component do
    imports =
      for {type, _} <- @types do
        ~s|(import "host-#{type}" (func $host-#{type} (param "a" #{type}) (param "b" bool) (result #{type})))\n|
      end

    "(component #{imports} #{Enum.map(@types, &functions/1)})"
  end

  defp instance(template) do
    {:ok, store} = Store.new()
    {:ok, instance} = Template.instantiate(template, store)
    instance
  end

  # Imports return what they are given, or what the process says.
  setup_all do
    {:ok, component} = Component.compile(Wasmex.Engine.default(), component())
    answer = fn a, b -> Process.get(:answer, fn a, _b -> a end).(a, b) end
    imports = for {type, _} <- @types, into: %{}, do: {"host-#{type}", {:fn, answer}}
    {:ok, template} = Template.new(component, imports)
    {:ok, compat} = Template.new(component, imports, value_format: :compat)
    %{template: template, compat: compat, instance: instance(template)}
  end

  defp terms do
    edges = for bits <- [0, 7, 8, 15, 16, 31, 32, 53, 59, 63, 64], do: Integer.pow(2, bits)
    integers = Enum.flat_map(edges, &[&1, &1 - 1, -&1, -&1 - 1])
    random = for bits <- [4, 12, 28, 60, 70], do: :rand.uniform(Integer.pow(2, bits)) - 9

    integers ++
      random ++
      [0.0, -0.0, 1.5, 1.0e39, -1.0e300, :nan, :infinity, :neg_infinity, true, false, nil, :yes] ++
      ["", "a", "ß", "ab", <<255>>, [], [97], [1, 2], [:a | :b], {1}, {:some, 1}, %{}] ++
      [self(), make_ref(), &is_atom/1, String.duplicate("a", 100_000)]
  end

  defp unbox({:ok, {value}}), do: {:ok, value}
  defp unbox(other), do: other

  test "values and errors are those of the general conversion", %{instance: instance} do
    for {type, _} <- @types, term <- terms(), second <- [true, nil], opts <- @formats do
      alone = Instance.call(instance, "alone-#{type}", [term, second], opts)
      beside = Instance.call(instance, "beside-#{type}", [term, second, {true}], opts)
      assert {type, term, opts, alone} == {type, term, opts, unbox(beside)}
    end
  end

  test "the number of arguments is checked first", %{instance: instance} do
    for params <- [[], ["x"], [1 | true], [1, true | :rest]] do
      assert {:error, %Error{reason: reason}} = Instance.call(instance, "alone-u8", params)
      assert reason in [:arity, :params]
    end

    assert {:error, %Error{reason: :arity}} = Instance.call(instance, "alone-u8", [1, true, 3])

    assert {:ok, 1} = Instance.call(instance, "alone-u8", [1, true, 3], value_format: :compat)
  end

  test "bits that a type does not have count for nothing", %{instance: instance} do
    for {type, _} <- @types, type != :char, bits <- bits() do
      alone = Instance.call(instance, "bits-#{type}", [bits])
      boxed = Instance.call(instance, "boxed-bits-#{type}", [bits])
      assert {type, bits, alone} == {type, bits, unbox(boxed)}
    end
  end

  defp bits do
    all = 0xFFFF_FFFF_FFFF_FFFF
    [0, 1, 0x80, 0x100, 0x1FF, 0x8000, 0x1_0000, 0x8000_0000, 0x1_0000_0000, all, all - 1]
  end

  test "a character that is none ends the instance", %{template: template} do
    for code <- [0xD800, 0x11_0000, 0xFFFF_FFFF], function <- ["bits-char", "boxed-bits-char"] do
      instance = instance(template)
      assert {:ok, _} = Instance.call(instance, function, [0xE9])
      assert {:error, %Error{reason: :guest}} = Instance.call(instance, function, [code])
      assert {:error, %Error{reason: :spent}} = Instance.call(instance, function, [0xE9])
    end
  end

  test "imports are passed the values and may return them", %{template: template, compat: compat} do
    test = self()

    for {type, _} <- @types,
        term <- terms(),
        {template, opts} <- [{template, []}, {compat, value_format: :compat}] do
      instance = instance(template)

      Process.put(:answer, fn a, b ->
        send(test, {:asked, a, b})
        a
      end)

      case Instance.call(instance, "alone-#{type}", [term, true], opts) do
        {:ok, value} ->
          assert {:ok, ^value} = Instance.call(instance, "asks-#{type}", [term, true], opts)
          assert_received {:asked, ^value, true}

        {:error, error} ->
          assert {:error, ^error} = Instance.call(instance, "asks-#{type}", [term, true], opts)
          refute_received {:asked, _, _}
      end
    end
  end

  test "what an import returns is converted like an argument", %{template: template} do
    for {type, _} <- @types, term <- terms() do
      instance = instance(template)
      Process.put(:answer, fn _a, _b -> term end)
      zero = zero(type)

      case {Instance.call(instance, "alone-#{type}", [term, true]),
            Instance.call(instance, "asks-#{type}", [zero, true])} do
        {{:ok, value}, asked} ->
          assert {type, asked} == {type, {:ok, value}}

        {{:error, %{details: wrong}}, asked} ->
          assert {:error, %Error{reason: :bad_value, details: %{message: details}}} = asked
          assert Map.delete(details, :path) == Map.delete(wrong, :path)
      end
    end
  end

  defp zero(:bool), do: false
  defp zero(:char), do: "0"
  defp zero(float) when float in [:f32, :f64], do: 0.0
  defp zero(_integer), do: 0
end
