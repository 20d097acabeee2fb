defmodule Wasmex.HTTP.Gate do
  @moduledoc false
  # How many requests run at once: so many do, so many wait for at most a second, the others are turned
  # away. A request that writes to its client steps out meanwhile (`Wasmex.HTTP.Gate.Writers`).
  #
  # Who runs has a row in a table, so that entering asks no process while there is room: on a busy machine
  # each wait for another process costs a turn of all that compute. This process keeps the queue, and
  # takes away the rows of processes that die.

  use GenServer

  alias Wasmex.HTTP.Gate.Writers

  # Milliseconds that a request waits for a place.
  @patience 1_000
  @watched :"$wasmex_http_gate"

  defstruct [:name, :table, :writers, :most]

  @type t :: %__MODULE__{}

  defmodule Queue do
    @moduledoc false
    # `drained` is who waits for the last request to end, then `:told`; nobody is let in.
    defstruct [
      :table,
      :writers,
      :most,
      :queue_most,
      :drained,
      watched: %{},
      queue: :queue.new(),
      queued: 0
    ]
  end

  @doc "The tables for those who run and for those who write, with so many places."
  @spec new(pos_integer()) :: {:ets.table(), Writers.t()}
  def new(places) do
    table = :ets.new(__MODULE__, [:public, write_concurrency: true, read_concurrency: true])
    {table, Writers.new(places)}
  end

  def start_link(opts) do
    {table, writers} = opts[:tables]

    state = %Queue{
      table: table,
      writers: writers,
      most: opts[:concurrency],
      queue_most: opts[:queue]
    }

    GenServer.start_link(__MODULE__, state, name: opts[:name])
  end

  @doc "What requests enter by."
  def handle(name), do: GenServer.call(name, {:handle, name})

  @doc "`:ok` when this process may go on, `:full` when it may not."
  def enter(%__MODULE__{name: name, table: table, most: most}) do
    # Watched first: a process that dies at any point from here on leaves no row behind.
    unless Process.get(@watched) == name do
      GenServer.cast(name, {:watch, self()})
      Process.put(@watched, name)
    end

    :ets.insert(table, {self(), :runs})

    if :ets.info(table, :size) <= most and not :ets.member(table, :queue) do
      :ok
    else
      :ets.delete(table, self())
      GenServer.call(name, :enter, :infinity)
    end
  end

  @doc """
  Gives the place back while this process writes to a client at this address, or for good (`:ended`). `:kept` when too
  many guests wait for their clients already: then this one has to hurry.
  """
  @spec step_out(t(), String.t() | :ended) :: :out | :kept
  def step_out(%__MODULE__{writers: writers} = gate, address) do
    if Writers.add(writers, address) do
      give_back(gate)
      :out
    else
      :kept
    end
  end

  @doc "Takes a place again, at once: those who step out are limited, and others have been let in instead."
  @spec step_in(t()) :: :ok
  def step_in(%__MODULE__{table: table, writers: writers}) do
    :ets.insert(table, {self(), :runs})
    Writers.back(writers)
  end

  @doc "Ends what `enter/1` began, wherever this process is."
  @spec leave(t()) :: :ok
  def leave(%__MODULE__{writers: writers} = gate) do
    Writers.remove(writers, self())
    give_back(gate)
  end

  defp give_back(%{name: name, table: table}) do
    :ets.delete(table, self())
    if :ets.member(table, :queue), do: GenServer.cast(name, :left)
    :ok
  end

  @doc "Lets nobody in any more, and waits until all are out, `timeout` ms at most."
  def drain(name, timeout) do
    GenServer.call(name, :drain, timeout)
  catch
    :exit, {:timeout, _} -> :ok
  end

  @impl true
  def init(state) do
    # Requests wait for its few microseconds, which must not wait behind guests.
    Process.flag(:priority, :high)
    {:ok, state}
  end

  @impl true
  def handle_call({:handle, name}, _from, state),
    do:
      {:reply,
       %__MODULE__{name: name, table: state.table, writers: state.writers, most: state.most},
       state}

  def handle_call(:enter, {pid, _} = from, state) do
    cond do
      state.drained != nil ->
        {:reply, :full, state}

      running(state) < state.most and state.queued == 0 ->
        :ets.insert(state.table, {pid, :runs})
        {:reply, :ok, state}

      state.queued < state.queue_most ->
        timer = Process.send_after(self(), {:enough, from}, @patience)
        # From now on those who leave say so, and nobody passes those who wait.
        :ets.insert(state.table, {:queue, true})
        state = %{state | queue: :queue.in({from, timer}, state.queue), queued: state.queued + 1}
        {:noreply, admit(state)}

      true ->
        {:reply, :full, state}
    end
  end

  def handle_call(:drain, from, state) do
    :ets.insert(state.table, {:queue, true})
    {:noreply, drained(%{state | drained: from})}
  end

  @impl true
  # Once for each process: servers that clear its dictionary make it ask with every request.
  def handle_cast({:watch, pid}, %{watched: watched} = state) when is_map_key(watched, pid),
    do: {:noreply, state}

  def handle_cast({:watch, pid}, state),
    do: {:noreply, put_in(state.watched[pid], Process.monitor(pid))}

  def handle_cast(:left, state), do: {:noreply, admit(state)}

  @impl true
  def handle_info({:DOWN, _monitor, :process, pid, _}, state) do
    :ets.delete(state.table, pid)
    Writers.remove(state.writers, pid)
    {:noreply, admit(%{state | watched: Map.delete(state.watched, pid)})}
  end

  def handle_info({:enough, from}, state) do
    case :queue.to_list(state.queue) |> Enum.split_with(fn {waiting, _} -> waiting == from end) do
      {[], _} ->
        {:noreply, state}

      {[_], others} ->
        GenServer.reply(from, :full)
        {:noreply, admit(%{state | queue: :queue.from_list(others), queued: state.queued - 1})}
    end
  end

  def handle_info(_message, state), do: {:noreply, state}

  # The row that says that there is a queue is none of theirs.
  defp running(state) do
    size = :ets.info(state.table, :size)
    if :ets.member(state.table, :queue), do: size - 1, else: size
  end

  defp admit(%{queued: 0, drained: nil} = state) do
    :ets.delete(state.table, :queue)
    state
  end

  defp admit(%{queued: 0} = state), do: drained(state)

  defp admit(state) do
    if running(state) < state.most do
      {{:value, {{pid, _} = from, timer}}, queue} = :queue.out(state.queue)
      Process.cancel_timer(timer)

      if Process.alive?(pid) do
        :ets.insert(state.table, {pid, :runs})
        GenServer.reply(from, :ok)
      end

      admit(%{state | queue: queue, queued: state.queued - 1})
    else
      state
    end
  end

  # Told once; those who come after that still find it shut.
  defp drained(%{drained: :told} = state), do: state

  # In this order, see `Wasmex.HTTP.Gate.Writers`.
  defp drained(state) do
    if running(state) == 0 and Writers.none?(state.writers) do
      GenServer.reply(state.drained, :ok)
      %{state | drained: :told}
    else
      state
    end
  end
end
