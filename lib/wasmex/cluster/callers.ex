defmodule Wasmex.Cluster.Callers do
  @moduledoc false
  # Processes of other nodes that have calls here: when they die, their calls end.
  #
  # Calls write themselves into a table, which needs no other process. A monitor on another node takes two messages over the
  # connection, so it is kept for a while, for the next call of the same process; only the first call asks for it.

  use GenServer

  # How long a monitor is kept after the last call, in ms.
  @rest 1_000

  # The monitors, by caller.
  defstruct monitors: %{}

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "Makes this process run for the caller: it is killed when the caller ends."
  @spec enter(pid()) :: :ok
  def enter(caller) do
    # In this order: `forget/2` removes the mark before it looks for calls, so one of both sees the other.
    :ets.insert(__MODULE__, {caller, self()})

    if :ets.member(__MODULE__, {:monitored, caller}),
      do: :ok,
      else: GenServer.cast(__MODULE__, {:monitor, caller})
  rescue
    # This node's part is not started, or is restarting.
    ArgumentError -> :ok
  end

  @spec leave(pid()) :: :ok
  def leave(caller) do
    :ets.delete_object(__MODULE__, {caller, self()})
    :ok
  rescue
    ArgumentError -> :ok
  end

  @doc "The number of processes that run for others."
  @spec count() :: non_neg_integer()
  def count, do: Enum.count(running(), fn {_caller, pid} -> Process.alive?(pid) end)

  defp running, do: :ets.select(__MODULE__, [{{:"$1", :"$2"}, [], [{{:"$1", :"$2"}}]}])

  # Rows: `{caller, pid}` for each call, and `{{:monitored, caller}}`.
  @impl true
  def init(nil) do
    Process.flag(:priority, :high)
    :ets.new(__MODULE__, [:named_table, :bag, :public, write_concurrency: true])
    Process.send_after(self(), :look, @rest)
    {:ok, %__MODULE__{}}
  end

  @impl true
  def handle_cast({:monitor, caller}, state), do: {:noreply, monitor(state, caller)}

  @impl true
  def handle_info({:DOWN, _monitor, :process, caller, _reason}, state) do
    state = %{state | monitors: Map.delete(state.monitors, caller)}
    :ets.delete(__MODULE__, {:monitored, caller})
    for {_caller, pid} <- :ets.take(__MODULE__, caller), do: Process.exit(pid, :kill)
    {:noreply, state}
  end

  # Removes killed processes and idle callers.
  def handle_info(:look, state) do
    Process.send_after(self(), :look, @rest)

    for {_, pid} = row <- running(),
        not Process.alive?(pid),
        do: :ets.delete_object(__MODULE__, row)

    {:noreply, Enum.reduce(Map.keys(state.monitors), state, &forget/2)}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp monitor(%{monitors: monitors} = state, caller) when is_map_key(monitors, caller), do: state

  defp monitor(state, caller) do
    monitor = Process.monitor(caller)
    :ets.insert(__MODULE__, {{:monitored, caller}})
    put_in(state.monitors[caller], monitor)
  end

  defp forget(caller, state) do
    if :ets.member(__MODULE__, caller) do
      state
    else
      :ets.delete(__MODULE__, {:monitored, caller})
      {monitor, monitors} = Map.pop!(state.monitors, caller)
      Process.demonitor(monitor, [:flush])
      state = %{state | monitors: monitors}
      # A call may have begun just before the mark was removed.
      if :ets.member(__MODULE__, caller), do: monitor(state, caller), else: state
    end
  end
end
