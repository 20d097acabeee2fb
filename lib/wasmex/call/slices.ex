defmodule Wasmex.Call.Slices do
  @moduledoc false
  # Counts the time slices that guests have used up in this VM. Calls that end in their first slice are not counted: they
  # cost nothing here.

  @doc "Starts counting; without it, `count/0` does nothing."
  @spec start() :: :ok
  def start do
    if :persistent_term.get(__MODULE__, nil) == nil,
      do: :persistent_term.put(__MODULE__, :counters.new(1, [:write_concurrency]))

    :ok
  end

  @spec count() :: :ok
  def count do
    case :persistent_term.get(__MODULE__, nil) do
      nil -> :ok
      counter -> :counters.add(counter, 1, 1)
    end
  end

  @doc "The number of slices since the application started."
  @spec total() :: non_neg_integer()
  def total do
    case :persistent_term.get(__MODULE__, nil) do
      nil -> 0
      counter -> :counters.get(counter, 1)
    end
  end
end
