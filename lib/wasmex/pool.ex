defmodule Wasmex.Pool do
  alias Wasmex.Options
  alias Wasmex.Pool.{Handles, Lease, Limits, Server, Slots, Source}

  @own [
    worker: [type: :any, doc: "`{module, argument}` of a `Wasmex.Pool.Worker`"],
    owner: [
      type: {:or, [nil], :pid},
      default_doc: "none",
      doc: "a process with which the pool ends, besides the one that started it"
    ]
  ]
  @options Options.table(
             @own ++ Source.rows() ++ Options.Pool.rows(),
             "Wasmex.Pool.start_link/1"
           )
  @checkout Options.table(Options.Pool.checkout(), "Wasmex.Pool.checkout/2")
  @call [
    checkout_timeout: [
      type: :timeout,
      default: 5_000,
      doc: "ms that may be waited in the queue"
    ],
    key: [type: :any, doc: "for whom it is, for the limits of `per_key:`"]
  ]
  @call_options Options.table(@call, "Wasmex.Pool.call/4")

  @moduledoc """
  A pool of workers that are lent: a bounded number of processes use one at a time, each does its work itself, and the
  others wait in a queue until their deadline.

  A worker is an instance of a module or component, a plug-in, a program to be run, or whatever a `Wasmex.Pool.Worker` makes.
  It is made by the process that needs it, used there, and then closed or kept for others, as the policy says. One that
  failed, or whose user died, is replaced, never repaired.

  While a place is free, taking and giving back are a few atomic operations on memory that all share: no process is
  asked, so a pool is no bottleneck for many schedulers. `lib/wasmex/pool/README.md` says how.

  ## Example

      iex> wat = ~s|(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))|
      iex> {:ok, pool} = Wasmex.Pool.start_link(source: {:bytes, wat}, size: 4, policy: {:reuse, 1_000})
      iex> Wasmex.Pool.call(pool, "add", [40, 2])
      {:ok, [42]}
      iex> Wasmex.Pool.run(pool, fn instance -> {:keep, Wasmex.Instance.call!(instance, "add", [1, 2])} end)
      {:ok, [3]}

  In a supervision tree:

      {Wasmex.Pool, name: MyApp.Rules, source: "priv/rules.wasm", size: 16, policy: :reset}

  ## Policies

  - `:fresh` (default): made for each use and closed after it; nothing is left behind for the next
  - `{:reuse, n}`: used so many times (or `:infinity`), with what the guest left in its memory
  - `:reset`: after each use as it was at first. For an instance that is another instance in the same place; the
    memory is the engine's to make clean, see `pooling` in `Wasmex.EngineConfig`

  ## Limits of a key

  With `per_key:` each key (a tenant, say) has limits of its own:

  #{Limits.docs()}

  The rates are token buckets which hold what one second brings. What a call used is known when it is over; a key that is
  in debt then gets `%Wasmex.Error{reason: :rate_limited}`, whose `details.retry_after` is in ms. A call may burn the fuel that its
  key has at that moment, then it is a trap (`:out_of_fuel`); one that is stopped by its timeout counts as if it had burnt all of it.

  ## What is there when the pool is full

  Who comes to a full pool waits, `max_queue` at most; others get `:overloaded` at once. Who has waited for its `timeout`
  gets `:timeout`. A worker's user that is killed, in whatever state, gives its place back.

  ## Errors

  `%Wasmex.Error{reason: :timeout}` when the deadline passed in the queue, `:overloaded` when the queue is full,
  `:rate_limited`, `:closed` of a pool that is drained, and what making a worker says. What the function of `run/3` raises
  goes through, and its worker is closed.
  """

  alias Wasmex.Utils

  @type policy :: :fresh | {:reuse, pos_integer() | :infinity} | :reset
  @type t :: GenServer.server()
  @type lease :: Lease.t()

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts),
    do: %{id: opts[:name] || __MODULE__, start: {__MODULE__, :start_link, [opts]}}

  @doc """
  Starts a pool. It needs `:source`, or `:worker`.

  #{Options.Docs.table(@options)}

  The source is compiled, and `warm:` workers are made, before this returns; what fails is the error.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    opts = Options.new!(opts, @options)
    _ = opts.per_key && Limits.new!(opts.per_key)
    size = opts.size || 2 * System.schedulers_online()

    if opts.warm > size,
      do: Options.misuse!("warm: at most the size of the pool, #{size}", opts.warm)

    policy = policy!(opts.policy)

    with {:ok, worker} <- worker(opts) do
      metered!(worker, opts.per_key || [])

      opts = %{opts | worker: worker, size: size, policy: policy}
      Server.start_link(opts, if(opts.name, do: [name: opts.name], else: []))
    end
  end

  defp worker(%{worker: {module, _argument} = worker, source: nil}) when is_atom(module),
    do: {:ok, worker}

  defp worker(%{worker: nil, source: source} = opts) when source != nil, do: Source.worker(opts)

  defp worker(%{worker: nil}),
    do: raise(ArgumentError, "Wasmex.Pool.start_link/1 needs source:, what workers are made of")

  defp worker(%{worker: other}),
    do: Options.misuse!("{module, argument} as worker, and no source besides", other)

  defp metered!({module, _}, limits) do
    if (limits[:fuel] || limits[:memory]) && Code.ensure_loaded?(module) &&
         not (function_exported?(module, :meter, 1) and function_exported?(module, :grant, 2)) do
      raise ArgumentError,
            "per_key: fuel and memory need workers that count them, and #{inspect(module)} has no meter/1 and grant/2"
    end
  end

  @doc false
  @spec policy!(term()) :: policy()
  def policy!(policy) when policy in [:fresh, :reset], do: policy
  def policy!({:reuse, :infinity} = policy), do: policy
  def policy!({:reuse, n} = policy) when is_integer(n) and n > 0, do: policy

  def policy!(other),
    do: Options.misuse!(":fresh, {:reuse, n} with n above 0, or :reset as policy", other)

  @doc """
  Calls a function of a worker, in this process: the arguments are those of the call of what is pooled
  (`Wasmex.Instance.call/4`, `Wasmex.Components.Instance.call/4`, `Wasmex.Plugin.call/4`; for a program the function is
  `:run` and the params are its arguments), and so are the options besides these:

  #{Options.Docs.table(@call_options)}

  A worker whose call failed is replaced.
  """
  @spec call(t(), term(), term(), keyword()) :: {:ok, term()} | {:error, Exception.t()}
  def call(pool, function, params, opts \\ [])

  # The fast path: no options to look at.
  def call(pool, function, params, []), do: call(slots!(pool), function, params, [], 5_000, nil)

  def call(pool, function, params, opts) do
    {own, opts} = opts |> Options.pairs!(@call_options) |> Keyword.split(Keyword.keys(@call))
    own = Options.new!(own, @call_options)
    call(slots!(pool), function, params, opts, own.checkout_timeout, own.key)
  end

  defp call(%{module: module} = slots, function, params, opts, timeout, key) do
    with {:ok, lease} <- Lease.take(slots, timeout, key) do
      try do
        module.call(lease.worker, function, params, opts)
      catch
        kind, reason ->
          Lease.give_back(lease, :replace)
          :erlang.raise(kind, reason, __STACKTRACE__)
      else
        {:ok, _} = ok ->
          Lease.give_back(lease, :keep)
          ok

        {:ok, result, worker} ->
          Lease.give_back(lease, {:keep, worker})
          {:ok, result}

        {:error, %Wasmex.Error{reason: reason}} = error when reason in [:timeout, :cancelled] ->
          Lease.give_back(lease, :stopped)
          error

        error ->
          Lease.give_back(lease, :replace)
          error
      end
    end
  end

  @doc """
  Runs the function with a worker, in this process.

  It returns `{:keep, result}`, or `{:replace, result}` for a worker that is not to be used again; both give
  `{:ok, result}`.

  #{Options.Docs.table(@checkout)}
  """
  @spec run(t(), (worker :: term() -> {:keep | :replace, result}), keyword()) ::
          {:ok, result} | {:error, Exception.t()}
        when result: term()
  def run(pool, function, opts \\ []) when is_function(function, 1) do
    with {:ok, lease} <- checkout(pool, opts) do
      try do
        function.(lease.worker)
      catch
        kind, reason ->
          Lease.give_back(lease, :replace)
          :erlang.raise(kind, reason, __STACKTRACE__)
      else
        {how, result} when how in [:keep, :replace] ->
          Lease.give_back(lease, how)
          {:ok, result}

        other ->
          Lease.give_back(lease, :replace)
          Options.misuse!("{:keep, result} or {:replace, result} of the function", other)
      end
    end
  end

  @doc """
  A worker for this process, until it gives it back with `checkin/2` or ends. `lease.worker` is what was made. Options: those of
  `run/3`, which is safer where it fits.

      iex> {:ok, pool} = Wasmex.Pool.start_link(source: {:bytes, ~s|(module (func (export "f")))|})
      iex> {:ok, lease} = Wasmex.Pool.checkout(pool)
      iex> Wasmex.Instance.call(lease.worker, "f", [])
      {:ok, []}
      iex> Wasmex.Pool.checkin(lease)
      :ok
  """
  @spec checkout(t(), keyword()) :: {:ok, lease()} | {:error, Exception.t()}
  def checkout(pool, opts \\ []) do
    %{timeout: timeout, key: key} = Options.new!(opts, @checkout)
    Lease.take(slots!(pool), timeout, key)
  end

  @doc "Gives a worker back, once, by the process that has it: to be used again, or to be replaced."
  @spec checkin(lease(), :keep | :replace) :: :ok
  def checkin(%Lease{} = lease, how \\ :keep) when how in [:keep, :replace],
    do: Lease.give_back(lease, how)

  @doc """
  From now on workers are made with this argument; those that there are serve to the end of their use. For a pool of a
  `source:`, see `Wasmex.Pool.Source`.
  """
  @spec replace(t(), term()) :: :ok
  def replace(pool, argument),
    do: pool |> server!() |> GenServer.call({:replace, argument}, :infinity)

  @doc "How many places are in use, how many workers wait for a use, and how many users for a place."
  @spec stats(t()) :: %{
          in_use: non_neg_integer(),
          idle: non_neg_integer(),
          waiting: non_neg_integer()
        }
  def stats(pool), do: pool |> slots!() |> Slots.stats()

  @doc false
  # Whether a place is free just now, and nobody waits.
  @spec room?(t()) :: boolean()
  def room?(pool), do: pool |> slots!() |> Slots.room?()

  @doc """
  Lends no more, and waits until all workers are given back, `timeout` ms at most. Whoever waits or comes gets `:closed`.
  """
  @spec drain(t(), timeout()) :: :ok | {:error, Exception.t()}
  def drain(pool, timeout \\ 5_000) do
    pool |> server!() |> GenServer.call(:drain, timeout)
  catch
    :exit, {:timeout, _} ->
      message = "not all workers were given back within #{timeout} ms"

      {:error, %Wasmex.Error{reason: :timeout, details: %{timeout: timeout, message: message}}}
  end

  defp slots!(pool) when is_pid(pool) and node(pool) == node(), do: Handles.fetch!(pool)
  defp slots!(pool), do: pool |> server!() |> Handles.fetch!()

  @spec server!(term()) :: pid()
  defp server!(pool) do
    case pool |> Utils.server!() |> GenServer.whereis() do
      pid when is_pid(pid) and node(pid) == node() ->
        pid

      nil ->
        exit({:noproc, {__MODULE__, :checkout, [pool]}})

      elsewhere ->
        raise ArgumentError,
              "the pool #{inspect(pool)} lives on #{node_of(elsewhere)}, and a pool is used where it lives; " <>
                "Wasmex.Cluster calls across nodes"
    end
  end

  defp node_of({_name, node}), do: node
  defp node_of(pid), do: node(pid)
end
