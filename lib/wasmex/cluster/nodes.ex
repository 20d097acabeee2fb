defmodule Wasmex.Cluster.Nodes do
  @moduledoc false
  # The table of known nodes, and routing: the choice of the node for a call.

  alias Wasmex.{Error, Pool}
  alias Wasmex.Cluster.Lease
  alias Wasmex.Deploy.Routes

  # A node without a heartbeat for this many ms counts as slow.
  @silent 2_000

  # Rows: a node's state, for each name the other nodes that have it, and this node's lease:
  #
  #     {{:node, node}, load, at, delay, sent, serves?}
  #     {{:name, name}, %{node => number of the version}}
  #     {:lease, expected, serves, creates, epoch, the other nodes in its view}
  #     {:changes, number}
  @at 3
  @delay 4
  @sent 5
  @serves 6

  @typep state ::
           {{:node, node()}, number(), integer(), non_neg_integer(), non_neg_integer(), boolean()}

  @doc "Creates the table, owned by the calling process."
  @spec open() :: true
  def open do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ets.insert(__MODULE__, {:changes, 0})
  end

  @doc """
  Stores a node's load, and whether it serves keys. Earlier calls are included in the load from now on. Called by `Members`
  only, like the next three.
  """
  @spec put(node(), number(), boolean()) :: true
  def put(node, load, serves?) do
    before = lookup(node)
    # Decays slowly: a node that was late once is tried again.
    delay = with [row] <- before, do: div(31 * elem(row, @delay - 1), 32), else: (_ -> 0)
    :ets.insert(__MODULE__, {{:node, node}, load, now(), delay, 0, serves?})
    if not match?([row] when elem(row, @serves - 1) == serves?, before), do: changed()
    true
  end

  @doc "Stores this node's lease."
  @spec put_lease(Lease.t()) :: true
  def put_lease(%Lease{} = lease) do
    others = Lease.others(lease)
    row = {:lease, lease.expected, lease.serves, lease.creates, lease.epoch, others}
    before = :ets.lookup(__MODULE__, :lease)
    :ets.insert(__MODULE__, row)
    epoch = lease.epoch
    unless match?([{:lease, _, _, _, ^epoch, ^others}], before), do: changed()
    true
  end

  defp changed, do: :ets.update_counter(__MODULE__, :changes, 1)

  @doc "Changes when nodes, their names or this node's lease do; nil if the cluster is not started."
  @spec changes() :: non_neg_integer() | nil
  def changes do
    :ets.lookup_element(__MODULE__, :changes, 2)
  rescue
    ArgumentError -> nil
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

    if changes != %{}, do: changed()
    :ok
  end

  @doc "Removes a node; its names are removed with `change_names/2`."
  @spec delete(node()) :: true
  def delete(node) do
    :ets.delete(__MODULE__, {:node, node})
    changed()
    true
  end

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
    :ets.select(__MODULE__, [{{{:node, :"$1"}, :_, :_, :_, :_, :_}, [], [:"$1"]}])
  rescue
    ArgumentError -> []
  end

  @doc "The state of all nodes with their names, for display."
  @spec info() :: %{node() => map()}
  def info do
    names = Map.put(names(), node(), Routes.versions())

    for node <- known(), [row] <- [lookup(node)], into: %{} do
      {_key, load, at, delay, _sent, _serves?} = row
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

  defp node_of({{:node, node}, _load, _at, _delay, _sent, _serves?}), do: node

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
  defp cost({_key, load, _at, delay, sent, _serves?}), do: load + sent + delay / 1000

  @doc """
  The node of a key, by rendezvous hashing: few keys move when nodes join or leave. `:unconfirmed` if none of those that
  have the name serves keys at the moment, nil if none has it.
  """
  @spec of_key(term(), term()) :: node() | :unconfirmed | nil
  def of_key(name, key) do
    with [_ | _] = nodes <- with_name(name) do
      hearable = [node() | others_in_view()]

      case for({{:node, node}, _, _, _, _, true} <- states(nodes), node in hearable, do: node) do
        [] -> :unconfirmed
        nodes -> Enum.max_by(nodes, &:erlang.phash2({name, key, &1}))
      end
    else
      [] -> nil
    end
  end

  @doc "Whether this part of the cluster has enough nodes for calls with keys."
  @spec majority?() :: boolean()
  def majority? do
    case lease() do
      {:lease, expected, _serves, _creates, _epoch, others} when expected != nil ->
        2 * (length(others) + 1) > expected

      _ ->
        true
    end
  end

  @doc "Whether this node serves guests with keys now, by its lease (`Wasmex.Cluster.Lease`)."
  @spec serving?() :: boolean()
  def serving? do
    case lease() do
      {:lease, _expected, serves, _creates, _epoch, _others} -> now() <= serves
      nil -> false
    end
  end

  @doc "The same for a guest that was created in an epoch of the lease."
  @spec serves?(pos_integer()) :: boolean()
  def serves?(epoch) do
    case lease() do
      {:lease, _expected, serves, _creates, ^epoch, _others} -> now() <= serves
      _ -> false
    end
  end

  @doc "Whether this node may create a guest with a key now, and in which epoch."
  @spec may_create() :: {:ok, pos_integer()} | {:later, Error.t()}
  def may_create do
    case lease() do
      {:lease, _expected, _serves, creates, epoch, _others} ->
        if now() <= creates, do: {:ok, epoch}, else: {:later, unconfirmed()}

      nil ->
        {:later, unconfirmed()}
    end
  end

  @doc "The other nodes that this one hears, also those that are leaving."
  @spec others_in_view() :: [node()]
  def others_in_view, do: with({:lease, _, _, _, _, others} <- lease(), do: others) || []

  @spec in_view?(node()) :: boolean()
  def in_view?(node), do: node == node() or node in others_in_view()

  defp lease do
    with [row] <- :ets.lookup(__MODULE__, :lease), do: row, else: ([] -> nil)
  rescue
    # The cluster is not started, or is restarting.
    ArgumentError -> nil
  end

  @doc "Whether calls with keys need a majority of nodes."
  @spec limited?() :: boolean()
  def limited?, do: match?({:lease, expected, _, _, _, _} when expected != nil, lease())

  @doc "The error while a majority has not confirmed which nodes there are."
  @spec unconfirmed() :: Error.t()
  def unconfirmed do
    message = "a majority of nodes has not agreed yet on which nodes the cluster has"
    %Error{reason: :no_majority, details: %{message: message}}
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
