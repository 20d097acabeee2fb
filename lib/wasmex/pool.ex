defmodule Wasmex.Pool do
  alias Wasmex.Options

  @options Options.table(
             [
               worker: [
                 type: :any,
                 required: true,
                 doc: "`{module, argument}` of a `Wasmex.Pool.Worker`"
               ]
             ] ++
               Options.Plugin.pool(),
             "Wasmex.Pool.start_link/1"
           )
  @run Options.table(
         [timeout: [type: :timeout, default: 5_000, doc: "ms that may be waited in the queue"]],
         "Wasmex.Pool.run/3"
       )

  @moduledoc """
  A pool of workers that are lent: a bounded number of processes use one at a time, each does its work itself, and the
  others wait in a queue until their deadline.

  A worker is whatever a `Wasmex.Pool.Worker` makes: an instance, a plug-in. It is made by the process that needs it, used
  there, and then closed or kept for others, as the policy says. One that failed, or whose user died, is replaced, never
  repaired.

  ## Policies

  - `:fresh` (default): made for each use and closed after it; nothing is left behind for the next
  - `{:reuse, n}`: used so many times
  - `:reset`: used again after `c:Wasmex.Pool.Worker.reset/1`

  ## Example

      iex> defmodule Counter do
      ...>   @behaviour Wasmex.Pool.Worker
      ...>   def make(start), do: Agent.start_link(fn -> start end)
      ...>   def reset(agent), do: {:ok, agent}
      ...>   def close(agent), do: Agent.stop(agent)
      ...> end
      iex> {:ok, pool} = Wasmex.Pool.start_link(worker: {Counter, 7}, size: 2)
      iex> Wasmex.Pool.run(pool, fn agent -> {:keep, Agent.get(agent, & &1)} end)
      {:ok, 7}

  ## Errors

  `%Wasmex.Error{reason: :timeout}` when the deadline passed in the queue, `:overloaded` when the queue is full, and what
  `c:Wasmex.Pool.Worker.make/1` says. What the function raises goes through, and its worker is closed.
  """

  use GenServer

  alias Wasmex.{Error, Utils}
  alias Wasmex.Call.Timeout

  @type policy :: :fresh | {:reuse, pos_integer()} | :reset
  @type t :: GenServer.server()

  # `places` are those in use: by the monitor of the user, its worker (nil while it makes one) and generation.
  # `idle` are workers that wait, the last used first; `waiting` are users that wait, by the time they give up.
  defstruct [
    :worker,
    :policy,
    :size,
    :max_queue,
    generation: 0,
    places: %{},
    idle: [],
    waiting: :queue.new(),
    queued: 0
  ]

  @doc """
  Starts a pool.

  #{Options.Docs.table(@options)}
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    opts = Options.new!(opts, @options)

    state = %__MODULE__{
      worker: worker!(opts.worker),
      policy: policy!(opts.policy),
      size: opts.size || 2 * System.schedulers_online(),
      max_queue: opts.max_queue
    }

    GenServer.start_link(__MODULE__, state, if(opts.name, do: [name: opts.name], else: []))
  end

  defp worker!({module, _argument} = worker) when is_atom(module), do: worker

  defp worker!(other),
    do: Options.misuse!("{module, argument} as worker", other)

  @doc false
  @spec policy!(term()) :: policy()
  def policy!(policy) when policy in [:fresh, :reset], do: policy
  def policy!({:reuse, n} = policy) when is_integer(n) and n > 0, do: policy

  def policy!(other),
    do: Options.misuse!(":fresh, {:reuse, n} with n above 0, or :reset as policy", other)

  @doc """
  Runs the function with a worker, in this process.

  It returns `{:keep, result}`, or `{:replace, result}` for a worker that is not to be used again; both give
  `{:ok, result}`. Option: `:timeout`, ms that may be waited in the queue, by default 5,000.
  """
  @spec run(t(), (worker :: term() -> {:keep | :replace, result}), keyword()) ::
          {:ok, result} | {:error, Exception.t()}
        when result: term()
  def run(pool, function, opts \\ []) when is_function(function, 1) do
    %{timeout: timeout} = Options.new!(opts, @run)

    with {:ok, place, worker, lent} <- check_out(Utils.server!(pool), timeout) do
      used(pool, place, worker, lent, function)
    end
  end

  # The alias of a call that was given up drops a late answer; the pool takes the place back.
  defp check_out(pool, timeout) do
    request = make_ref()

    try do
      GenServer.call(
        pool,
        {:check_out, request, Timeout.deadline(timeout)},
        Timeout.capped(timeout)
      )
    catch
      :exit, {:timeout, _} ->
        GenServer.cast(pool, {:give_up, request})

        {:error,
         %Error{
           reason: :timeout,
           details: %{message: "no place in the pool came free within #{timeout} ms"}
         }}
    end
  end

  defp used(pool, place, {module, _} = worker, lent, function) do
    case take(worker, lent) do
      {:ok, made} ->
        try do
          function.(made)
        catch
          kind, reason ->
            module.close(made)
            GenServer.cast(pool, {:check_in, place, nil})
            :erlang.raise(kind, reason, __STACKTRACE__)
        else
          {how, result} when how in [:keep, :replace] ->
            give_back(pool, place, module, made, lent, how)
            {:ok, result}
        end

      error ->
        GenServer.cast(pool, {:check_in, place, nil})
        error
    end
  end

  defp take({module, argument}, %{made: nil}), do: module.make(argument)
  defp take(_worker, %{made: made}), do: {:ok, made}

  # Closing and resetting are the user's work too.
  defp give_back(pool, place, module, made, %{policy: policy, uses: uses}, how) do
    kept =
      case {how, policy} do
        {:keep, {:reuse, n}} when uses + 1 < n -> {:ok, made}
        {:keep, :reset} -> module.reset(made)
        _ -> :close
      end

    case kept do
      {:ok, worker} ->
        GenServer.cast(pool, {:check_in, place, {worker, uses + 1}})

      _ ->
        module.close(made)
        GenServer.cast(pool, {:check_in, place, nil})
    end
  end

  @doc "From now on workers are made with this argument; those that there are serve to the end of their use."
  @spec replace(t(), term()) :: :ok
  def replace(pool, argument),
    do: pool |> Utils.server!() |> GenServer.call({:replace, argument})

  @doc "How many places are in use, how many workers wait, and how many users."
  @spec stats(t()) :: %{
          in_use: non_neg_integer(),
          idle: non_neg_integer(),
          waiting: non_neg_integer()
        }
  def stats(pool), do: pool |> Utils.server!() |> GenServer.call(:stats)

  @impl true
  def init(state), do: {:ok, state}

  @impl true
  def handle_call({:check_out, request, deadline}, from, state) do
    cond do
      map_size(state.places) < state.size -> {:noreply, lend(state, from, request)}
      state.queued >= state.max_queue -> {:reply, {:error, overloaded(state)}, state}
      true -> {:noreply, wait(state, {from, request, deadline})}
    end
  end

  def handle_call({:replace, argument}, _from, %{worker: {module, _}} = state) do
    for {worker, _uses} <- state.idle, do: module.close(worker)

    {:reply, :ok,
     %{state | worker: {module, argument}, idle: [], generation: state.generation + 1}}
  end

  def handle_call(:stats, _from, state) do
    stats = %{in_use: map_size(state.places), idle: length(state.idle), waiting: state.queued}
    {:reply, stats, state}
  end

  @impl true
  def handle_cast({:check_in, place, kept}, state) do
    case Map.pop(state.places, place) do
      {nil, _} ->
        {:noreply, state}

      {{_request, generation}, places} ->
        Process.demonitor(place, [:flush])
        {:noreply, %{state | places: places} |> keep(kept, generation) |> serve()}
    end
  end

  # It may have been lent meanwhile, with an answer that nobody reads.
  def handle_cast({:give_up, request}, state) do
    case Enum.find(state.places, fn {_place, {lent, _generation}} -> lent == request end) do
      {place, _} ->
        Process.demonitor(place, [:flush])
        {:noreply, serve(%{state | places: Map.delete(state.places, place)})}

      nil ->
        waiting =
          :queue.filter(fn {_from, waits, _deadline} -> waits != request end, state.waiting)

        {:noreply, %{state | waiting: waiting, queued: :queue.len(waiting)}}
    end
  end

  # Its user is gone, and the worker with it.
  @impl true
  def handle_info({:DOWN, place, :process, _pid, _reason}, state),
    do: {:noreply, serve(%{state | places: Map.delete(state.places, place)})}

  def handle_info(_message, state), do: {:noreply, state}

  defp keep(state, nil, _generation), do: state

  defp keep(%{generation: generation} = state, kept, generation),
    do: %{state | idle: [kept | state.idle]}

  defp keep(%{worker: {module, _}} = state, {worker, _uses}, _older) do
    module.close(worker)
    state
  end

  defp lend(state, {pid, _tag} = from, request) do
    place = Process.monitor(pid)

    {made, uses, idle} =
      with [{made, uses} | idle] <- state.idle, do: {made, uses, idle}, else: ([] -> {nil, 0, []})

    lent = %{made: made, uses: uses, policy: state.policy}
    GenServer.reply(from, {:ok, place, state.worker, lent})
    %{state | idle: idle, places: Map.put(state.places, place, {request, state.generation})}
  end

  defp wait(state, waiter),
    do: %{state | waiting: :queue.in(waiter, state.waiting), queued: state.queued + 1}

  # A place came free.
  defp serve(%{queued: 0} = state), do: state

  defp serve(state) do
    out = if 2 * state.queued > state.max_queue, do: &:queue.out_r/1, else: &:queue.out/1
    {{:value, {{pid, _} = from, request, deadline}}, waiting} = out.(state.waiting)
    state = %{state | waiting: waiting, queued: state.queued - 1}

    if Timeout.over?(deadline) or gone?(pid),
      do: serve(state),
      else: lend(state, from, request)
  end

  defp gone?(pid), do: node(pid) == node() and not Process.alive?(pid)

  defp overloaded(state) do
    message =
      "the pool is overloaded: #{state.size} are in use and #{state.queued} wait (max_queue)"

    %Error{reason: :overloaded, details: %{message: message}}
  end
end
