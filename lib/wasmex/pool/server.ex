defmodule Wasmex.Pool.Server do
  @moduledoc false
  # The process of a pool: queues waiting processes, and frees the places of dead ones. While there is room, no one
  # calls it.

  use GenServer

  alias Wasmex.Error
  alias Wasmex.Pool.{Handles, Limits, Owner, Queue, Slots}

  # Interval in ms between checks of the places: while a process waits, and otherwise.
  @hurry 50
  @rest 1_000

  # The owner of places held by this process. Pid 0 belongs to the VM, which uses no pool.
  @mine 1

  @enforce_keys [:slots, :queue]
  defstruct [
    :slots,
    :queue,
    # A process that the pool ends with.
    :owner,
    # Monitored owners, while a process waits: their monitors by pid.
    watched: %{},
    # Workers unused for this many ms are closed; since when each was unused: `%{slot => {uses, since}}`.
    idle: :infinity,
    resting: %{},
    # The process that waits for the last lease to end, then `:notified`; no more places are assigned.
    drained: nil
  ]

  @type t :: %__MODULE__{}

  @spec start_link(map(), GenServer.options()) :: GenServer.on_start()
  def start_link(opts, server), do: GenServer.start_link(__MODULE__, opts, server)

  @impl true
  def init(opts) do
    # So that `terminate/2` closes the workers.
    Process.flag(:trap_exit, true)
    # Waiting processes depend on this one for a few microseconds, which must not wait for guests.
    Process.flag(:priority, :high)
    if opts.owner, do: Process.monitor(opts.owner)
    {module, argument} = opts.worker

    slots =
      Slots.new(
        server: self(),
        size: opts.size,
        module: module,
        policy: opts.policy,
        limits: Limits.new!(opts.per_key)
      )

    Slots.put_argument(slots, argument)

    state = %__MODULE__{
      slots: slots,
      queue: Queue.new(opts.max_queue),
      idle: opts.idle,
      owner: opts.owner
    }

    case warm(slots, opts.warm) do
      :ok ->
        Handles.put(slots)
        {:ok, look_later(state)}

      {:error, error} ->
        close_all(slots)
        {:stop, error}
    end
  end

  # Created here, one after the other: a pool whose workers cannot be created does not start.
  defp warm(_slots, 0), do: :ok

  defp warm(slots, n) do
    {generation, argument} = Slots.argument(slots)

    Enum.reduce_while(0..(n - 1), :ok, fn slot, :ok ->
      case slots.module.make(argument) do
        {:ok, worker} ->
          Slots.put_worker(slots, slot, generation, worker)
          {:cont, :ok}

        error ->
          {:halt, error}
      end
    end)
  end

  defp look_later(state) do
    Process.send_after(self(), :look, if(Queue.size(state.queue) > 0, do: @hurry, else: @rest))
    state
  end

  @impl true
  def handle_call({:wait, _owner, _key}, _from, %{drained: drained} = state) when drained != nil,
    do: {:reply, {:error, closed(state)}, state}

  def handle_call({:wait, owner, key}, {_pid, ref} = from, state) do
    if Queue.full?(state.queue) do
      {:reply, {:error, overloaded(state)}, state}
    else
      # From now on check-ins notify this process; then check again for a place that was just freed.
      state = %{state | queue: Queue.put(state.queue, ref, {from, owner, key})} |> announce()
      state = if map_size(state.watched) == 0, do: watch_all(state), else: state
      {:noreply, serve(state)}
    end
  end

  def handle_call({:give_up, ref}, _from, state) do
    case Queue.delete(state.queue, ref) do
      {true, queue} -> {:reply, :removed, %{state | queue: queue} |> announce()}
      {false, _} -> {:reply, :served, state}
    end
  end

  def handle_call({:replace, argument}, _from, state) do
    Slots.put_argument(state.slots, argument)
    close_idle(state.slots, Slots.with_workers(state.slots))
    {:reply, :ok, state}
  end

  def handle_call(:slots, _from, state), do: {:reply, state.slots, state}

  def handle_call(:drain, from, state) do
    for {waiter, _, _} <- Queue.waiters(state.queue),
        do: GenServer.reply(waiter, {:error, closed(state)})

    # From now on no place can be taken without asking, and check-ins notify this process.
    Slots.put_waiting(state.slots, 1, 0)
    state = %{state | queue: Queue.new(state.queue.most), drained: from} |> watch_all()
    {:noreply, drained(state)}
  end

  def handle_call(_other, _from, state), do: {:reply, {:error, :unknown_request}, state}

  @impl true
  def handle_cast(_other, state), do: {:noreply, state}

  @impl true
  def handle_info({:freed, _slot, key}, state) do
    queue = if key == 0, do: state.queue, else: Queue.unpark(state.queue, key)
    {:noreply, %{state | queue: queue} |> serve()}
  end

  def handle_info({:DOWN, _monitor, :process, owner, _reason}, %{owner: owner} = state),
    do: {:stop, :normal, state}

  def handle_info({:DOWN, monitor, :process, pid, _reason}, state) do
    case state.watched do
      %{^pid => ^monitor} ->
        recover(state.slots, owned_by(state.slots, Owner.of(pid)))
        state = %{state | watched: Map.delete(state.watched, pid)}
        {:noreply, %{state | queue: Queue.unpark(state.queue, 0)} |> serve()}

      _ ->
        {:noreply, state}
    end
  end

  def handle_info(:look, state), do: {:noreply, state |> look() |> look_later()}

  # From the process that started it, or from something that a worker left behind.
  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}
  def handle_info(_message, state), do: {:noreply, state}

  # A place may be taken between two checks by a process that is not monitored, because it read the flag just before
  # another one started to wait. So the places are checked periodically too.
  defp look(state) do
    dead = for {slot, owner} <- owned(state.slots), not alive?(owner), do: {slot, owner}
    recover(state.slots, dead)
    if state.slots.limits, do: Limits.sweep(state.slots.limits)
    state = state |> retire() |> forget_dead()

    if Queue.size(state.queue) > 0 or state.drained,
      do: %{state | queue: Queue.unpark(state.queue, 0)} |> watch_all() |> serve(),
      else: state
  end

  # Processes that died while they waited would count as waiting until their turn came, and others find the queue full.
  defp forget_dead(%{queue: queue} = state) do
    dead =
      for {{pid, ref}, _owner, _key} <- Queue.waiters(queue), not Process.alive?(pid), do: ref

    if dead == [],
      do: state,
      else:
        announce(%{state | queue: Enum.reduce(dead, queue, &(&2 |> Queue.delete(&1) |> elem(1)))})
  end

  defp owned(slots), do: Enum.reject(Slots.owned(slots), &match?({_slot, @mine}, &1))
  defp owned_by(slots, owner), do: Enum.filter(Slots.owned(slots), &match?({_slot, ^owner}, &1))
  defp alive?(owner), do: owner |> Owner.pid() |> Process.alive?()

  # Their workers may be in any state.
  defp recover(slots, places) do
    for {slot, dead} <- places, Slots.inherit(slots, slot, dead, @mine) do
      with {:ok, worker} <- Slots.take_worker(slots, slot), do: close(slots, worker)
      Slots.release(slots, slot)
    end
  end

  # In a separate process, since this one must not wait.
  defp close(slots, worker), do: spawn(fn -> slots.module.close(worker) end)

  defp close_idle(slots, places) do
    for slot <- places, Slots.claim_at(slots, slot, @mine) do
      with {:ok, worker} <- Slots.take_worker(slots, slot), do: close(slots, worker)
      Slots.release(slots, slot)
    end
  end

  defp close_all(slots) do
    for slot <- Slots.with_workers(slots),
        Slots.owner(slots, slot) == 0,
        {:ok, worker} <- [Slots.take_worker(slots, slot)],
        do: slots.module.close(worker)
  end

  # Workers unused since the previous check.
  defp retire(%{idle: :infinity} = state), do: state

  defp retire(state) do
    now = System.monotonic_time(:millisecond)

    resting =
      for slot <- Slots.with_workers(state.slots), into: %{} do
        uses = Slots.uses(state.slots, slot)

        case state.resting do
          %{^slot => {^uses, since}} -> {slot, {uses, since}}
          _ -> {slot, {uses, now}}
        end
      end

    old = for {slot, {_uses, since}} <- resting, now - since >= state.idle, do: slot
    close_idle(state.slots, old)
    %{state | resting: Map.drop(resting, old)}
  end

  defp watch_all(state) do
    Enum.reduce(owned(state.slots), state, fn {_slot, owner}, state ->
      watch(state, Owner.pid(owner))
    end)
  end

  defp watch(%{watched: watched} = state, pid) when is_map_key(watched, pid), do: state
  defp watch(state, pid), do: put_in(state.watched[pid], Process.monitor(pid))

  defp announce(state) do
    waiting = Queue.waiting(state.queue)
    Slots.put_waiting(state.slots, waiting, Queue.size(state.queue) - waiting)
    if Queue.size(state.queue) == 0, do: unwatch(state), else: state
  end

  defp unwatch(state) do
    for {_pid, monitor} <- state.watched, do: Process.demonitor(monitor, [:flush])
    %{state | watched: %{}}
  end

  # Assigns places to waiting processes, as long as there are both.
  defp serve(%{drained: drained} = state) when drained != nil, do: drained(state)

  defp serve(state) do
    case Slots.claim(state.slots, @mine) do
      nil -> announce(state)
      slot -> serve(state, slot)
    end
  end

  defp serve(state, slot) do
    %{slots: slots} = state
    room? = fn key -> Limits.room?(slots.limits, Slots.count_key(slots, key)) end

    case Queue.pop(state.queue, room?) do
      {nil, queue} ->
        Slots.release(slots, slot)
        announce(%{state | queue: queue})

      {_ref, {{pid, _tag} = from, owner, key}, queue} ->
        state = %{state | queue: queue}

        if Process.alive?(pid) do
          if key != 0, do: Slots.put_key(slots, slot, key)
          # Held by this process until here, so this cannot fail.
          true = Slots.inherit(slots, slot, @mine, owner)
          GenServer.reply(from, {:ok, slot})
          state |> watch(pid) |> serve()
        else
          serve(state, slot)
        end
    end
  end

  # Only the first time; later requests find it closed.
  defp drained(%{drained: :notified} = state), do: state

  defp drained(state) do
    if Slots.owned(state.slots) == [] do
      GenServer.reply(state.drained, :ok)
      unwatch(%{state | drained: :notified})
    else
      state
    end
  end

  defp overloaded(state) do
    message =
      "the pool is overloaded: #{state.slots.size} places are in use and #{Queue.size(state.queue)} processes wait (max_queue)"

    %Error{reason: :overloaded, details: %{message: message}}
  end

  defp closed(state) do
    message = "the pool is being drained"
    %Error{reason: :closed, details: %{pool: state.slots.server, message: message}}
  end

  # Workers in use are closed by their users, which notice the new generation.
  @impl true
  def terminate(_reason, state) do
    Slots.put_argument(state.slots, :"$ended")

    for {from, _, _} <- Queue.waiters(state.queue),
        do: GenServer.reply(from, {:error, closed(state)})

    close_all(state.slots)
  end

  @impl true
  def format_status(_reason, [_dictionary, state]),
    do: [data: [{~c"State", readable(state)}]]

  @doc "The state of a pool, for display."
  @spec readable(t()) :: map()
  def readable(%__MODULE__{slots: slots} = state) do
    %{
      size: slots.size,
      policy: slots.policy,
      worker: slots.module,
      generation: Slots.generation(slots),
      in_use: for({slot, owner} <- owned(slots), do: {slot, Owner.pid(owner)}),
      with_workers: Enum.sort(Slots.with_workers(slots)),
      waiting: Queue.waiting(state.queue),
      waiting_for_their_key: state.queue.parked_count,
      max_queue: state.queue.most,
      drained: state.drained != nil
    }
  end
end
