defmodule Wasmex.Call.Signed do
  @moduledoc false
  # The integers of Wasmex 0.15, which are signed; the library itself accepts unsigned ones, too. Those beyond the range are
  # replaced by what is not an integer at all, so that the call reports them as it reports all wrong values, in order.

  @no_integer 0.5

  @doc "Whether no param is beyond the range of any type."
  @spec params?(term()) :: boolean()
  def params?([param | _]) when is_integer(param) and param > 0x7FFF_FFFF, do: false
  def params?([_ | params]), do: params?(params)
  def params?(_end), do: true

  @doc "Params of these types. A wrong number of them is reported as such."
  @spec params(term(), [term()]) :: term()
  def params(params, types) do
    if List.improper?(params) or length(params) != length(types),
      do: params,
      else: values(params, types)
  end

  defp values([value | values], [type | types]), do: [value(value, type) | values(values, types)]
  defp values(values, _types), do: values

  @doc "What an imported function with these types of results returned."
  @spec results(term(), [atom()]) :: term()
  def results(value, [type]), do: value(value, type)
  def results(values, types) when is_list(values), do: values(values, types)
  def results(value, _types), do: value

  @doc "A value of this type."
  @spec value(term(), term()) :: term()
  def value(value, :i32) when is_integer(value) and value > 0x7FFF_FFFF, do: @no_integer

  def value(value, :i64) when is_integer(value) and value > 0x7FFF_FFFF_FFFF_FFFF,
    do: @no_integer

  def value(value, _type), do: value
end
