defmodule Wasmex.Cluster.Lease do
  @moduledoc false
  # Whether this node may serve guests with keys, as a value: it needs the promises of more than half of the expected
  # nodes. A promise is valid for a limited time, so a node that is cut off stops by itself, before others replace it.
  #
  # Each heartbeat carries a vote:
  #
  # - the sender's time, which the receiver echoes: a promise is counted from the time at which this node sent what the
  #   voter had received, so a delayed message cannot extend it
  # - the voter's view: the nodes that it hears, as a hash
  # - whether that view is settled: no node was lost from it for the time of a promise, so promises to lost nodes are over
  # - the duration of the promise in ms, 0 if the receiver was not in the view for that long
  #
  # A node serves existing guests while a majority promises. It creates a guest only while a majority also has exactly its
  # view, settled. Two such majorities have a node in common, so a guest of a node that was lost is replaced after that
  # node has stopped. Nodes in the view are asked for their guests before one is created, see `Wasmex.Cluster.Keeper`.

  # The duration of a promise: this many heartbeats, but at least this many ms.
  @beats 5
  @least 500

  @never -0x4000_0000_0000_0000

  defmodule Voter do
    @moduledoc false
    # Times in ms of this node's clock, except `sent`, the last time of the voter's clock. `until`: the end of its
    # promise; `view` and `viewed` are its settled view, and until when that is valid.
    @enforce_keys [:joined, :heard]
    defstruct [:joined, :heard, :sent, :view, until: nil, viewed: nil]
  end

  @enforce_keys [:expected, :ms, :lost]
  defstruct [
    :expected,
    :ms,
    # When a node was lost, or this one started.
    :lost,
    :view,
    voters: %{},
    # Until when this node serves and creates guests, and how often it has begun to serve.
    serves: @never,
    creates: @never,
    epoch: 1
  ]

  @type t :: %__MODULE__{}
  @type time :: integer()
  @type vote :: {time(), time() | nil, binary(), boolean(), non_neg_integer()}

  @doc "The lease of a node that just started; without an expected number of nodes it is not limited."
  @spec new(pos_integer() | nil, pos_integer(), node(), time()) :: t()
  def new(expected, heartbeat, own, now) do
    lease = %__MODULE__{expected: expected, ms: max(@beats * heartbeat, @least), lost: now}
    %{lease | view: hash(own, [])} |> update(now)
  end

  @doc "The vote for a node."
  @spec vote(t(), node(), time()) :: vote()
  def vote(%__MODULE__{} = lease, node, now) do
    voter = lease.voters[node]
    promise = if voter != nil and now - voter.joined >= lease.ms, do: lease.ms, else: 0
    {now, voter && voter.sent, lease.view, settled?(lease, now), promise}
  end

  defp settled?(lease, now), do: now - lease.lost >= lease.ms

  @doc "A vote of another node was received."
  @spec heard(t(), node(), node(), vote(), time()) :: t()
  def heard(%__MODULE__{voters: voters} = lease, own, node, {sent, echo, view, settled?, ms}, now) do
    new? = not is_map_key(voters, node)
    voter = Map.get(voters, node, %Voter{joined: now, heard: now})
    promised = if echo != nil and ms > 0, do: echo + ms, else: @never

    voter = %{
      voter
      | heard: now,
        sent: sent,
        until: max(voter.until || @never, promised),
        view: if(settled?, do: view),
        viewed: promised
    }

    lease = %{lease | voters: Map.put(voters, node, voter)}
    update(if(new?, do: viewed(lease, own), else: lease), now)
  end

  @doc "A node has left, and serves no guests any more."
  @spec left(t(), node(), node(), time()) :: t()
  def left(%__MODULE__{} = lease, own, node, now),
    do: %{lease | voters: Map.delete(lease.voters, node)} |> viewed(own) |> update(now)

  @doc "A node was lost: it may serve its guests until its promises end."
  @spec lost(t(), node(), node(), time()) :: t()
  def lost(%__MODULE__{voters: voters} = lease, own, node, now) when is_map_key(voters, node),
    do: left(%{lease | lost: now}, own, node, now)

  def lost(lease, _own, _node, _now), do: lease

  @doc "Time has passed: nodes that were silent for twice the time of a promise are lost, if the lease is limited."
  @spec tick(t(), node(), time()) :: t()
  def tick(%__MODULE__{expected: nil} = lease, _own, _now), do: lease

  def tick(%__MODULE__{voters: voters} = lease, own, now) do
    silent = for {node, %{heard: heard}} <- voters, now - heard > 2 * lease.ms, do: node
    silent |> Enum.reduce(lease, &lost(&2, own, &1, now)) |> update(now)
  end

  @doc "The nodes in the view, except for this one."
  @spec others(t()) :: [node()]
  def others(%__MODULE__{voters: voters}), do: Map.keys(voters)

  defp viewed(lease, own), do: %{lease | view: hash(own, others(lease))}

  defp hash(own, others), do: :erlang.md5(:erlang.term_to_binary(Enum.sort([own | others])))

  # An atom is greater than any number.
  defp update(%{expected: nil} = lease, _now),
    do: %{lease | serves: :infinity, creates: :infinity}

  defp update(%{voters: voters, serves: before} = lease, now) do
    # Besides this node.
    needed = div(lease.expected, 2)
    serves = latest(for({_, %{until: until}} <- voters, do: until), needed)
    viewed = for {_, %{view: view, viewed: until}} <- voters, view == lease.view, do: until
    creates = if settled?(lease, now), do: min(serves, latest(viewed, needed)), else: @never
    again? = before < now and serves >= now
    %{lease | serves: serves, creates: creates, epoch: lease.epoch + if(again?, do: 1, else: 0)}
  end

  # Until when so many of them are valid.
  defp latest(_times, 0), do: :infinity
  defp latest(times, needed), do: times |> Enum.sort(:desc) |> Enum.at(needed - 1, @never)
end
