defmodule Wasmex.Cluster.Nodes do
  @moduledoc false
  # The table of known nodes, and routing: the choice of the node for a call.

  alias Wasmex.{Error, Pool}
  alias Wasmex.Deploy.Routes

  # A node without a heartbeat for this many ms counts as slow.
  @silent 2_000

  @doc "Creates the table, owned by the calling process, with the normal number of nodes, or nil."
  @spec open(pos_integer() | nil) :: true
  def open(expected) do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ets.insert(__MODULE__, {:expected, expected})
  end

  @spec put(node(), map()) :: true
  def put(node, heartbeat) do
    # Decays slowly: a node that was late once is tried again.
    delay = with [{_, known}] <- lookup(node), do: div(31 * known.delay, 32), else: (_ -> 0)
    known = Map.merge(heartbeat, %{at: now(), delay: delay})
    # Earlier calls are included in its load from now on.
    :ets.insert(__MODULE__, [{{:node, node}, known}, {{:sent, node}, 0}])
  end

  @doc "Counts a call sent to the node."
  @spec sent(node()) :: integer()
  def sent(node), do: :ets.update_counter(__MODULE__, {:sent, node}, 1, {{:sent, node}, 0})

  @spec delete(node()) :: true
  def delete(node) do
    :ets.delete(__MODULE__, {:sent, node})
    :ets.delete(__MODULE__, {:node, node})
  end

  @doc "Records a latency in µs, without the work, into the running mean."
  @spec answered(node(), non_neg_integer()) :: true
  def answered(node, delay) do
    with [{key, known}] <- lookup(node) do
      delay = if known.delay == 0, do: delay, else: div(7 * known.delay + delay, 8)
      :ets.insert(__MODULE__, {key, %{known | delay: delay}})
    end
  rescue
    # This node's part was stopped in the meantime.
    ArgumentError -> true
  end

  defp lookup(node), do: :ets.lookup(__MODULE__, {:node, node})

  @spec all() :: [node()]
  def all, do: info() |> Map.keys() |> then(&Enum.sort(Enum.uniq([node() | &1])))

  @spec info() :: %{node() => map()}
  def info do
    Map.new(rows(), fn {{:node, node}, known} -> {node, known} end)
  end

  @doc "The nodes that have the name, for this node by its current state."
  @spec with_name(term()) :: [{node(), map()}]
  def with_name(name) do
    for {{:node, node}, known} <- rows(),
        if(node == node(), do: here?(name), else: is_map_key(known.names, name)),
        do: {node, known}
  end

  # A cluster that is not started, or is restarting, knows no nodes.
  defp rows do
    :ets.match_object(__MODULE__, {{:node, :_}, :_})
  rescue
    ArgumentError -> []
  end

  defp here?(name), do: Routes.fetch(name) != :error

  @doc "Whether this part of the cluster may serve calls with keys."
  @spec majority?() :: boolean()
  def majority? do
    case :ets.lookup(__MODULE__, :expected) do
      [{:expected, expected}] when expected != nil -> 2 * map_size(info()) > expected
      _ -> true
    end
  end

  @doc "The node for a call, except for these; nil if there is none."
  @spec pick(term(), [node()]) :: node() | nil
  def pick(name, lost) do
    if node() not in lost and room?(name) do
      node()
    else
      others = for {node, known} <- with_name(name), node not in lost, do: {node, known}
      others |> awake() |> two_of() |> least() || alone(name, lost)
    end
  end

  # If no cluster was started, it consists of this node.
  defp alone(name, lost), do: if(node() not in lost and here?(name), do: node())

  # Here, with a free place.
  defp room?(name) do
    with {:ok, route} <- Routes.fetch(name),
         {_threshold, _number, pool, _counts, _function} when pool != nil <- hd(route.versions) do
      Pool.room?(pool)
    else
      _ -> false
    end
  end

  defp awake(nodes) do
    now = now()

    case Enum.filter(nodes, fn {node, known} -> node == node() or now - known.at < @silent end) do
      [] -> nodes
      awake -> awake
    end
  end

  # Two at random: if all chose the least loaded node, they would choose the same one.
  defp two_of([_, _, _ | _] = nodes) do
    count = length(nodes)
    first = :rand.uniform(count) - 1
    second = rem(first + :rand.uniform(count - 1), count)
    [Enum.at(nodes, first), Enum.at(nodes, second)]
  end

  defp two_of(nodes), do: nodes

  defp least([]), do: nil
  defp least(nodes), do: nodes |> Enum.min_by(&cost/1) |> elem(0)

  # Load by its last heartbeat plus the calls sent since; a millisecond of latency counts like one more task.
  defp cost({node, known}) do
    sent = with [{_, sent}] <- :ets.lookup(__MODULE__, {:sent, node}), do: sent, else: (_ -> 0)
    known.load + sent + known.delay / 1000
  end

  @doc "The node of a key, by rendezvous hashing: few keys move when nodes join or leave."
  @spec of_key(term(), term()) :: node() | nil
  def of_key(name, key) do
    case with_name(name) do
      [] -> nil
      nodes -> nodes |> Enum.map(&elem(&1, 0)) |> Enum.max_by(&:erlang.phash2({name, key, &1}))
    end
  end

  @doc "The error when no node can take the call."
  @spec nowhere(term(), [node()]) :: Error.t()
  def nowhere(name, lost) do
    if lost == [] do
      message = "no node of the cluster has #{inspect(name)} deployed"
      %Error{reason: :not_deployed, details: %{name: name, message: message}}
    else
      message = "no node is left for #{inspect(name)}: lost #{inspect(lost)}"
      %Error{reason: :node_down, details: %{nodes: lost, message: message}}
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
