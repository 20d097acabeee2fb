defmodule Wasmex.Deploy.Server do
  @moduledoc false
  # The process of a name: its versions, their pools, the history, and automatic rollback. Calls do not involve it.

  use GenServer, restart: :temporary

  alias Wasmex.{Code, Error, HTTP, Pool}
  alias Wasmex.Code.Store
  alias Wasmex.Deploy.Routes
  alias Wasmex.Pool.Source

  require Logger

  @history 100
  # Versions to roll back to: their bytes are held.
  @before 10

  defmodule Version do
    @moduledoc false
    # `percent` of the calls; `began` in ms of the monotonic clock.
    @enforce_keys [:number, :code, :opts, :pool, :counts, :percent, :began]
    defstruct [:number, :code, :opts, :pool, :counts, :percent, :began]
  end

  # `versions`: those that get calls, newest first, one or two. `before`: code and options to roll back to, newest
  # first. `owner`: the monitor of a process that the name ends with.
  @enforce_keys [:name]
  defstruct [:name, :owner, versions: [], before: [], history: [], last: 0]

  @doc "See `Wasmex.Deploy.deploy/3`; the options are validated."
  @spec deploy(term(), Code.t(), map()) :: {:ok, pos_integer()} | {:error, Exception.t()}
  def deploy(name, code, opts) do
    GenServer.call(server(name), {:deploy, code, opts}, :infinity)
  catch
    # It ended just now.
    :exit, {reason, _} when reason in [:noproc, :normal] -> deploy(name, code, opts)
  end

  defp server(name) do
    case DynamicSupervisor.start_child(Wasmex.Deploy.Servers, {__MODULE__, name}) do
      {:ok, pid} -> pid
      {:error, {:already_started, pid}} -> pid
    end
  end

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(name) do
    registered = {:via, Registry, {Wasmex.Deploy.Registry, name}}
    GenServer.start_link(__MODULE__, name, name: registered)
  end

  @doc "The worker for a pool of this code, compiled in the calling process."
  @spec worker(Code.t(), map()) :: {:ok, {module(), term()}} | {:error, Exception.t()}
  def worker(code, opts) do
    # Fetches the bytes even if an artefact is sufficient: other nodes may need them when the node of origin is gone.
    with {:ok, _} <- Code.bytes(code),
         do: Source.worker(Map.merge(opts, %{source: code, engine: nil}))
  end

  @doc "Waits this many ms for the running calls of a pool, and ends it."
  @spec end_pool(pid(), timeout()) :: :ok
  def end_pool(pool, timeout) do
    _ = Pool.drain(pool, timeout)
    GenServer.stop(pool)
  catch
    :exit, _ -> :ok
  end

  @impl true
  def init(name) do
    # Pools are linked: a failed one is restarted.
    Process.flag(:trap_exit, true)
    {:ok, %__MODULE__{name: name}}
  end

  # Two that found nothing there at the same time.
  @impl true
  def handle_call({:deploy, _code, %{replace?: false}}, _from, %{versions: [_ | _]} = state),
    do: {:reply, {:ok, List.last(state.versions).number}, state}

  def handle_call({:deploy, code, opts}, _from, state) do
    case add(state, code, opts) do
      {:ok, state} ->
        state = own(state, opts.owner)
        what = if match?([_, _], state.versions), do: :canary, else: :deployed
        {:reply, {:ok, state.last}, note(state, hd(state.versions), what)}

      # A name without any version is removed.
      {:error, _} = error when state.versions == [] ->
        {:stop, :normal, error, state}

      error ->
        {:reply, error, state}
    end
  end

  def handle_call(:promote, _from, %{versions: [%{percent: percent} = canary, old]} = state)
      when percent < 100 do
    canary = %{canary | percent: 100, began: now()}
    state = before(%{state | versions: [canary]}, old)
    retire(old)
    {:reply, {:ok, canary.number}, state |> route() |> note(canary, :promoted)}
  end

  def handle_call(:promote, _from, state),
    do: {:reply, refuse(state, "has no canary to promote"), state}

  def handle_call({:rollback, why}, _from, state) do
    case back(state, why) do
      {:ok, state} -> {:reply, {:ok, hd(state.versions).number}, state}
      error -> {:reply, error, state}
    end
  end

  def handle_call(:deployed, _from, state) do
    %{code: code, opts: opts} = List.last(state.versions)
    {:reply, {:ok, code, Keyword.drop(opts.given, [:canary, :owner])}, state}
  end

  def handle_call(:history, _from, state), do: {:reply, {:ok, state.history}, state}

  def handle_call(:versions, _from, state) do
    versions =
      for version <- state.versions do
        {ok, errors} = counts(version)

        %{
          version: version.number,
          code: version.code,
          percent: share(version, state.versions),
          calls: ok + errors,
          errors: errors,
          pool: version.pool
        }
      end

    {:reply, {:ok, versions}, state}
  end

  def handle_call(:undeploy, _from, state) do
    Routes.delete(state.name)
    pools = for %{pool: pool} <- state.versions, do: pool
    for pool when pool != nil <- pools, do: Process.unlink(pool)
    {:stop, :normal, {:ok, Enum.reject(pools, &is_nil/1)}, %{state | versions: []}}
  end

  def handle_call(_other, _from, state), do: {:reply, {:error, :unknown_request}, state}

  @impl true
  def handle_cast(_other, state), do: {:noreply, state}

  # A call failed. A version on probation may have failed too often.
  @impl true
  def handle_info(:check, %{versions: [version | _]} = state) do
    with true <- failing?(version),
         {ok, errors} = counts(version),
         {:ok, state} <- back(state, "#{errors} of #{ok + errors} calls failed") do
      {:noreply, state}
    else
      _ -> {:noreply, state}
    end
  end

  def handle_info({:DOWN, owner, :process, _pid, _reason}, %{owner: owner} = state),
    do: {:stop, :normal, state}

  def handle_info({:EXIT, pool, reason}, state) do
    case Enum.find(state.versions, &(&1.pool == pool)) do
      nil -> {:noreply, state}
      version -> {:noreply, revive(state, version, reason)}
    end
  end

  # The table of routes was lost.
  def handle_info(:route, %{versions: [_ | _]} = state), do: {:noreply, route(state)}

  def handle_info({:revive, number}, state) do
    case Enum.find(state.versions, &(&1.number == number)) do
      %{pool: nil} = version -> {:noreply, revive(state, version, :again)}
      _ -> {:noreply, state}
    end
  end

  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    if state.versions != [], do: Routes.delete(state.name)
    for %{pool: pool} when pool != nil <- state.versions, do: end_pool(pool, 1_000)
  end

  defp add(state, code, opts) do
    with {:ok, worker} <- made(code, opts),
         opts = Map.put(opts, :worker, worker),
         {:ok, pool} <- pool(opts) do
      number = state.last + 1
      Store.hold(code.hash)

      version = %Version{
        number: number,
        code: code,
        opts: opts,
        pool: pool,
        counts: :counters.new(2, [:write_concurrency]),
        percent: if(state.versions == [], do: 100, else: opts.canary || 100),
        began: now()
      }

      {:ok, %{state | last: number} |> beside(version) |> route()}
    end
  end

  # The deploying process holds new code; code to roll back to is held here.
  defp made(_code, %{worker: worker}), do: {:ok, worker}
  defp made(code, opts), do: worker(code, opts)

  # A new canary replaces the previous one; a full version replaces all.
  defp beside(%{versions: []} = state, version), do: %{state | versions: [version]}

  defp beside(state, %{percent: 100} = version) do
    {olds, [stable]} = Enum.split(state.versions, -1)
    for old <- [stable | olds], do: retire(old)
    before(%{state | versions: [version]}, stable)
  end

  defp beside(state, canary) do
    {olds, [stable]} = Enum.split(state.versions, -1)
    for old <- olds, do: retire(old)
    %{state | versions: [canary, stable]}
  end

  # Its compiled code is not kept: a rollback compiles it again, usually from the disk cache.
  defp before(state, %{code: code, opts: opts}) do
    {before, forgotten} = Enum.split([{code, Map.delete(opts, :worker)} | state.before], @before)

    for {code, _opts} <- forgotten, do: Store.release(code.hash)
    %{state | before: before}
  end

  # The last one that was named.
  defp own(state, nil), do: state

  defp own(state, owner) do
    if state.owner, do: Process.demonitor(state.owner, [:flush])
    %{state | owner: Process.monitor(owner)}
  end

  @pool [:size, :policy, :max_queue, :warm, :idle, :per_key]

  defp pool(%{worker: worker} = opts) do
    opts = opts |> Map.take(@pool) |> Map.merge(%{worker: worker, warm: max(opts.warm, 1)})

    opts
    |> Map.reject(fn {_name, value} -> value == nil end)
    |> Map.to_list()
    |> Pool.start_link()
  end

  # In a separate process, which survives the pool.
  defp retire(%{pool: nil}), do: :ok

  defp retire(%{pool: pool, opts: opts}) do
    Process.unlink(pool)
    spawn(fn -> end_pool(pool, opts.drain) end)
  end

  defp back(%{versions: [canary, stable]} = state, why) do
    retire(canary)
    {:ok, %{state | versions: [stable]} |> route() |> note(canary, :rolled_back, why)}
  end

  defp back(%{versions: [version], before: [{code, opts} | before]} = state, why) do
    with {:ok, state} <- add(%{state | before: before}, code, %{opts | canary: nil}) do
      # The failed version is not a candidate for rollback.
      state = %{state | before: before}
      {:ok, note(state, version, :rolled_back, why)}
    end
  end

  defp back(state, _why), do: refuse(state, "has no version to roll back to")

  defp failing?(%{opts: %{rollback: false}}), do: false

  defp failing?(%{opts: %{rollback: rollback}} = version) do
    {ok, errors} = counts(version)

    now() - version.began <= Keyword.get(rollback, :within, 60_000) and
      ok + errors >= Keyword.get(rollback, :calls, 20) and
      errors >= Keyword.get(rollback, :errors, 0.5) * (ok + errors)
  end

  # Calls get an error until the pool has restarted.
  defp revive(state, version, reason) do
    if reason != :again,
      do: Logger.error("the pool of #{inspect(state.name)} ended: #{inspect(reason, limit: 10)}")

    pool =
      case pool(version.opts) do
        {:ok, pool} ->
          pool

        {:error, _} ->
          Process.send_after(self(), {:revive, version.number}, 1_000)
          nil
      end

    versions =
      Enum.map(state.versions, &if(&1.number == version.number, do: %{&1 | pool: pool}, else: &1))

    route(%{state | versions: versions})
  end

  defp route(%{versions: versions} = state) do
    [%{opts: opts} | _] = Enum.reverse(versions)

    {routes, _} =
      Enum.map_reduce(versions, 0, fn version, before ->
        threshold = before + share(version, versions)
        {{threshold, version.number, version.pool, version.counts, function(version)}, threshold}
      end)

    Routes.put(state.name, %Routes{
      server: self(),
      functions: opts.functions,
      timeout: opts.timeout,
      state: opts.state,
      versions: routes
    })

    state
  end

  # With the pool of its instances, if it keeps some.
  defp function(%{opts: %{worker: {HTTP.Worker, function}}, pool: pool}) do
    if pool != nil and function.reuse > 0,
      do: %{function | pool: Pool.Handles.fetch!(pool)},
      else: function
  end

  defp function(_version), do: nil

  # The canary has its percentage, the other version the rest.
  defp share(version, [_version]) when version.percent != nil, do: 100
  defp share(%{number: number, percent: percent}, [%{number: number} | _]), do: percent
  defp share(_stable, [canary | _]), do: 100 - canary.percent

  defp counts(%{counts: counts}), do: {:counters.get(counts, 1), :counters.get(counts, 2)}

  defp note(state, version, what, why \\ nil) do
    event = %{
      version: version.number,
      code: version.code,
      what: what,
      why: why,
      at: DateTime.utc_now()
    }

    Logger.log(level(state.name, what), fn ->
      "#{inspect(state.name)}: version #{version.number} (#{inspect(version.code)}) #{what}#{if why, do: ": " <> why}"
    end)

    %{state | history: Enum.take([event | state.history], @history)}
  end

  # HTTP folders log each function that they load.
  defp level({:http, _, _}, :deployed), do: :debug
  defp level(_name, _what), do: :info

  defp refuse(state, what) do
    message = "#{inspect(state.name)} #{what}"
    {:error, %Error{reason: :not_deployed, details: %{name: state.name, message: message}}}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
