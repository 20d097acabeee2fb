defmodule Wasmex.HTTP.Gate do
  @moduledoc false
  # How many requests run at once: so many do, so many wait for at most a second, the others are turned
  # away. A request that dies gives its place back.

  use GenServer

  # Milliseconds that a request waits for a place.
  @patience 1_000

  # `drained` is who waits for the last request to end; then nobody is let in.
  defstruct [:drained, :most, :queue_most, running: %{}, queue: :queue.new(), queued: 0]

  def start_link(opts) do
    state = %__MODULE__{
      most: Keyword.fetch!(opts, :concurrency),
      queue_most: Keyword.fetch!(opts, :queue)
    }

    GenServer.start_link(__MODULE__, state, Keyword.take(opts, [:name]))
  end

  @doc "`:ok` when this process may go on, `:full` when it may not."
  def enter(gate), do: GenServer.call(gate, :enter, :infinity)

  def leave(gate), do: GenServer.cast(gate, {:leave, self()})

  @doc "Lets nobody in any more, and waits until all are out, `timeout` ms at most."
  def drain(gate, timeout) do
    GenServer.call(gate, :drain, timeout)
  catch
    :exit, {:timeout, _} -> :ok
  end

  @doc "`{running, waiting}`"
  def count(gate), do: GenServer.call(gate, :count)

  @impl true
  def init(state), do: {:ok, state}

  @impl true
  def handle_call(:enter, {pid, _} = from, state) do
    cond do
      state.drained != nil ->
        {:reply, :full, state}

      map_size(state.running) < state.most ->
        {:reply, :ok, admit(state, pid)}

      state.queued < state.queue_most ->
        timer = Process.send_after(self(), {:enough, from}, @patience)

        {:noreply,
         %{state | queue: :queue.in({from, timer}, state.queue), queued: state.queued + 1}}

      true ->
        {:reply, :full, state}
    end
  end

  def handle_call(:drain, from, state), do: {:noreply, drained(%{state | drained: from})}

  def handle_call(:count, _from, state),
    do: {:reply, {map_size(state.running), state.queued}, state}

  @impl true
  def handle_cast({:leave, pid}, state), do: {:noreply, release(state, pid)}

  @impl true
  def handle_info({:DOWN, _, :process, pid, _}, state), do: {:noreply, release(state, pid)}

  def handle_info({:enough, from}, state) do
    case :queue.to_list(state.queue) |> Enum.split_with(fn {waiting, _} -> waiting == from end) do
      {[], _} ->
        {:noreply, state}

      {[_], others} ->
        GenServer.reply(from, :full)
        {:noreply, %{state | queue: :queue.from_list(others), queued: state.queued - 1}}
    end
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp admit(state, pid),
    do: %{state | running: Map.put(state.running, pid, Process.monitor(pid))}

  defp release(state, pid) do
    case Map.pop(state.running, pid) do
      {nil, _} ->
        state

      {monitor, running} ->
        Process.demonitor(monitor, [:flush])
        drained(next(%{state | running: running}))
    end
  end

  defp drained(%{drained: from, running: running, queued: 0} = state)
       when from != nil and running == %{} do
    GenServer.reply(from, :ok)
    state
  end

  defp drained(state), do: state

  defp next(state) do
    case :queue.out(state.queue) do
      {{:value, {{pid, _} = from, timer}}, queue} ->
        Process.cancel_timer(timer)
        state = %{state | queue: queue, queued: state.queued - 1}

        if Process.alive?(pid) do
          GenServer.reply(from, :ok)
          admit(state, pid)
        else
          next(state)
        end

      {:empty, _} ->
        state
    end
  end
end
