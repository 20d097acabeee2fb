defmodule Wasmex.Cluster.Callers do
  @moduledoc false
  # Processes of other nodes that have calls here: when they die, their calls end. A monitor on another node takes two
  # messages over the connection, so it is kept for a while, for the next call of the same process.

  use GenServer

  # How long a monitor is kept after the last call, in ms.
  @rest 1_000

  # By caller: its monitor, and the processes that run for it.
  defstruct callers: %{}

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "Makes this process run for the caller: it is killed when the caller ends."
  @spec enter(pid()) :: :ok
  def enter(caller), do: GenServer.cast(__MODULE__, {:enter, caller, self()})

  @spec leave(pid()) :: :ok
  def leave(caller), do: GenServer.cast(__MODULE__, {:leave, caller, self()})

  @doc "The number of processes that run for others."
  @spec count() :: non_neg_integer()
  def count, do: GenServer.call(__MODULE__, :count)

  @impl true
  def init(nil) do
    Process.flag(:priority, :high)
    Process.send_after(self(), :look, @rest)
    {:ok, %__MODULE__{}}
  end

  @impl true
  def handle_cast({:enter, caller, pid}, state) do
    {monitor, pids} =
      Map.get_lazy(state.callers, caller, fn -> {Process.monitor(caller), MapSet.new()} end)

    callers = Map.put(state.callers, caller, {monitor, MapSet.put(pids, pid)})
    {:noreply, %{state | callers: callers}}
  end

  def handle_cast({:leave, caller, pid}, state) do
    case state.callers do
      %{^caller => {monitor, pids}} ->
        callers = Map.put(state.callers, caller, {monitor, MapSet.delete(pids, pid)})
        {:noreply, %{state | callers: callers}}

      _ ->
        {:noreply, state}
    end
  end

  @impl true
  def handle_call(:count, _from, state) do
    state = without_dead(state)
    count = for {_caller, {_monitor, pids}} <- state.callers, do: MapSet.size(pids)
    {:reply, Enum.sum(count), state}
  end

  @impl true
  def handle_info({:DOWN, _monitor, :process, caller, _reason}, state) do
    {{_monitor, pids}, callers} = Map.pop(state.callers, caller, {nil, MapSet.new()})
    for pid <- pids, do: Process.exit(pid, :kill)
    {:noreply, %{state | callers: callers}}
  end

  # Removes killed and idle ones.
  def handle_info(:look, state) do
    Process.send_after(self(), :look, @rest)
    state = without_dead(state)

    {idle, callers} =
      Enum.split_with(state.callers, fn {_caller, {_monitor, pids}} -> MapSet.size(pids) == 0 end)

    for {_caller, {monitor, _pids}} <- idle, do: Process.demonitor(monitor, [:flush])
    {:noreply, %{state | callers: Map.new(callers)}}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp without_dead(state) do
    callers =
      Map.new(state.callers, fn {caller, {monitor, pids}} ->
        {caller, {monitor, MapSet.new(Enum.filter(pids, &Process.alive?/1))}}
      end)

    %{state | callers: callers}
  end
end
