defmodule Wasmex.Pool.Lease do
  @moduledoc false
  # A worker checked out by this process. Everything here runs in the process that uses it: taking a place, creating the
  # worker, closing it, freeing the place. The pool's process is only involved if no place is free.

  alias Wasmex.{Error, Telemetry}
  alias Wasmex.Call.Timeout
  alias Wasmex.Pool.{Limits, Owner, Slots}

  @enforce_keys [:slots, :slot, :generation, :worker]
  defstruct [:slots, :slot, :generation, :worker, :key, :fuel, before: %{}]

  @type t :: %__MODULE__{}

  @doc "Checks out a worker, waiting at most this many ms; `key` may be nil."
  @spec take(Slots.t(), timeout(), term()) :: {:ok, t()} | {:error, Exception.t()}
  def take(%Slots{} = slots, timeout, key) do
    if Telemetry.on?(:checkout) do
      span = Telemetry.start(:checkout, %{pool: slots.server, key: key})
      Telemetry.stop(span, admitted(slots, timeout, key))
    else
      admitted(slots, timeout, key)
    end
  end

  @doc "Checks out a worker if a place is free now, otherwise `:none`, without waiting or asking a process."
  @spec attempt(Slots.t()) :: {:ok, t()} | {:error, Exception.t()} | :none
  def attempt(%Slots{} = slots) do
    case not Slots.crowded?(slots) && Slots.claim(slots, Owner.me()) do
      slot when is_integer(slot) -> prepared(slots, slot, nil)
      _ -> :none
    end
  catch
    :exit, {:noproc, {Wasmex.Pool, :checkout, _}} -> :none
  end

  defp admitted(%{limits: nil} = slots, timeout, _key), do: placed(slots, timeout, 0, nil)
  defp admitted(slots, timeout, nil), do: placed(slots, timeout, 0, nil)

  defp admitted(%{limits: limits} = slots, timeout, key) do
    with :ok <- Limits.admit(limits, key),
         do: placed(slots, timeout, Limits.hash(limits, key), {key})
  end

  defp placed(slots, timeout, hash, key) do
    owner = Owner.me()

    # Waiting processes have priority.
    slot = if not Slots.crowded?(slots), do: claim(slots, owner, hash)

    case if(slot, do: {:ok, slot}, else: wait(slots, owner, hash, timeout)) do
      {:ok, slot} -> prepared(slots, slot, key)
      error -> error
    end
  end

  defp claim(slots, owner, 0), do: Slots.claim(slots, owner)

  # Includes this one: two concurrent users may both exceed the limit; then the pool decides.
  defp claim(slots, owner, hash) do
    with slot when slot != nil <- Slots.claim(slots, owner) do
      Slots.put_key(slots, slot, hash)

      if Limits.room?(slots.limits, Slots.count_key(slots, hash) - 1) do
        slot
      else
        release(slots, slot)
        nil
      end
    end
  end

  # Like `GenServer.call/3`, except that a user that times out reports it, and learns whether it has been assigned a
  # place.
  defp wait(%{server: server}, owner, hash, timeout) do
    ref = Process.monitor(server)
    send(server, {:"$gen_call", {self(), ref}, {:wait, owner, hash}})

    receive do
      {^ref, reply} ->
        Process.demonitor(ref, [:flush])
        reply

      {:DOWN, ^ref, :process, _pid, reason} ->
        exit({reason, {Wasmex.Pool, :checkout, [server]}})
    after
      Timeout.capped(timeout) -> give_up(server, ref, timeout)
    end
  end

  defp give_up(server, ref, timeout) do
    case GenServer.call(server, {:give_up, ref}, :infinity) do
      # It has arrived: the pool sent it before its reply.
      :served ->
        receive do
          {^ref, reply} ->
            Process.demonitor(ref, [:flush])
            reply
        end

      :removed ->
        Process.demonitor(ref, [:flush])
        message = "no place in the pool came free within #{timeout} ms"
        {:error, %Error{reason: :timeout, details: %{timeout: timeout, message: message}}}
    end
  end

  defp prepared(slots, slot, key) do
    case worker(slots, slot) do
      {generation, worker} when is_integer(generation) ->
        lease = %__MODULE__{
          slots: slots,
          slot: slot,
          generation: generation,
          worker: worker,
          key: key
        }

        {:ok, metered(lease)}

      {:error, _} = error ->
        release(slots, slot)
        error
    end
  rescue
    # The table belongs to the pool: if it died in the meantime, exit as any call of a dead process does.
    error in ArgumentError ->
      if Slots.gone?(slots), do: gone(slots), else: reraise(error, __STACKTRACE__)
  end

  @spec gone(Slots.t()) :: no_return()
  defp gone(slots), do: exit({:noproc, {Wasmex.Pool, :checkout, [slots.server]}})

  # The memory of a fresh instance counts too. Fuel is granted beforehand: for a guest stopped in a loop, the counter is
  # not exact.
  defp metered(%{key: nil} = lease), do: lease
  defp metered(%{slots: %{limits: %{metered?: false}}} = lease), do: lease

  defp metered(%{slots: %{limits: limits, module: module} = slots, key: {key}} = lease) do
    fuel = Limits.fuel(limits, key)
    if fuel, do: module.grant(lease.worker, fuel)
    before = module.meter(lease.worker)
    before = if Slots.uses(slots, lease.slot) == 0, do: %{before | memory: 0}, else: before
    %{lease | before: before, fuel: fuel}
  end

  defp worker(slots, slot) do
    case Slots.worker(slots, slot) do
      nil ->
        made(slots, slot)

      {generation, worker} = found ->
        if generation == Slots.generation(slots) do
          found
        else
          Slots.take_worker(slots, slot)
          slots.module.close(worker)
          made(slots, slot)
        end
    end
  end

  # Recorded before it is used: if this process is killed, the pool closes it.
  defp made(slots, slot) do
    {generation, argument} = Slots.argument(slots)
    if argument == :"$ended", do: gone(slots)

    case slots.module.make(argument) do
      {:ok, worker} ->
        Slots.put_worker(slots, slot, generation, worker)
        {generation, worker}

      {:error, _} = error ->
        error
    end
  catch
    kind, reason ->
      release(slots, slot)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  @doc """
  Frees the place and keeps (`:keep`) or discards (`:replace`) its worker; `:stopped` is a worker whose call was
  stopped, which counts as if it had burnt all of its fuel; `{:keep, worker}` replaces the worker in the same place.
  """
  @spec give_back(t(), :keep | {:keep, term()} | :replace | :stopped) :: :ok
  def give_back(%__MODULE__{} = lease, {:keep, worker}) do
    lease = %{lease | worker: worker}
    give_back(lease, if(written?(lease), do: :keep, else: :replace))
  end

  def give_back(%__MODULE__{slots: slots, slot: slot} = lease, how) do
    charge(lease, how)
    if how != :keep or not kept?(lease), do: close(lease)
    :ok
  after
    release(slots, slot)
  end

  defp written?(%{slots: slots, slot: slot, generation: generation, worker: worker}) do
    Slots.change_worker(slots, slot, generation, worker)
  rescue
    # The pool is gone, and its table with it.
    ArgumentError -> false
  end

  defp charge(%{key: {key}, slots: %{limits: %{metered?: true} = limits} = slots} = lease, how) do
    afterwards = slots.module.meter(lease.worker)
    used = Map.new(afterwards, fn {name, n} -> {name, n - Map.get(lease.before, name, 0)} end)
    used = if how == :stopped and lease.fuel, do: Map.put(used, :fuel, lease.fuel), else: used
    Limits.used(limits, key, used)
  end

  defp charge(_lease, _how), do: :ok

  defp kept?(%{slots: %{policy: :fresh}}), do: false

  defp kept?(%{slots: %{policy: {:reuse, n}} = slots} = lease),
    do: Slots.used(slots, lease.slot) < n and lease.generation == Slots.generation(slots)

  defp kept?(%{slots: %{policy: :reset} = slots} = lease),
    do: lease.generation == Slots.generation(slots) and reset?(lease)

  defp reset?(%{slots: slots, slot: slot, worker: worker} = lease) do
    Slots.used(slots, slot)

    case slots.module.reset(worker) do
      {:ok, ^worker} -> true
      {:ok, other} -> Slots.put_worker(slots, slot, lease.generation, other)
      _ -> false
    end
  end

  defp close(%{slots: slots, slot: slot, worker: worker}) do
    forget(slots, slot)
    slots.module.close(worker)
  end

  defp forget(slots, slot) do
    Slots.take_worker(slots, slot)
  rescue
    # The pool is gone, and its table with it.
    ArgumentError -> nil
  end

  # In this order: a waiting process sets its flag before it looks for a free place.
  defp release(slots, slot) do
    key = if slots.limits, do: Slots.key(slots, slot), else: 0
    Slots.release(slots, slot)
    if Slots.awaited?(slots), do: send(slots.server, {:freed, slot, key})
    :ok
  end
end
