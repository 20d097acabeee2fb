defmodule Wasmex.Snapshot.State do
  @moduledoc false
  # Encodes the state of a guest for the helper: see native/compiler/src/state.rs.

  @typedoc "A name from Wizer, a type, and the value: an integer, a float or bytes."
  @type value :: {String.t(), :i32 | :i64 | :f32 | :f64 | :v128 | :memory, term()}

  @doc "Encodes the code, its functions' names, and the values."
  @spec encode(binary(), String.t(), map(), [value()]) :: iodata()
  def encode(code, init, opts, values) do
    keep = if opts.keep_init or component?(code), do: 1, else: 0

    [
      long(code),
      text(init),
      text(opts.start || ""),
      keep,
      for({name, type, value} <- values, do: [text(name), bytes(type, value)])
    ]
  end

  # Required for valid output of Wizer.
  defp component?(<<0, "asm", _version::16, layer::little-16, _::binary>>), do: layer != 0

  defp text(text), do: [<<byte_size(text)::16>>, text]
  defp long(bytes), do: [<<byte_size(bytes)::32>>, bytes]

  defp bytes(:i32, value), do: [0, long(<<value::little-32>>)]
  defp bytes(:i64, value), do: [1, long(<<value::little-64>>)]
  defp bytes(:f32, value), do: [2, long(float(value, 32))]
  defp bytes(:f64, value), do: [3, long(float(value, 64))]
  defp bytes(:v128, value), do: [4, long(<<value::little-128>>)]
  defp bytes(:memory, value), do: [5, long(value)]

  # There is only one NaN.
  defp float(:nan, 32), do: <<0x7FC0_0000::little-32>>
  defp float(:nan, 64), do: <<0x7FF8_0000_0000_0000::little-64>>
  defp float(:infinity, 32), do: <<0x7F80_0000::little-32>>
  defp float(:infinity, 64), do: <<0x7FF0_0000_0000_0000::little-64>>
  defp float(:neg_infinity, 32), do: <<0xFF80_0000::little-32>>
  defp float(:neg_infinity, 64), do: <<0xFFF0_0000_0000_0000::little-64>>
  defp float(value, size), do: <<value::little-float-size(size)>>
end
