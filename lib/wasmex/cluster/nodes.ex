defmodule Wasmex.Cluster.Nodes do
  @moduledoc false
  # What is known of the nodes, in a table, and which of them gets a call.

  alias Wasmex.{Error, Pool}
  alias Wasmex.Deploy.Routes

  # ms after which a node that was not heard of is slow.
  @silent 2_000

  @doc "The table, by the process that owns it; how many nodes there are when all is well, or nil."
  @spec open(pos_integer() | nil) :: true
  def open(expected) do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ets.insert(__MODULE__, {:expected, expected})
  end

  @spec put(node(), map()) :: true
  def put(node, told) do
    # Forgotten little by little: a node that answered late once is asked again.
    delay = with [{_, known}] <- lookup(node), do: div(31 * known.delay, 32), else: (_ -> 0)
    known = Map.merge(told, %{at: now(), delay: delay})
    # What was sent before shows in its load from now on.
    :ets.insert(__MODULE__, [{{:node, node}, known}, {{:sent, node}, 0}])
  end

  @doc "A call goes there."
  @spec sent(node()) :: integer()
  def sent(node), do: :ets.update_counter(__MODULE__, {:sent, node}, 1, {{:sent, node}, 0})

  @spec delete(node()) :: true
  def delete(node) do
    :ets.delete(__MODULE__, {:sent, node})
    :ets.delete(__MODULE__, {:node, node})
  end

  @doc "µs that an answer took beside the work; the mean of the last ones."
  @spec answered(node(), non_neg_integer()) :: true
  def answered(node, delay) do
    with [{key, known}] <- lookup(node) do
      delay = if known.delay == 0, do: delay, else: div(7 * known.delay + delay, 8)
      :ets.insert(__MODULE__, {key, %{known | delay: delay}})
    end
  rescue
    # This node's part was stopped meanwhile.
    ArgumentError -> true
  end

  defp lookup(node), do: :ets.lookup(__MODULE__, {:node, node})

  @spec all() :: [node()]
  def all, do: info() |> Map.keys() |> then(&Enum.sort(Enum.uniq([node() | &1])))

  @spec info() :: %{node() => map()}
  def info do
    Map.new(:ets.match_object(__MODULE__, {{:node, :_}, :_}), fn {{:node, node}, known} ->
      {node, known}
    end)
  end

  @doc "Those that have the name, this one by what it has now."
  @spec with_name(term()) :: [{node(), map()}]
  def with_name(name) do
    for {{:node, node}, known} <- :ets.match_object(__MODULE__, {{:node, :_}, :_}),
        if(node == node(), do: here?(name), else: is_map_key(known.names, name)),
        do: {node, known}
  end

  defp here?(name), do: Routes.fetch(name) != :error

  @doc "Whether this part of the cluster may answer for keys."
  @spec majority?() :: boolean()
  def majority? do
    case :ets.lookup(__MODULE__, :expected) do
      [{:expected, expected}] when expected != nil -> 2 * map_size(info()) > expected
      _ -> true
    end
  end

  @doc "The node for a call, but for these; nil for none."
  @spec pick(term(), [node()]) :: node() | nil
  def pick(name, lost) do
    if node() not in lost and room?(name) do
      node()
    else
      # A cluster that was not started is this node alone.
      others = for {node, known} <- with_name(name), node not in lost, do: {node, known}
      others |> awake() |> two_of() |> least()
    end
  rescue
    ArgumentError -> if node() not in lost and here?(name), do: node()
  end

  # Here, and a free place.
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

  # Two by chance: with the least loaded of all everybody would run to the same one.
  defp two_of([_, _, _ | _] = nodes) do
    count = length(nodes)
    first = :rand.uniform(count) - 1
    second = rem(first + :rand.uniform(count - 1), count)
    [Enum.at(nodes, first), Enum.at(nodes, second)]
  end

  defp two_of(nodes), do: nodes

  defp least([]), do: nil
  defp least(nodes), do: nodes |> Enum.min_by(&cost/1) |> elem(0)

  # What it has to do by what it told and by what it was sent since; a millisecond of delay is as much as one more task.
  defp cost({node, known}) do
    sent = with [{_, sent}] <- :ets.lookup(__MODULE__, {:sent, node}), do: sent, else: (_ -> 0)
    known.load + sent + known.delay / 1000
  end

  @doc "The node of a key: each node has a number for it, the highest has it. Few keys move when nodes come and go."
  @spec of_key(term(), term()) :: node() | nil
  def of_key(name, key) do
    case with_name(name) do
      [] -> nil
      nodes -> nodes |> Enum.map(&elem(&1, 0)) |> Enum.max_by(&:erlang.phash2({name, key, &1}))
    end
  end

  @doc "The error of a call that no node can take."
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
