defmodule Wasmex.JSON.OTP do
  @moduledoc false
  # Reads JSON with OTP's `:json`, by the rules of `Wasmex.JSON`. An accumulator is the depth and what has been read of an
  # array or object.

  @compile {:no_warn_undefined, :json}

  alias Wasmex.JSON

  @spec decode(binary(), pos_integer()) :: {:ok, term()}
  def decode(text, max_depth) do
    {value, _, rest} = :json.decode(text, {0, []}, decoders(max_depth))
    if rest =~ ~r/\A[ \t\r\n]*\z/, do: {:ok, value}, else: JSON.fail("text after the value")
  rescue
    error in ErlangError -> JSON.fail(why(error.original))
  end

  defp decoders(max_depth) do
    %{
      null: nil,
      integer: &JSON.integer/1,
      float: &JSON.float/1,
      array_start: fn {depth, _} -> {JSON.deeper(depth, max_depth), []} end,
      array_push: fn value, {depth, values} -> {depth, [value | values]} end,
      array_finish: fn {_, values}, outer -> {Enum.reverse(values), outer} end,
      object_start: fn {depth, _} -> {JSON.deeper(depth, max_depth), %{}} end,
      object_push: fn name, value, {depth, object} -> {depth, JSON.put(object, name, value)} end,
      object_finish: fn {_, object}, outer -> {object, outer} end
    }
  end

  defp why(:unexpected_end), do: "an unexpected end"
  defp why({:invalid_byte, byte}), do: "an unexpected byte 0x#{Integer.to_string(byte, 16)}"
  defp why({:unexpected_sequence, _}), do: "an unexpected sequence of characters"
  defp why(_other), do: "it can't be read"
end
