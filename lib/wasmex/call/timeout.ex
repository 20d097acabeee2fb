defmodule Wasmex.Call.Timeout do
  @moduledoc false
  # Timeouts, in ms or `:infinity`: validation, deadlines, and the limits of the VM.

  # The maximum of `receive … after`, timers and `GenServer.call/3`: 49 days.
  @longest 0xFFFF_FFFF

  @doc "Returns the timeout, or raises an ArgumentError."
  @spec check!(term()) :: timeout()
  def check!(:infinity), do: :infinity
  def check!(ms) when is_integer(ms) and ms >= 0, do: ms

  def check!(other),
    do: Wasmex.Options.misuse!("milliseconds or :infinity as timeout", other)

  @doc "The timeout, limited to the maximum of the VM."
  @spec capped(timeout()) :: timeout()
  def capped(:infinity), do: :infinity
  def capped(ms), do: min(ms, @longest)

  @doc "The deadline, in ms of the monotonic clock."
  @spec deadline(timeout()) :: integer() | :infinity
  def deadline(:infinity), do: :infinity
  def deadline(timeout), do: now() + timeout

  @doc "The time until a deadline, limited to the maximum of the VM."
  @spec left(integer() | :infinity) :: timeout()
  def left(:infinity), do: :infinity
  def left(deadline), do: (deadline - now()) |> max(0) |> min(@longest)

  @spec over?(integer() | :infinity) :: boolean()
  def over?(:infinity), do: false
  def over?(deadline), do: now() >= deadline

  defp now, do: System.monotonic_time(:millisecond)
end
