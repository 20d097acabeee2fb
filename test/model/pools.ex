defmodule Wasmex.Model.Pools do
  @moduledoc """
  Who has a place in a pool, who waits for one and in which order, and what became of the workers: users that take workers,
  give them back, lose them, and are killed in each of these states, also while they make one.

  The order in which waiting users are served is part of the model where they have no keys. With limits per key, what is
  checked is that nobody waits who could be served. Commands that make no sense in a state are left out, so that others
  can be left out when commands are made fewer.
  """

  import Wasmex.Model.PropEr

  alias Wasmex.Model.Users
  alias Wasmex.Pool

  @users 1..7
  @size 2
  @queue 4
  @places 1

  # Of users: `:idle`, `:waiting`, `:making` or `:has`, with the keys of the last two; of those that wait, `{user, kind,
  # key}` in the order of coming.
  defstruct users: Map.new(@users, &{&1, :idle}), keys: %{}, queue: [], policy: nil, keyed?: false

  @doc "The property."
  def property do
    forall(tuple([policy(), boolean(), list(action(), 50)]), fn {policy, keyed?, actions} ->
      opts = [size: @size, max_queue: @queue, policy: policy, idle: :infinity]
      Users.start(@users, if(keyed?, do: [per_key: [places: @places]] ++ opts, else: opts))
      model = %__MODULE__{policy: policy, keyed?: keyed?}
      model = Enum.reduce_while(actions, model, &step/2)
      drained? = model != nil and drained?(model)
      # Nobody is left who would use them.
      Users.stop() == [] and drained?
    end)
  end

  defp policy, do: oneof([:fresh, :reset, {:reuse, 1}, {:reuse, 3}, {:reuse, :infinity}])

  defp action do
    frequency([
      {9, tuple([:take, user(), key()])},
      {2, tuple([:try, user(), key()])},
      {2, tuple([:slow, user(), key()])},
      {1, tuple([:unable, user(), key()])},
      {3, tuple([oneof([:keep, :replace, :raise]), user(), key()])},
      {6, tuple([:give_back, user(), oneof([:keep, :keep, :replace])])},
      {3, tuple([:made, user(), exactly(nil)])},
      {3, tuple([:kill, user(), exactly(nil)])},
      {1, tuple([:renew, exactly(nil), exactly(nil)])}
    ])
  end

  defp user, do: integer(1, 7)
  defp key, do: oneof([nil, "a", "b"])

  defp step({kind, user, argument} = action, model) do
    if possible?(kind, model.users[user], model) do
      act(action)
      settle_or_halt(adopt(next(kind, user, argument, model)))
    else
      {:cont, model}
    end
  end

  defp settle_or_halt(model) do
    case settle(model) do
      nil -> {:halt, nil}
      model -> {:cont, model}
    end
  end

  defp possible?(kind, _state, _model) when kind in [:kill, :renew], do: true
  defp possible?(:made, state, _model), do: state == :making
  defp possible?(:give_back, state, _model), do: state == :has
  # Of other policies, whether one is made depends on which place it is.
  defp possible?(:unable, state, model), do: state == :idle and model.policy == :fresh
  defp possible?(_kind, state, _model), do: state == :idle

  defp act({:take, user, key}), do: Users.tell(user, {:take, timeout: :infinity, key: key})
  defp act({:try, user, key}), do: Users.tell(user, {:take, timeout: 0, key: key})

  defp act({kind, user, key}) when kind in [:slow, :unable],
    do: Users.tell(user, {:take, [{kind, true}, {:timeout, :infinity}, {:key, key}]})

  defp act({kind, user, key}) when kind in [:keep, :replace, :raise],
    do: Users.tell(user, {:use, kind, timeout: :infinity, key: key})

  defp act({:give_back, user, how}), do: Users.tell(user, {:give_back, how})
  defp act({:made, user, nil}), do: Users.tell(user, :made)
  defp act({:kill, user, nil}), do: Users.kill(user)
  defp act({:renew, nil, nil}), do: Users.replace()

  defp next(:renew, nil, nil, model), do: model
  defp next(kind, user, _, model) when kind in [:kill, :give_back], do: leave(model, user)
  defp next(:made, user, nil, model), do: put(model, user, :has)

  defp next(kind, user, key, model) do
    key = if model.keyed?, do: key

    cond do
      may_have?(model, key) -> enter(model, user, kind, key)
      length(model.queue) >= @queue -> put(model, user, {:failed, :overloaded})
      kind == :try -> put(model, user, {:failed, :timeout})
      true -> %{put(model, user, :waiting) | queue: model.queue ++ [{user, kind, key}]}
    end
  end

  # Nobody waits who could be served, so one that comes now has a place if there is one.
  defp may_have?(model, key),
    do: map_size(model.keys) < @size and (key == nil or places(model.keys, key) < @places)

  defp places(keys, key), do: Enum.count(keys, fn {_user, its} -> its == key end)

  defp enter(model, user, kind, _key) when kind in [:keep, :replace, :raise],
    do: put(model, user, :idle)

  defp enter(model, user, :unable, _key), do: put(model, user, {:failed, :guest})
  defp enter(model, user, :slow, key), do: hold(model, user, :making_or_has, key)
  defp enter(model, user, _take, key), do: hold(model, user, :has, key)

  defp hold(model, user, state, key),
    do: %{put(model, user, state) | keys: Map.put(model.keys, user, key)}

  defp leave(model, user) do
    queue = Enum.reject(model.queue, &(elem(&1, 0) == user))
    put(%{model | keys: Map.delete(model.keys, user), queue: queue}, user, :idle)
  end

  defp put(model, user, state), do: put_in(model.users[user], state)

  # Places are given to those who wait: to the first, or to the last where more than half of the queue is full.
  defp adopt(%{keyed?: false, queue: [first | _]} = model) when map_size(model.keys) < @size do
    {user, kind, key} =
      if 2 * length(model.queue) > @queue, do: List.last(model.queue), else: first

    model = %{model | queue: List.delete(model.queue, {user, kind, key})}
    model |> enter(user, kind, key) |> adopt()
  end

  # With keys the order is the pool's.
  defp adopt(model), do: model

  # The model as it was found to be, where it left something open; nil where it does not hold.
  defp settle(model) do
    states = Users.settle(fn states -> holds?(model, states) end)
    states && found(model, states)
  end

  defp holds?(model, states) do
    Enum.all?(states, fn {user, state} -> like?(model.users[user], state, model) end) and
      counted?(states) and served?(found(model, states)) and workers?(model, states)
  end

  defp like?(:has, {:has, _worker}, _model), do: true
  defp like?(:making_or_has, state, _model), do: state == :making or match?({:has, _}, state)
  defp like?(:idle, {:failed, reason}, _model), do: reason != :old
  defp like?(:waiting, state, %{keyed?: true}), do: state != :busy
  defp like?(expected, state, _model), do: expected == state

  # What the pool says of itself.
  defp counted?(states) do
    stats = Pool.stats(Users.pool())
    found = Enum.frequencies_by(states, fn {_user, state} -> state(state) end)
    holding = Map.get(found, :has, 0) + Map.get(found, :making, 0)
    stats.in_use == holding and stats.waiting == Map.get(found, :waiting, 0)
  end

  defp state({:has, _worker}), do: :has
  defp state({:failed, _reason}), do: :idle
  defp state(state), do: state

  defp found(model, states) do
    users = Map.new(states, fn {user, state} -> {user, state(state)} end)
    came = for {user, _kind, key} <- model.queue, users[user] in [:has, :making], do: {user, key}

    queue = Enum.filter(model.queue, fn {user, _kind, _key} -> users[user] == :waiting end)
    %{model | users: users, keys: Map.merge(model.keys, Map.new(came)), queue: queue}
  end

  # Nobody has more than it may, and nobody waits for what is free.
  defp served?(%{keys: keys} = model) do
    map_size(keys) <= @size and Enum.all?(["a", "b"], &(places(keys, &1) <= @places)) and
      not Enum.any?(model.queue, fn {_user, _kind, key} -> may_have?(model, key) end)
  end

  # Nobody has another's worker, or one that was closed; none is used more often than it may be, and none is lost.
  defp workers?(model, states) do
    has = for {_user, {:has, worker}} <- states, do: worker
    open = Users.open()

    has == Enum.uniq(has) and has -- open == [] and
      Enum.all?(Users.workers(), fn {_, _, uses} -> uses <= most(model.policy) end) and
      length(open) - length(has) == Pool.stats(Users.pool()).idle
  end

  # Any atom is more than any number.
  defp most(:fresh), do: 1
  defp most({:reuse, n}), do: n
  defp most(:reset), do: :infinity

  # Those who wait are told, those who have one may finish, and nobody comes in any more.
  defp drained?(model) do
    drain = Task.async(fn -> Pool.drain(Users.pool(), :infinity) end)

    users =
      Map.new(model.users, fn {user, state} ->
        {user, if(state == :waiting, do: :closed, else: state)}
      end)

    told? =
      Users.settle(fn states ->
        Enum.all?(states, fn {user, state} -> drains?(users[user], state) end)
      end)

    for {user, :making} <- users, do: Users.tell(user, :made)

    made? =
      Users.settle(fn states ->
        Enum.all?(states, &(elem(&1, 1) != :making and elem(&1, 1) != :busy))
      end)

    for {user, state} <- users,
        state in [:making, :has],
        do: Users.tell(user, {:give_back, :keep})

    told? != nil and made? != nil and Task.await(drain, 60_000) == :ok and closed?()
  end

  defp drains?(:closed, state), do: state == {:failed, :closed}
  defp drains?(_state, _now), do: true

  defp closed?,
    do:
      match?(
        {:error, %Wasmex.Error{reason: :closed}},
        Pool.checkout(Users.pool(), timeout: :infinity)
      )
end
