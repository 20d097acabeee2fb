defmodule Wasmex.Model.Users do
  @moduledoc "The users of a pool, and its workers, that `Wasmex.Model.Pools` is a model of."

  @behaviour Wasmex.Pool.Worker

  alias Wasmex.Pool

  # Ms that everything may take to come to rest: less once something went wrong, when the commands are made fewer.
  @patience 10_000
  @hurry 1_200

  # A worker is a number. Of each: whether it is open, how often it was used, and the argument it was made with.
  @impl true
  def make(argument) do
    if Process.get(:slow) do
      publish(:making)
      receive do: (:made -> :ok)
    end

    if Process.get(:unable) do
      {:error, %Wasmex.Error{reason: :guest}}
    else
      number = :ets.update_counter(__MODULE__, :made, 1)
      :ets.insert(__MODULE__, {{:worker, number}, :open, 0, argument})
      Process.put(:made, number)
      {:ok, number}
    end
  end

  @impl true
  def reset(number), do: {:ok, number}

  @impl true
  def close(number), do: :ets.update_element(__MODULE__, {:worker, number}, {2, :closed})

  @doc "A pool and as many users."
  def start(users, opts) do
    :ets.new(__MODULE__, [:named_table, :public])
    :ets.insert(__MODULE__, {:made, 0})
    {:ok, pool} = Pool.start_link([worker: {__MODULE__, 0}] ++ opts)
    :ets.insert(__MODULE__, [{:pool, pool}, {:argument, 0}])
    for user <- users, do: hire(user)
    :ok
  end

  @doc "Ends all of it; the workers that are left open."
  def stop do
    for {{:user, number}, _, _} <- :ets.tab2list(__MODULE__), do: fire(number)
    pool = pool()
    Process.unlink(pool)
    GenServer.stop(pool)
    left = open()
    :ets.delete(__MODULE__)
    left
  end

  @doc "Workers are made anew from now on."
  def replace do
    argument = :ets.update_counter(__MODULE__, :argument, 1)
    :ok = Pool.replace(pool(), argument)
  end

  def pool, do: :ets.lookup_element(__MODULE__, :pool, 2)

  @doc "The user is told to do something; what comes of it is for `states/1` to see."
  def tell(user, message) do
    publish(user, :busy)
    send(:ets.lookup_element(__MODULE__, {:user, user}, 2), message)
    :ok
  end

  @doc "Kills it, and another takes its number."
  def kill(user) do
    fire(user)
    hire(user)
  end

  @doc """
  Waits until `settled?.(states)` of all users: `:idle`, `:waiting`, `{:has, worker}`, `:making`, or `{:failed, reason}`.
  These states, or nil where that did not come to be.
  """
  def settle(settled?) do
    patience = Process.get(__MODULE__, @patience)
    settle(settled?, System.monotonic_time(:millisecond) + patience)
  end

  defp settle(settled?, deadline) do
    states =
      for {{:user, number}, pid, state} <- :ets.tab2list(__MODULE__),
          into: %{},
          do: {number, seen(pid, state)}

    cond do
      settled?.(states) ->
        states

      System.monotonic_time(:millisecond) > deadline ->
        Process.put(__MODULE__, @hurry)
        IO.puts("found #{inspect(states)}, #{inspect(Pool.stats(pool()))}, #{inspect(workers())}")
        nil

      true ->
        :erlang.yield()
        settle(settled?, deadline)
    end
  end

  # Its place in the queue is taken then.
  defp seen(pid, :busy) do
    if Process.info(pid, :current_function) == {:current_function, {Pool.Lease, :wait, 4}},
      do: :waiting,
      else: :busy
  end

  defp seen(_pid, state), do: state

  @doc "All workers: `{number, open or closed, uses}`."
  def workers,
    do:
      for(
        {{:worker, number}, open, uses, _} <- :ets.tab2list(__MODULE__),
        do: {number, open, uses}
      )

  @doc "Those that are open."
  def open, do: for({number, :open, _uses} <- workers(), do: number)

  defp publish(user \\ Process.get(:number), state),
    do: :ets.update_element(__MODULE__, {:user, user}, {3, state})

  defp hire(number) do
    pid =
      spawn(fn ->
        Process.put(:number, number)
        receive do: (:begin -> obey(nil))
      end)

    :ets.insert(__MODULE__, {{:user, number}, pid, :idle})
    send(pid, :begin)
    :ok
  end

  defp fire(number) do
    pid = :ets.lookup_element(__MODULE__, {:user, number}, 2)
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, :process, _, _} -> :ok)
  end

  defp obey(lease) do
    receive do
      {:take, opts} ->
        for what <- [:slow, :unable], do: Process.put(what, opts[what])
        opts |> Keyword.take([:timeout, :key]) |> take()

      {:use, how, opts} ->
        Process.put(:slow, nil)
        Process.put(:unable, nil)
        opts |> Keyword.take([:timeout, :key]) |> use_one(how)
        obey(nil)

      {:give_back, how} ->
        :ok = Pool.checkin(lease, how)
        publish(:idle)
        obey(nil)
    end
  end

  defp take(opts) do
    case Pool.checkout(pool(), opts) do
      {:ok, lease} ->
        publish(if(used?(lease.worker), do: {:has, lease.worker}, else: {:failed, :old}))
        obey(lease)

      {:error, error} ->
        publish({:failed, error.reason})
        obey(nil)
    end
  end

  # Takes one, and gives it back or loses it at once.
  defp use_one(opts, how) do
    result =
      Pool.run(
        pool(),
        fn worker ->
          true = used?(worker)
          if how == :raise, do: raise("as it was told"), else: {how, :done}
        end,
        opts
      )

    publish(if(match?({:ok, _}, result), do: :idle, else: {:failed, elem(result, 1).reason}))
  rescue
    RuntimeError -> publish(:idle)
  end

  # Whether it is of those that were to be made when it was taken; what is said while it is made comes too late.
  defp used?(worker) do
    :ets.update_counter(__MODULE__, {:worker, worker}, {3, 1})

    Process.get(:made) == worker or
      :ets.lookup_element(__MODULE__, {:worker, worker}, 4) ==
        :ets.lookup_element(__MODULE__, :argument, 2)
  end
end
