defmodule Wasmex.Cluster.Keyed do
  @moduledoc false
  # Guests with state: one for each key, on the key's node. A keeper owns it; calls take turns at its store and run in
  # the calling processes, so a caller that dies ends only its own call.

  use GenServer, restart: :temporary

  alias Wasmex.Call.Timeout
  alias Wasmex.Cluster.{Nodes, Remote}
  alias Wasmex.{Deploy, Error}
  alias Wasmex.Deploy.Routes

  # How often a call follows a key that has moved.
  @moves 5

  @enforce_keys [:name, :key, :module, :worker, :state, :version]
  defstruct [:name, :key, :module, :worker, :state, :version]

  @doc "Calls the guest of a key, from any node."
  @spec call(Remote.request(), term(), integer() | :infinity, boolean()) ::
          {:ok, term()} | {:error, Exception.t()}
  def call(request, key, deadline, again?), do: call(request, key, deadline, again?, @moves)

  defp call({name, _, _, _} = request, key, deadline, again?, moves) do
    with true <- Nodes.majority?(),
         node when node != nil <- Nodes.of_key(name, key) do
      result =
        if node == node(),
          do: here(request, key, deadline),
          else: Remote.call(node, :keyed, [request, key], deadline)

      case result do
        # Not there any more, which other nodes learn with its next heartbeat. The call has not begun.
        {:error, %Error{reason: :not_deployed}} when moves > 0 ->
          later(request, key, deadline, again?, moves)

        {:moved, _to} when moves > 0 ->
          later(request, key, deadline, again?, moves)

        {:moved, to} ->
          moved(name, to)

        {:error, %Error{reason: :node_down}} when again? and moves > 0 ->
          later(request, key, deadline, again?, moves)

        result ->
          result
      end
    else
      false -> no_majority()
      nil -> {:error, Nodes.nowhere(name, [])}
    end
  end

  # The nodes may have different views of the cluster for a moment.
  defp later(request, key, deadline, again?, moves) do
    Process.sleep(min(20, Timeout.left(deadline) |> finite()))
    call(request, key, deadline, again?, moves - 1)
  end

  defp finite(:infinity), do: 20
  defp finite(ms), do: ms

  defp no_majority do
    message = "this part of the cluster has #{length(Nodes.all())} nodes, which is not a majority"
    {:error, %Error{reason: :no_majority, details: %{message: message}}}
  end

  defp moved(name, to) do
    message = "the key of #{inspect(name)} moves between nodes (to #{inspect(to)})"
    {:error, %Error{reason: :node_down, details: %{node: to, message: message}}}
  end

  @doc "The same on the key's node; `{:moved, node}` if this node considers another one responsible."
  @spec here(Remote.request(), term(), integer() | :infinity) ::
          {:ok, term()} | {:error, Exception.t()} | {:moved, node()}
  def here({name, function, params, opts}, key, deadline) do
    case Nodes.majority?() && Nodes.of_key(name, key) do
      false -> no_majority()
      node when node == node() -> kept(name, key, function, params, opts, deadline)
      node -> {:moved, node}
    end
  end

  defp kept(name, key, function, params, opts, deadline) do
    with {:ok, route} <- Routes.fetch(name),
         :ok <- Deploy.allowed(route, name, function),
         {_threshold, version, _pool, _counts, _function} = List.last(route.versions),
         {:ok, keeper, module, worker} <- keeper(name, key, version) do
      left = min(Timeout.left(deadline), route.timeout)

      result =
        module.call(worker, function, params, [timeout: left] ++ Keyword.delete(opts, :key))

      # The instance cannot be called any more; the next call creates a new one.
      if spent?(result), do: GenServer.stop(keeper)
      result
    else
      :error -> {:error, Nodes.nowhere(name, [])}
      error -> error
    end
  catch
    # It was handed over just now.
    :exit, {reason, {GenServer, _, _}} when reason in [:normal, :noproc] -> {:moved, node()}
  end

  defp spent?({:error, %Error{reason: reason}}), do: reason in [:spent, :closed, :broken]
  defp spent?(_result), do: false

  defp keeper(name, key, version) do
    with [] <- Registry.lookup(Wasmex.Cluster.Keys, {name, key}),
         {:error, {:already_started, _}} <- start(name, key, :ask) do
      keeper(name, key, version)
    else
      [{pid, {module, worker, ^version}}] ->
        {:ok, pid, module, worker}

      # Another version was deployed: it continues with the state.
      [{pid, {_module, _worker, _older}}] ->
        state = with {:ok, state} <- take_from(pid), do: {:given, state}
        _ = start(name, key, state)
        keeper(name, key, version)

      # Another process is creating it.
      [{pid, nil}] ->
        GenServer.call(pid, :worker, :infinity)

      {:ok, pid} ->
        GenServer.call(pid, :worker, :infinity)

      {:error, {:failed, error}} ->
        {:error, error}

      {:error, reason} ->
        {:error, %Error{reason: :closed, details: %{message: inspect(reason)}}}
    end
  end

  defp start(name, key, state),
    do: DynamicSupervisor.start_child(Wasmex.Cluster.Keepers, {__MODULE__, {name, key, state}})

  @doc "Hands a key's state over to its new node; nil if there is none."
  @spec take(term(), term()) :: {:ok, term()} | nil
  def take(name, key) do
    case Registry.lookup(Wasmex.Cluster.Keys, {name, key}) do
      [{pid, _}] -> GenServer.call(pid, :hand_over, :infinity)
      [] -> nil
    end
  catch
    :exit, _ -> nil
  end

  @doc "Receives a key's state from a node that leaves."
  @spec give(term(), term(), term()) :: :ok
  def give(name, key, state) do
    _ = start(name, key, {:given, state})
    :ok
  end

  @doc "This node leaves: hands its keys over to their new nodes."
  @spec hand_all_over() :: :ok
  def hand_all_over do
    for {{name, key}, pid} <-
          Registry.select(Wasmex.Cluster.Keys, [{{:"$1", :"$2", :_}, [], [{{:"$1", :"$2"}}]}]) do
      with {:ok, state} <- take_from(pid),
           node when node not in [nil, node()] <- elsewhere(name, key),
           do: Remote.call(node, :give, [name, key, state], Timeout.deadline(5_000))
    end

    :ok
  end

  defp take_from(pid) do
    GenServer.call(pid, :hand_over, :infinity)
  catch
    :exit, _ -> nil
  end

  defp elsewhere(name, key) do
    nodes = Nodes.with_name(name) -- [node()]
    if nodes != [], do: Enum.max_by(nodes, &:erlang.phash2({name, key, &1}))
  end

  @doc "The number of keys on this node."
  @spec count() :: non_neg_integer()
  def count, do: Registry.count(Wasmex.Cluster.Keys)

  @spec start_link({term(), term(), term()}) :: GenServer.on_start()
  def start_link({name, key, state}) do
    registered = {:via, Registry, {Wasmex.Cluster.Keys, {name, key}, nil}}
    GenServer.start_link(__MODULE__, {name, key, state}, name: registered)
  end

  @impl true
  def init({name, key, state}) do
    Process.flag(:trap_exit, true)

    with {:ok, module, worker, functions, version} <- Deploy.make(name) do
      keeper = %__MODULE__{
        name: name,
        key: key,
        module: module,
        worker: worker,
        state: functions,
        version: version
      }

      case restored(keeper, state) do
        :ok ->
          kept = {module, worker, version}
          Registry.update_value(Wasmex.Cluster.Keys, {name, key}, fn nil -> kept end)
          {:ok, keeper}

        {:error, error} ->
          module.close(worker)
          {:stop, {:failed, error}}
      end
    else
      {:error, error} -> {:stop, {:failed, error}}
    end
  end

  defp restored(keeper, {:given, state}), do: restore(keeper, state)

  defp restored(_keeper, nil), do: :ok

  # The previous owner; the first node that has it.
  defp restored(%{state: nil}, :ask), do: :ok

  defp restored(keeper, :ask) do
    deadline = Timeout.deadline(5_000)

    Enum.find_value(Nodes.all() -- [node()], :ok, fn node ->
      case Remote.call(node, :take, [keeper.name, keeper.key], deadline) do
        {:ok, state} -> restore(keeper, state)
        _ -> nil
      end
    end)
  end

  defp restore(%{state: nil}, _state), do: :ok

  defp restore(%{state: functions, module: module, worker: worker}, state) do
    case module.call(worker, Keyword.fetch!(functions, :restore), params(module, state), []) do
      {:ok, _} -> :ok
      error -> error
    end
  end

  # A plug-in takes bytes, the others a list of params; the results of an instance are a list already.
  defp params(Wasmex.Pool.Worker.Component, state), do: [state]
  defp params(_module, state), do: state

  @impl true
  def handle_call(:worker, _from, keeper),
    do: {:reply, {:ok, self(), keeper.module, keeper.worker}, keeper}

  # Waits for its turn, after the running calls.
  def handle_call(:hand_over, _from, %{module: module, worker: worker} = keeper) do
    state =
      with [_ | _] = functions <- keeper.state,
           {:ok, state} <- module.call(worker, Keyword.fetch!(functions, :save), save(module), []) do
        {:ok, state}
      else
        _ -> nil
      end

    {:stop, :normal, state, keeper}
  end

  def handle_call(_other, _from, keeper), do: {:reply, {:error, :unknown_request}, keeper}

  defp save(Wasmex.Plugin.Pool), do: ""
  defp save(_module), do: []

  @impl true
  def handle_info(_message, keeper), do: {:noreply, keeper}

  @impl true
  def terminate(_reason, %{module: module, worker: worker}), do: module.close(worker)
end
