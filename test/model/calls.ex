defmodule Wasmex.Model.Calls do
  @moduledoc """
  Who has a store and who waits for it: processes that call into stores, from inside imported functions too, and are
  killed; stores that are closed.

  A worker is a process that does as it is told. `hold` calls a guest that calls an imported function, which does not
  return before it is told to: meanwhile the worker has the store, and can be told to call on, into that store or
  another one. The model says of each worker how deep it is, whether it waits, and what its calls have returned.
  """

  @behaviour :proper_statem

  import Wasmex.Model.PropEr

  alias Wasmex.Model.Workers

  @stores 1..3
  @workers 1..4
  @deepest 5

  defstruct stores: Map.new(@stores, &{&1, %{count: 0, closed: nil, queue: []}}),
            workers: Map.new(@workers, &{&1, %{frames: [], waits: nil, results: []}})

  @doc "The property."
  def property do
    machine(__MODULE__, 60, fn commands ->
      Workers.start(@stores, @workers)
      {_history, _state, result} = :proper_statem.run_commands(__MODULE__, commands)
      Workers.stop()
      result == :ok
    end)
  end

  @impl true
  def initial_state, do: %__MODULE__{}

  @impl true
  def command(_state) do
    {:call, Workers, :act,
     [
       frequency([
         {8, tuple([:enter, worker(), store(), oneof([:hold, :hold, :bump, :peek])])},
         {1, tuple([:enter, worker(), store(), :spin])},
         {5, tuple([:return, worker()])},
         {1, tuple([:raise, worker()])},
         {2, tuple([:kill, worker()])},
         {1, tuple([:close, store()])},
         {1, tuple([:open, store()])}
       ])
     ]}
  end

  defp worker, do: integer(1, 4)
  defp store, do: integer(1, 3)

  @impl true
  def precondition(state, {:call, _, :act, [action]}), do: possible?(action, state)

  defp possible?({:enter, worker, _store, _kind}, state),
    do: free?(worker, state) and length(state.workers[worker].frames) < @deepest

  defp possible?({kind, worker}, state) when kind in [:return, :raise],
    do: free?(worker, state) and state.workers[worker].frames != []

  defp possible?({:kill, _worker}, _state), do: true
  defp possible?({:close, store}, state), do: state.stores[store].closed == nil
  defp possible?({:open, store}, state), do: state.stores[store].closed == true

  defp free?(worker, state), do: state.workers[worker].waits == nil

  @impl true
  def next_state(state, _result, {:call, _, :act, [action]}), do: step(action, state)

  @impl true
  def postcondition(state, {:call, _, :act, [action]}, :ok),
    do: action |> step(state) |> expected() |> Workers.settle()

  # How deep each worker is, whether it waits, and what its calls have returned.
  defp expected(state) do
    Map.new(state.workers, fn {number, worker} ->
      {number, {length(worker.frames), worker.waits != nil, worker.results}}
    end)
  end

  defp step({:enter, worker, store, kind}, state) do
    holder = holder(state, store)

    cond do
      state.stores[store].closed == true -> returned(state, worker, {:error, :closed})
      holder in [nil, worker] -> enter(state, worker, store, kind)
      cycle?(state, worker, holder) -> returned(state, worker, {:error, :deadlock})
      # It waits for as long as it may.
      kind == :spin -> returned(state, worker, {:error, :timeout})
      true -> wait(state, worker, store, kind)
    end
  end

  defp step({:return, worker}, state) do
    [store | _] = state.workers[worker].frames
    leave(state, worker, {:ok, state.stores[store].count})
  end

  defp step({:raise, worker}, state), do: leave(state, worker, {:error, :import_raised})

  # Another process takes its place.
  defp step({:kill, worker}, state) do
    %{frames: frames} = state.workers[worker]
    state = put_in(state.workers[worker], %{frames: [], waits: nil, results: []})

    stores =
      Map.new(state.stores, fn {number, store} ->
        {number, %{store | queue: Enum.reject(store.queue, &(elem(&1, 0) == worker))}}
      end)

    frames |> Enum.uniq() |> Enum.reduce(%{state | stores: stores}, &pass_on(&2, &1))
  end

  defp step({:close, store}, state),
    do: state |> put_in([Access.key(:stores), store, :closed], :soon) |> pass_on(store)

  defp step({:open, store}, state),
    do: put_in(state.stores[store], %{count: 0, closed: nil, queue: []})

  defp enter(state, worker, store, :hold),
    do: update_in(state.workers[worker].frames, &[store | &1])

  defp enter(state, worker, store, :bump) do
    state = update_in(state.stores[store].count, &(&1 + 1))
    returned(state, worker, {:ok, state.stores[store].count})
  end

  defp enter(state, worker, store, :peek),
    do: returned(state, worker, {:ok, state.stores[store].count})

  defp enter(state, worker, _store, :spin), do: returned(state, worker, {:error, :timeout})

  defp wait(state, worker, store, kind) do
    state = put_in(state.workers[worker].waits, store)
    update_in(state.stores[store].queue, &(&1 ++ [{worker, kind}]))
  end

  defp returned(state, worker, result),
    do: update_in(state.workers[worker].results, &[result | &1])

  defp leave(state, worker, result) do
    [store | frames] = state.workers[worker].frames
    state = put_in(state.workers[worker].frames, frames)
    state |> returned(worker, result) |> pass_on(store)
  end

  # A store that nobody has is closed if it is to be, or the first who waits has it.
  defp pass_on(state, store) do
    case {holder(state, store), state.stores[store]} do
      {nil, %{closed: :soon, queue: queue}} ->
        state = put_in(state.stores[store], %{count: 0, closed: true, queue: []})

        Enum.reduce(queue, state, fn {worker, _}, state ->
          woken(state, worker, {:error, :closed})
        end)

      {nil, %{queue: [{worker, kind} | queue]}} ->
        state = put_in(state.stores[store].queue, queue)
        state = put_in(state.workers[worker].waits, nil)
        state |> enter(worker, store, kind) |> pass_on(store)

      _ ->
        state
    end
  end

  defp woken(state, worker, result) do
    state = put_in(state.workers[worker].waits, nil)
    returned(state, worker, result)
  end

  defp holder(state, store) do
    Enum.find_value(state.workers, fn {number, worker} ->
      if store in worker.frames, do: number
    end)
  end

  # Whether the one who holds it waits, over any number of stores, for a store of this worker.
  defp cycle?(_state, worker, worker), do: true
  defp cycle?(_state, _worker, nil), do: false

  defp cycle?(state, worker, holder) do
    case state.workers[holder].waits do
      nil -> false
      store -> cycle?(state, worker, holder(state, store))
    end
  end
end
