defmodule Wasmex.Call.Timeout do
  @moduledoc false
  # The times that callers give, ms or `:infinity`: checked, as deadlines, and as the VM takes them.

  # What `receive … after`, timers and `GenServer.call/3` take, which is 49 days; after that a wait is given up.
  @longest 0xFFFF_FFFF

  @doc "The timeout, or an ArgumentError."
  @spec check!(term()) :: timeout()
  def check!(:infinity), do: :infinity
  def check!(ms) when is_integer(ms) and ms >= 0, do: ms

  def check!(other),
    do: Wasmex.Options.misuse!("milliseconds or :infinity as timeout", other)

  @doc "As the VM takes it."
  @spec capped(timeout()) :: timeout()
  def capped(:infinity), do: :infinity
  def capped(ms), do: min(ms, @longest)

  @doc "When it will be over, in ms of the monotonic clock."
  @spec deadline(timeout()) :: integer() | :infinity
  def deadline(:infinity), do: :infinity
  def deadline(timeout), do: now() + timeout

  @doc "What is left until a deadline, as the VM takes it."
  @spec left(integer() | :infinity) :: timeout()
  def left(:infinity), do: :infinity
  def left(deadline), do: (deadline - now()) |> max(0) |> min(@longest)

  @spec over?(integer() | :infinity) :: boolean()
  def over?(:infinity), do: false
  def over?(deadline), do: now() >= deadline

  defp now, do: System.monotonic_time(:millisecond)
end
