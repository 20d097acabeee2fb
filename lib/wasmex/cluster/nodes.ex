defmodule Wasmex.Cluster.Nodes do
  @moduledoc false
  # The table of known nodes, and routing: the choice of the node for a call.

  alias Wasmex.{Error, Pool}
  alias Wasmex.Deploy.Routes

  # A node without a heartbeat for this many ms counts as slow.
  @silent 2_000

  # Rows: a node's state, and for each name the other nodes that have it:
  #
  #     {{:node, node}, load, at, delay, sent}
  #     {{:name, name}, %{node => number of the version}}
  @at 3
  @delay 4
  @sent 5

  @typep state :: {{:node, node()}, number(), integer(), non_neg_integer(), non_neg_integer()}

  @doc "Creates the table, owned by the calling process, with the normal number of nodes, or nil."
  @spec open(pos_integer() | nil) :: true
  def open(expected) do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ets.insert(__MODULE__, {:expected, expected})
  end

  @doc "Stores a node's load. Earlier calls are included in it from now on. Called by `Members` only, like the next two."
  @spec put(node(), number()) :: true
  def put(node, load) do
    # Decays slowly: a node that was late once is tried again.
    delay = with [row] <- lookup(node), do: div(31 * elem(row, @delay - 1), 32), else: (_ -> 0)
    :ets.insert(__MODULE__, {{:node, node}, load, now(), delay, 0})
  end

  @doc "Stores which names a node has now, and which not any more (nil)."
  @spec change_names(node(), Wasmex.Cluster.Names.changes()) :: :ok
  def change_names(node, changes) do
    for {name, number} <- changes do
      key = {:name, name}
      nodes = with [{_key, nodes}] <- :ets.lookup(__MODULE__, key), do: nodes, else: (_ -> %{})

      case if(number, do: Map.put(nodes, node, number), else: Map.delete(nodes, node)) do
        none when none == %{} -> :ets.delete(__MODULE__, key)
        nodes -> :ets.insert(__MODULE__, {key, nodes})
      end
    end

    :ok
  end

  @doc "Removes a node; its names are removed with `change_names/2`."
  @spec delete(node()) :: true
  def delete(node), do: :ets.delete(__MODULE__, {:node, node})

  @doc "Counts a call sent to the node, if it is known."
  @spec sent(node()) :: integer()
  def sent(node) do
    :ets.update_counter(__MODULE__, {:node, node}, {@sent, 1})
  rescue
    # It was removed, or this node's part was stopped.
    ArgumentError -> 0
  end

  @doc "Records a latency in µs, without the work, into the running mean."
  @spec answered(node(), non_neg_integer()) :: boolean()
  def answered(node, delay) do
    with [row] <- lookup(node) do
      known = elem(row, @delay - 1)
      mean = if known == 0, do: delay, else: div(7 * known + delay, 8)
      :ets.update_element(__MODULE__, {:node, node}, {@delay, mean})
    else
      [] -> false
    end
  rescue
    # This node's part was stopped in the meantime.
    ArgumentError -> false
  end

  defp lookup(node), do: :ets.lookup(__MODULE__, {:node, node})

  @spec all() :: [node()]
  def all, do: [node() | known()] |> Enum.uniq() |> Enum.sort()

  # A cluster that is not started, or is restarting, knows no nodes.
  defp known do
    :ets.select(__MODULE__, [{{{:node, :"$1"}, :_, :_, :_, :_}, [], [:"$1"]}])
  rescue
    ArgumentError -> []
  end

  @doc "The state of all nodes with their names, for display."
  @spec info() :: %{node() => map()}
  def info do
    names = Map.put(names(), node(), Routes.versions())

    for node <- known(), [row] <- [lookup(node)], into: %{} do
      {_key, load, at, delay, _sent} = row
      {node, %{load: load, at: at, delay: delay, names: Map.get(names, node, %{})}}
    end
  rescue
    ArgumentError -> %{}
  end

  defp names do
    for {{:name, name}, nodes} <- :ets.match_object(__MODULE__, {{:name, :_}, :_}),
        {node, number} <- nodes,
        reduce: %{} do
      names -> Map.update(names, node, %{name => number}, &Map.put(&1, name, number))
    end
  end

  @doc "The nodes that have the name, for this node by its current state."
  @spec with_name(term()) :: [node()]
  def with_name(name) do
    others =
      case :ets.lookup(__MODULE__, {:name, name}) do
        [{_key, nodes}] -> Map.keys(nodes)
        [] -> []
      end

    if here?(name) and lookup(node()) != [], do: [node() | others], else: others
  rescue
    ArgumentError -> []
  end

  defp here?(name), do: Routes.fetch(name) != :error

  @doc "Whether this part of the cluster may serve calls with keys."
  @spec majority?() :: boolean()
  def majority? do
    case :ets.lookup(__MODULE__, :expected) do
      [{:expected, expected}] when expected != nil -> 2 * length(known()) > expected
      _ -> true
    end
  end

  @doc "The node for a call, except for these; nil if there is none."
  @spec pick(term(), [node()]) :: node() | nil
  def pick(name, lost) do
    if node() not in lost and room?(name) do
      node()
    else
      (with_name(name) -- lost) |> states() |> awake() |> two_of() |> least() || alone(name, lost)
    end
  end

  @spec states([node()]) :: [state()]
  defp states(nodes) do
    for node <- nodes, [row] <- [lookup(node)], do: row
  rescue
    ArgumentError -> []
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

  defp awake(states) do
    now = now()

    case Enum.filter(states, &(node_of(&1) == node() or now - elem(&1, @at - 1) < @silent)) do
      [] -> states
      awake -> awake
    end
  end

  defp node_of({{:node, node}, _load, _at, _delay, _sent}), do: node

  # Two at random: if all chose the least loaded node, they would choose the same one.
  defp two_of([_, _, _ | _] = states) do
    count = length(states)
    first = :rand.uniform(count) - 1
    second = rem(first + :rand.uniform(count - 1), count)
    [Enum.at(states, first), Enum.at(states, second)]
  end

  defp two_of(states), do: states

  defp least([]), do: nil
  defp least(states), do: states |> Enum.min_by(&cost/1) |> node_of()

  # Load by its last heartbeat plus the calls sent since; a millisecond of latency counts like one more task.
  defp cost({_key, load, _at, delay, sent}), do: load + sent + delay / 1000

  @doc "The node of a key, by rendezvous hashing: few keys move when nodes join or leave."
  @spec of_key(term(), term()) :: node() | nil
  def of_key(name, key) do
    case with_name(name) do
      [] -> nil
      nodes -> Enum.max_by(nodes, &:erlang.phash2({name, key, &1}))
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
