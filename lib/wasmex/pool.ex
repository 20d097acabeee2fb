defmodule Wasmex.Pool do
  alias Wasmex.Options
  alias Wasmex.Pool.{Handles, Lease, Limits, Server, Slots, Source}

  @own [
    worker: [type: :any, doc: "`{module, argument}` of a `Wasmex.Pool.Worker`"],
    owner: [
      type: {:or, [nil], :pid},
      default_doc: "none",
      doc: "a process that the pool ends with, besides the one that started it"
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
      doc: "maximum wait in the queue in ms"
    ],
    key: [type: :any, doc: "the tenant, for the limits of `per_key:`"]
  ]
  @call_options Options.table(@call, "Wasmex.Pool.call/4")

  @moduledoc """
  A pool of workers: a limited number of processes use one at a time, each does the work itself, and the others wait in
  a queue with a deadline.

  A worker is an instance of a module or component, a plug-in, a program, or anything created by a `Wasmex.Pool.Worker`.
  The process that needs it creates it and uses it. Then it is closed or kept for others, depending on the policy. A
  worker that failed, or whose user died, is replaced, never repaired.

  While there is room, checkout and check-in are a few atomic operations on shared memory and involve no process, so the
  pool is not a bottleneck on many schedulers. See `lib/wasmex/pool/README.md`.

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

  - `:fresh` (default): created for each use and closed after it, so uses share no state
  - `{:reuse, n}`: used n times (or `:infinity`), keeping the guest's memory
  - `:reset`: restored to its initial state after each use. Plug-ins are reset in place. An instance is replaced by a new
    one, because wasmtime cannot reset one in place (`lib/wasmex/pool/README.md` says why); with `pooling` in
    `Wasmex.EngineConfig` the new one gets the old one's memory, reset by copy-on-write

  ## Limits per key

  With `per_key:` each key (for example a tenant) has its own limits:

  #{Limits.docs()}

  The rates are token buckets that hold one second's worth. The use of a call is known when it ends; a key in debt then
  gets `%Wasmex.Error{reason: :rate_limited}`, with `details.retry_after` in ms. A call that burns more fuel than its
  key has left traps (`:out_of_fuel`); one that is stopped by its timeout counts as if it had burnt all of it.

  ## When the pool is full

  Callers of a full pool wait, at most `max_queue` of them; others get `:overloaded` at once. A caller that has waited
  for its `checkout_timeout` gets `:timeout`. If a user is killed, in whatever state, its place becomes free.

  ## Errors

  `%Wasmex.Error{reason: :timeout}` when the deadline passed in the queue, `:overloaded` when the queue is full,
  `:rate_limited`, `:closed` for a drained pool, and errors of creating a worker. Exceptions of `run/3`'s function
  propagate, and its worker is closed.
  """

  alias Wasmex.Utils

  @type policy :: :fresh | {:reuse, pos_integer() | :infinity} | :reset
  @type t :: GenServer.server()
  @type lease :: %Lease{}

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts),
    do: %{id: opts[:name] || __MODULE__, start: {__MODULE__, :start_link, [opts]}}

  @doc """
  Starts a pool. It needs `:source`, or `:worker`.

  #{Options.Docs.table(@options)}

  Compiles the source and creates `warm:` workers before it returns; failures are returned as errors.
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
    do: raise(ArgumentError, "Wasmex.Pool.start_link/1 needs source:, the code of its workers")

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
  Calls a function of a worker, in this process. The arguments and the other options are those of the pooled kind's call
  (`Wasmex.Instance.call/4`, `Wasmex.Components.Instance.call/4`, `Wasmex.Plugin.call/4`; for a program the function is
  `:run` and the params are its arguments). Options of the pool:

  #{Options.Docs.table(@call_options)}

  A worker whose call failed is replaced.
  """
  @spec call(t(), term(), term(), keyword()) :: {:ok, term()} | {:error, Exception.t()}
  def call(pool, function, params, opts \\ [])

  # The fast path: no options.
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

  It returns `{:keep, result}`, or `{:replace, result}` if the worker must not be reused; both result in `{:ok,
  result}`.

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
  Checks out a worker for this process, until it calls `checkin/2` or ends. `lease.worker` is the worker. Options as for
  `run/3`, which is safer where it is sufficient.

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

  @doc "Checks a worker in, once, from the process that has it: to be reused or replaced."
  @spec checkin(lease(), :keep | :replace) :: :ok
  def checkin(%Lease{} = lease, how \\ :keep) when how in [:keep, :replace],
    do: Lease.give_back(lease, how)

  @doc """
  Creates workers with this argument from now on; current uses of existing ones finish. For a pool with its own `worker:`,
  the argument is that of `c:Wasmex.Pool.Worker.make/1`.
  """
  @spec replace(t(), term()) :: :ok
  def replace(pool, argument),
    do: pool |> server!() |> GenServer.call({:replace, argument}, :infinity)

  @doc "The number of places in use, of idle workers, and of waiting users."
  @spec stats(t()) :: %{
          in_use: non_neg_integer(),
          idle: non_neg_integer(),
          waiting: non_neg_integer()
        }
  def stats(pool), do: pool |> slots!() |> Slots.stats()

  @doc false
  # Whether a place is free now and no process waits.
  @spec room?(t()) :: boolean()
  def room?(pool), do: pool |> slots!() |> Slots.room?()

  @doc """
  Stops checkouts and waits until all workers are checked in, at most `timeout` ms. Waiting and new users get `:closed`.
  """
  @spec drain(t(), timeout()) :: :ok | {:error, Exception.t()}
  def drain(pool, timeout \\ 5_000) do
    pool |> server!() |> GenServer.call(:drain, timeout)
  catch
    :exit, {:timeout, _} ->
      message = "not all workers were checked in within #{timeout} ms"

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
              "the pool #{inspect(pool)} is on #{node_of(elsewhere)}, and can only be used there; " <>
                "Wasmex.Cluster calls across nodes"
    end
  end

  defp node_of({_name, node}), do: node
  defp node_of(pid), do: node(pid)
end
