defmodule Wasmex.Cluster.Uses do
  @moduledoc false
  # Running calls of guests with keys: a table, which calls write themselves. A keeper waits for its calls before it saves
  # the guest's state.

  @typedoc "A keeper, the process of a call, and a number for nested calls."
  @type seat :: {pid(), pid(), reference()}

  @doc "Creates the table, owned by the calling process."
  @spec open() :: atom()
  def open, do: :ets.new(__MODULE__, [:named_table, :bag, :public, write_concurrency: true])

  @doc "A call begins in this process. Afterwards, check that the keeper still lends its guest."
  @spec enter(pid()) :: seat()
  def enter(keeper) do
    seat = {keeper, self(), make_ref()}
    :ets.insert(__MODULE__, seat)
    seat
  end

  @spec leave(seat()) :: true
  def leave(seat) do
    :ets.delete_object(__MODULE__, seat)
  rescue
    # The cluster was stopped.
    ArgumentError -> true
  end

  @doc "Waits until no call of this keeper runs, at most this many ms; whether none does."
  @spec wait(pid(), integer()) :: boolean()
  def wait(keeper, ms) do
    cond do
      not Enum.any?(:ets.lookup(__MODULE__, keeper), &running?/1) ->
        true

      ms <= 0 ->
        false

      true ->
        Process.sleep(2)
        wait(keeper, ms - 2)
    end
  end

  @doc "Removes calls whose process was killed."
  @spec tidy() :: :ok
  def tidy do
    for seat <- :ets.tab2list(__MODULE__), not running?(seat), do: leave(seat)
    :ok
  end

  defp running?({_keeper, pid, _ref}), do: Process.alive?(pid)
end
