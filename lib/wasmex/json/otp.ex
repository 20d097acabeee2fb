defmodule Wasmex.JSON.OTP do
  @moduledoc false
  # Decodes JSON with OTP's `:json`, with the rules of `Wasmex.JSON`. An accumulator is the depth and the content of the
  # current array or object.

  @compile {:no_warn_undefined, :json}

  alias Wasmex.JSON

  @spec decode(binary(), pos_integer()) :: {:ok, term()}
  def decode(text, max_depth) do
    {value, _, rest} = :json.decode(text, {0, []}, decoders(max_depth))
    if rest =~ ~r/\A[ \t\r\n]*\z/, do: {:ok, value}, else: JSON.fail("text after the value")
  rescue
    error in ErlangError -> JSON.fail(message(error.original))
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

  defp message(:unexpected_end), do: "an unexpected end"
  defp message({:invalid_byte, byte}), do: "an unexpected byte 0x#{Integer.to_string(byte, 16)}"
  defp message({:unexpected_sequence, _}), do: "an unexpected sequence of characters"
  defp message(_other), do: "invalid JSON"
end
