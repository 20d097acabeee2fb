defmodule Wasmex.Call.Options do
  @moduledoc false
  # The options of a call besides its timeout, checked.

  @doc "The fuel of one call, or an ArgumentError."
  @spec fuel!(term()) :: non_neg_integer() | nil
  def fuel!(nil), do: nil
  def fuel!(fuel) when is_integer(fuel) and fuel in 0..0x7FFF_FFFF_FFFF_FFFF, do: fuel

  def fuel!(other),
    do: raise(ArgumentError, "fuel: must be a non-negative integer, got: #{inspect(other)}")

  @doc "How floats come back, or an ArgumentError."
  @spec floats!(term()) :: :values | :bits
  def floats!(floats) when floats in [:values, :bits], do: floats

  def floats!(other),
    do: raise(ArgumentError, "floats: must be :values or :bits, got: #{inspect(other)}")
end
