defmodule Wasmex.Call.Turn do
  @moduledoc false
  # Waits for a store that another process uses, first come, first served. The native side keeps the queue and sends
  # `{:wasmex_turn, ref}`.

  alias Wasmex.Call.Deadlock
  alias Wasmex.Native

  # Ms after which a wait is checked for a deadlock; again after twice the time, but at least so often. Each check asks the
  # process that holds the store: a hundred thousand that asked every time would keep it from anything else.
  @long_wait 200
  @longest 10_000

  @doc "Waits in the queue of a store. Leaves it after the timeout, and when the wait is a deadlock."
  @spec wait(store :: reference(), reference(), timeout() | {timeout(), non_neg_integer()}) ::
          :ok | :timeout | :deadlock
  def wait(store, ref, timeout)

  # Of the milliseconds that are left, and that it has waited.
  def wait(store, ref, {timeout, waited}) do
    slice = waited |> max(@long_wait) |> min(@longest) |> min(timeout)

    receive do
      {:wasmex_turn, ^ref} -> :ok
    after
      slice ->
        waited = waited + slice

        cond do
          Deadlock.certain?(store, waited) -> give_up(store, ref, :deadlock)
          timeout == :infinity -> wait(store, ref, {:infinity, waited})
          timeout > slice -> wait(store, ref, {timeout - slice, waited})
          true -> give_up(store, ref, :timeout)
        end
    end
  end

  def wait(store, ref, :infinity) do
    if Native.store_wait_forever(store),
      do: wait(store, ref, {:infinity, 0}),
      else: give_up(store, ref, :deadlock)
  end

  def wait(store, ref, timeout), do: wait(store, ref, {timeout, 0})

  defp give_up(store, ref, why) do
    leave(store, ref)
    why
  end

  @doc "Leaves the queue, and removes the message from the mailbox if it was already sent."
  @spec leave(store :: reference(), reference()) :: :ok
  def leave(store, ref) do
    Native.store_stop_waiting(store)

    receive do
      {:wasmex_turn, ^ref} -> :ok
    after
      0 -> :ok
    end
  end
end
