defmodule Wasmex.Conformance.SpecValues do
  @moduledoc "Values of the core suite: as arguments, and as what is expected."

  import Bitwise

  @doc "An argument for `Wasmex.Instance.call/4`."
  def argument(%{"type" => type, "value" => value}) when type in ["i32", "i64"],
    do: String.to_integer(value)

  def argument(%{"type" => type, "value" => value}) when type in ["f32", "f64"],
    do: {:bits, bits(type, value)}

  def argument(%{"type" => "v128", "lane_type" => type, "value" => lanes}),
    do: vector(type, lanes)

  def argument(%{"value" => "null"}), do: nil
  # Host references are known by their number.
  def argument(%{"type" => "externref", "value" => value}), do: {:host, value}
  def argument(%{"type" => "anyref", "value" => value}), do: {:extern, {:host, value}}
  def argument(%{"type" => "refnull"}), do: nil
  def argument(other), do: throw({:unsupported, "an argument #{inspect(other)}"})

  defp bits("f32", "nan:canonical"), do: 0x7FC00000
  defp bits("f64", "nan:canonical"), do: 0x7FF8000000000000
  defp bits(_type, value), do: String.to_integer(value)

  @widths %{"i8" => 8, "i16" => 16, "i32" => 32, "f32" => 32, "i64" => 64, "f64" => 64}

  defp vector(type, lanes) do
    width = @widths[type]

    lanes
    |> Enum.with_index()
    |> Enum.reduce(0, fn {lane, index}, sum ->
      sum + ((lane(type, lane) &&& (1 <<< width) - 1) <<< (width * index))
    end)
  end

  defp lane(type, lane) when type in ["f32", "f64"], do: bits(type, lane)
  defp lane(_type, lane), do: String.to_integer(lane)

  @doc "Whether a result is what was expected."
  def match?(result, %{"type" => "either", "values" => values}),
    do: Enum.any?(values, &__MODULE__.match?(result, &1))

  def match?(result, %{"type" => "i32", "value" => value}),
    do: (result &&& 0xFFFFFFFF) == (String.to_integer(value) &&& 0xFFFFFFFF)

  def match?(result, %{"type" => "i64", "value" => value}),
    do: (result &&& 0xFFFFFFFFFFFFFFFF) == (String.to_integer(value) &&& 0xFFFFFFFFFFFFFFFF)

  def match?({:bits, bits}, %{"type" => type, "value" => value}), do: float?(type, bits, value)

  def match?(result, %{"type" => "v128", "lane_type" => type, "value" => lanes}) do
    width = @widths[type]

    lanes
    |> Enum.with_index()
    |> Enum.all?(fn {lane, index} ->
      got = result >>> (width * index) &&& (1 <<< width) - 1

      if type in ["f32", "f64"],
        do: float?(type, got, lane),
        else: got == (String.to_integer(lane) &&& (1 <<< width) - 1)
    end)
  end

  def match?(result, %{"value" => "null"}), do: result == nil
  def match?(result, %{"type" => "externref", "value" => value}), do: result == {:host, value}

  def match?(result, %{"type" => type}) do
    case type do
      type when type in ["refnull", "nullref", "nullfuncref", "nullexnref", "nullexternref"] ->
        result == nil

      "i31ref" ->
        Kernel.match?({:i31, _}, result)

      "funcref" ->
        Kernel.match?(%Wasmex.Func{}, result)

      type when type in ["structref", "arrayref"] ->
        Kernel.match?(%Wasmex.Reference{}, result)

      type when type in ["eqref", "anyref", "exnref", "externref"] ->
        result != nil
    end
  end

  defp float?("f32", bits, "nan:canonical"), do: (bits &&& 0x7FFFFFFF) == 0x7FC00000
  defp float?("f32", bits, "nan:arithmetic"), do: (bits &&& 0x7FC00000) == 0x7FC00000

  defp float?("f64", bits, "nan:canonical"),
    do: (bits &&& 0x7FFFFFFFFFFFFFFF) == 0x7FF8000000000000

  defp float?("f64", bits, "nan:arithmetic"),
    do: (bits &&& 0x7FF8000000000000) == 0x7FF8000000000000

  defp float?(_type, bits, value), do: bits == String.to_integer(value)
end
