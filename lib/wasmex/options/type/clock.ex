defmodule Wasmex.Options.Type.Clock do
  @moduledoc false
  # `:real`, or a fixed time for all clocks of a guest, in nanoseconds since 1970 (a u64 in WASI).

  use Wasmex.Options.Type

  @impl true
  def cast(:real), do: {:ok, :real}

  def cast(%DateTime{} = time) do
    if DateTime.to_unix(time, :nanosecond) in 0..0x7FFF_FFFF_FFFF_FFFF,
      do: {:ok, time},
      else: {:error, "", "a time between 1970 and 2262", time}
  end

  def cast(other), do: {:error, "", expected(), other}

  @impl true
  def expected, do: ":real or a %DateTime{}"

  @impl true
  def spec, do: quote(do: :real | DateTime.t())

  @impl true
  def example, do: "~U[2026-01-01 00:00:00Z]"

  @impl true
  def native(:real), do: nil
  def native(time), do: DateTime.to_unix(time, :nanosecond)
end
