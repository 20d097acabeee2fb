defmodule Wasmex.Compiler.Queue do
  @moduledoc false
  # Limits the number of concurrent helpers. It grants places; the caller with a place starts a helper and communicates
  # with it directly. Idle helpers for reuse are kept here.

  use GenServer

  alias Wasmex.Compiler.Helper
  alias Wasmex.Error

  # `places`: the monitors of the processes that have one. `waiting`: monitors and callers, the oldest first.
  # `resting`: {key, helper, monitor}, the newest first.
  defstruct places: MapSet.new(), waiting: :queue.new(), resting: []

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc """
  Waits for a place and calls `compile` with a helper that was used before with the same `key`, or nil. It returns the
  result, and the helper if that may be used again.
  """
  @spec within(term(), (pid() | nil -> {result, pid() | nil})) :: result | {:error, Error.t()}
        when result: var
  def within(key, compile) do
    case enter(key) do
      {:ok, place, helper} ->
        {result, helper} =
          try do
            compile.(helper)
          catch
            kind, reason ->
              leave(place, nil, nil)
              :erlang.raise(kind, reason, __STACKTRACE__)
          end

        leave(place, key, helper)
        result

      error ->
        error
    end
  end

  defp enter(key) do
    GenServer.call(__MODULE__, {:enter, key}, :infinity)
  catch
    :exit, {:noproc, _} ->
      refusal(
        "compile: :isolated requires the application to be started: Application.ensure_all_started(:wasmex)"
      )

    :exit, {reason, _} ->
      refusal("the queue of compiles ended: #{inspect(reason)}")
  end

  defp refusal(message),
    do: {:error, %Error{reason: :compiler, details: %{message: message}}}

  defp leave(place, key, helper), do: GenServer.cast(__MODULE__, {:leave, place, key, helper})

  @spec info() :: %{running: non_neg_integer(), waiting: non_neg_integer()}
  def info do
    GenServer.call(__MODULE__, :info)
  catch
    :exit, {:noproc, _} -> %{running: 0, waiting: 0}
  end

  @impl true
  def init(nil), do: {:ok, %__MODULE__{}}

  @impl true
  def handle_call({:enter, key}, {pid, _} = from, state) do
    cond do
      MapSet.size(state.places) < most(:compilers) ->
        {helper, state} = take(state, key)
        place = Process.monitor(pid)
        {:reply, {:ok, place, helper}, %{state | places: MapSet.put(state.places, place)}}

      :queue.len(state.waiting) < most(:compile_queue) ->
        waiter = {Process.monitor(pid), from, key}
        {:noreply, %{state | waiting: :queue.in(waiter, state.waiting)}}

      true ->
        details = %{limit: most(:compile_queue)}
        {:reply, {:error, %Error{reason: :compile_queue_full, details: details}}, state}
    end
  end

  def handle_call(:info, _from, state) do
    info = %{running: MapSet.size(state.places), waiting: :queue.len(state.waiting)}
    {:reply, info, state}
  end

  @impl true
  def handle_cast({:leave, place, key, helper}, state) do
    state = rest(state, key, helper)

    # The place may have been granted before a restart of this process.
    if MapSet.member?(state.places, place) do
      Process.demonitor(place, [:flush])
      {:noreply, free(state, place)}
    else
      {:noreply, state}
    end
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) do
    if MapSet.member?(state.places, monitor) do
      {:noreply, free(state, monitor)}
    else
      waiting = :queue.filter(fn {waiter, _, _} -> waiter != monitor end, state.waiting)
      resting = List.keydelete(state.resting, monitor, 2)
      {:noreply, %{state | waiting: waiting, resting: resting}}
    end
  end

  def handle_info(_other, state), do: {:noreply, state}

  @doc "The configured limits: concurrent compiles, and waiting ones."
  @spec most(:compilers | :compile_queue) :: pos_integer()
  def most(:compilers), do: Application.get_env(:wasmex, :compilers, System.schedulers_online())
  def most(:compile_queue), do: Application.get_env(:wasmex, :compile_queue, 256)

  # A free place goes to the oldest waiting caller.
  defp free(state, place) do
    state = %{state | places: MapSet.delete(state.places, place)}

    case :queue.out(state.waiting) do
      {{:value, {monitor, from, key}}, waiting} ->
        {helper, state} = take(%{state | waiting: waiting}, key)
        GenServer.reply(from, {:ok, monitor, helper})
        %{state | places: MapSet.put(state.places, monitor)}

      {:empty, _} ->
        state
    end
  end

  defp take(state, nil), do: {nil, state}

  defp take(state, key) do
    case List.keytake(state.resting, key, 0) do
      {{^key, helper, monitor}, resting} ->
        Process.demonitor(monitor, [:flush])
        {helper, %{state | resting: resting}}

      nil ->
        {nil, state}
    end
  end

  # At most as many idle helpers as places are kept. The one idle longest is ended.
  defp rest(state, _key, nil), do: state

  defp rest(state, key, helper) do
    resting = [{key, helper, Process.monitor(helper)} | state.resting]
    {resting, ended} = Enum.split(resting, most(:compilers))

    for {_key, helper, monitor} <- ended do
      Process.demonitor(monitor, [:flush])
      Helper.stop(helper)
    end

    %{state | resting: resting}
  end
end
