defmodule Wasmex.HTTP.Gate do
  @moduledoc false
  # Limits the number of concurrent requests. Further requests wait for at most a second, up to a maximum; others are
  # rejected. A request gives up its place while it waits for its client: for bytes of its body, or until what it writes is
  # taken (`Wasmex.HTTP.Gate.Writers`).
  #
  # Running requests have a row in a table, so entering needs no other process while there is room: on a busy machine,
  # waiting for another process takes a full round of the run queue. This process keeps the queue of waiting requests, and
  # removes the rows of processes that die.

  use GenServer

  alias Wasmex.HTTP.Gate.Writers

  # The maximum waiting time in ms.
  @patience 1_000
  @watched :"$wasmex_http_gate"
  @request :"$wasmex_http_request"

  defstruct [:name, :table, :writers, :most]

  @type t :: %__MODULE__{}

  defmodule Queue do
    @moduledoc false
    # `drained` is the caller of `drain/2`, then `:notified`. While it is set, no request may enter.
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

  @doc "Creates the tables of running and of writing requests."
  @spec new(pos_integer()) :: {:ets.table(), Writers.t()}
  def new(places) do
    table = :ets.new(__MODULE__, [:public, write_concurrency: true, read_concurrency: true])
    {table, Writers.new(places)}
  end

  @spec start_link(keyword()) :: GenServer.on_start()
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

  @doc "The handle that requests enter with."
  @spec handle(GenServer.server()) :: t()
  def handle(name), do: GenServer.call(name, {:handle, name})

  @doc "Returns `:ok` if this process may run, `:full` otherwise."
  @spec enter(t()) :: :ok | :full
  def enter(%__MODULE__{name: name, table: table, most: most}) do
    # Monitor first, so that the row is removed whenever the process dies.
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
  Gives up the place while this process writes to a client at this address, or permanently (`:ended`). Returns `:kept` if
  too many guests already wait for their clients; then the write must have a short timeout.
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

  @doc "Takes the place back immediately, even beyond the limit; the number of requests that stepped out is limited."
  @spec step_in(t()) :: :ok
  def step_in(%__MODULE__{table: table, writers: writers}) do
    :ets.insert(table, {self(), :runs})
    Writers.back(writers)
  end

  @doc "While this process handles a request of this address, `wait/1` gives up its place, until it leaves the gate."
  @spec may_wait(t(), String.t()) :: :ok
  def may_wait(%__MODULE__{} = gate, address) do
    Process.put(@request, {gate, address})
    :ok
  end

  @doc """
  Runs the function, which waits for bytes of the client, without this process's place. Its argument is false if too many
  guests already wait for their clients; then the place is kept, and the wait must be short.
  """
  @spec wait((boolean() -> result)) :: result when result: term()
  def wait(fun) do
    with {gate, address} <- Process.get(@request),
         :out <- step_out(gate, address) do
      result = fun.(true)
      step_in(gate)
      result
    else
      # Outside of a gate.
      nil -> fun.(true)
      :kept -> fun.(false)
    end
  end

  @doc "Leaves the gate, in any state after `enter/1`."
  @spec leave(t()) :: :ok
  def leave(%__MODULE__{writers: writers} = gate) do
    Process.delete(@request)
    Writers.remove(writers, self())
    give_back(gate)
  end

  defp give_back(%{name: name, table: table}) do
    :ets.delete(table, self())
    if :ets.member(table, :queue), do: GenServer.cast(name, :left)
    :ok
  end

  @doc "Rejects new requests and waits until all current ones have left, at most `timeout` ms."
  @spec drain(GenServer.server(), timeout()) :: term()
  def drain(name, timeout) do
    GenServer.call(name, :drain, timeout)
  catch
    :exit, {:timeout, _} -> :ok
  end

  @impl true
  def init(state) do
    # Requests wait for this process, so it must not wait behind guests.
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
        # From now on, leaving requests notify this process, and no request overtakes the queue.
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
  # Once per process. Some servers clear the process dictionary, so a process may ask with every request.
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

  # The row that marks a queue is not a request.
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

  # Notify once. Later requests still find the gate closed.
  defp drained(%{drained: :notified} = state), do: state

  # The order matters, see `Wasmex.HTTP.Gate.Writers`.
  defp drained(state) do
    if running(state) == 0 and Writers.none?(state.writers) do
      GenServer.reply(state.drained, :ok)
      %{state | drained: :notified}
    else
      state
    end
  end
end
