defmodule Wasmex.Cluster.Keyed do
  @moduledoc false
  # Calls of guests with state: one guest for each key, on the key's node, owned by its `Wasmex.Cluster.Keeper`.

  alias Wasmex.Call.Timeout
  alias Wasmex.Cluster.{Keeper, Nodes, Remote, Uses}
  alias Wasmex.Cluster.Keeper.Guest
  alias Wasmex.{Deploy, Error}
  alias Wasmex.Deploy.Routes

  require Logger

  # How long a call follows a key that moves, and the pause between its attempts, in ms.
  @patience 5_000
  @pause 20

  # Keys that are moved at the same time.
  @moves 16

  @doc "Calls the guest of a key, from any node."
  @spec call(Remote.request(), term(), integer() | :infinity, boolean()) ::
          {:ok, term()} | {:error, Exception.t()}
  def call(request, key, deadline, again?),
    do: attempt(request, key, deadline, again?, min(deadline, Timeout.deadline(@patience)))

  defp attempt({name, _, _, _} = request, key, deadline, again?, until) do
    result =
      case place(name, key) do
        {:ok, node} when node == node() -> here(request, key, deadline)
        {:ok, node} -> Remote.call(node, :keyed, [request, key], deadline)
        nowhere -> nowhere
      end

    case {result, Timeout.over?(until)} do
      {{:later, _error}, false} ->
        later(request, key, deadline, again?, until)

      {{:later, error}, true} ->
        {:error, error}

      # Not there any more, which this node learns soon.
      {{:error, %Error{reason: :not_deployed, details: %{node: _}}}, false} ->
        later(request, key, deadline, again?, until)

      {{:error, %Error{reason: :node_down}}, false} when again? ->
        later(request, key, deadline, again?, until)

      {result, _over?} ->
        result
    end
  end

  # The nodes may have different views of the cluster for a moment.
  defp later(request, key, deadline, again?, until) do
    Process.sleep(min(@pause, Timeout.left(until)))
    attempt(request, key, deadline, again?, until)
  end

  # The node of a key, if this part of the cluster may serve it.
  defp place(name, key) do
    case Nodes.majority?() && Nodes.of_key(name, key) do
      false -> {:error, no_majority()}
      nil -> {:error, Nodes.nowhere(name, [])}
      :unconfirmed -> {:later, Nodes.unconfirmed()}
      node -> {:ok, node}
    end
  end

  defp no_majority do
    count = length(Nodes.others_in_view()) + 1
    message = "this part of the cluster has #{count} nodes, which is not a majority"
    %Error{reason: :no_majority, details: %{message: message}}
  end

  @doc "The same on the key's node; the call has not begun if this node considers another one responsible."
  @spec here(Remote.request(), term(), integer() | :infinity) ::
          {:ok, term()} | {:error, Exception.t()} | Keeper.later()
  def here({name, function, params, opts}, key, deadline) do
    with {:ok, node} when node == node() <- place(name, key),
         {:ok, route} <- Routes.fetch(name),
         :ok <- Deploy.allowed(route, name, function),
         {_threshold, version, _pool, _counts, _function} = List.last(route.versions),
         left = min(Timeout.left(deadline), route.timeout),
         {:ok, seat, guest, keeper} <- Keeper.enter(name, key, version, left) do
      left = min(Timeout.left(deadline), route.timeout)
      opts = [timeout: left] ++ Keyword.delete(opts, :key)
      run(seat, guest, keeper, [function, params, opts])
    else
      {:ok, _elsewhere} -> Keeper.moving(name)
      :error -> gone(name)
      not_begun -> not_begun
    end
  end

  defp run(seat, %{module: module, worker: worker}, keeper, args) do
    result =
      try do
        apply(module, :call, [worker | args])
      after
        Uses.leave(seat)
      end

    if spent?(result), do: Keeper.replace(keeper)
    result
  end

  defp spent?({:error, %Error{reason: reason}}), do: reason in [:spent, :closed, :broken]
  defp spent?(_result), do: false

  defp gone(name) do
    message = "#{inspect(name)} is not deployed on #{node()} any more"
    details = %{name: name, node: node(), message: message}
    {:error, %Error{reason: :not_deployed, details: details}}
  end

  @doc "This node leaves: moves its keys to their new nodes, at most this many ms."
  @spec hand_all_over(timeout()) :: :ok
  def hand_all_over(timeout) do
    keepers = for {key, pid, _value} <- all(), do: {key, pid}
    hand_over(keepers, Timeout.deadline(timeout))
  end

  defp hand_over(keepers, deadline) do
    left = for {key, pid, :busy} <- moved(keepers), do: {key, pid}

    cond do
      left == [] ->
        :ok

      Timeout.over?(deadline) ->
        Logger.warning(
          "#{length(left)} guests with keys could not be moved to other nodes in time"
        )

      true ->
        Process.sleep(@pause)
        hand_over(left, deadline)
    end
  end

  @doc "Moves keys that belong to other nodes, and ends guests that this node may not serve; `:busy` if some are left."
  @spec sweep() :: :ok | :busy
  def sweep do
    keepers = all()

    for {_key, pid, %Guest{epoch: epoch}} <- keepers,
        not Nodes.serves?(epoch),
        do: Keeper.expire(pid)

    moved = moved(for {key, pid, _value} <- keepers, do: {key, pid})
    if Enum.any?(moved, &match?({_, _, :busy}, &1)), do: :busy, else: :ok
  end

  defp moved(keepers) do
    strays =
      for {{name, key}, pid} <- keepers,
          to = Nodes.of_key(name, key) || undeployed(name),
          to not in [node(), :unconfirmed],
          do: {{name, key}, pid, to}

    move = fn {key, pid, to} -> {key, pid, Keeper.move(key, pid, to)} end
    opts = [max_concurrency: @moves, ordered: false, timeout: :infinity]
    for {:ok, moved} <- Task.async_stream(strays, move, opts), do: moved
  end

  # Not if only the table of routes is being restored.
  defp undeployed(name) do
    if Routes.fetch(name) == :error and Registry.lookup(Wasmex.Deploy.Registry, name) == [],
      do: :nowhere
  end

  defp all do
    rows = [{{:"$1", :"$2", :"$3"}, [], [{{:"$1", :"$2", :"$3"}}]}]
    Registry.select(Wasmex.Cluster.Keys, rows)
  end

  @doc "The number of keys on this node."
  @spec count() :: non_neg_integer()
  def count, do: Registry.count(Wasmex.Cluster.Keys)
end
