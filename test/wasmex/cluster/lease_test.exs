defmodule Wasmex.Cluster.LeaseTest do
  use ExUnit.Case, async: true

  alias Wasmex.Cluster.Lease

  # With heartbeats of 100 ms a promise is valid for 500 ms.
  @beat 100
  @promise 500

  defp pair(now), do: {Lease.new(2, @beat, :a, now), Lease.new(2, @beat, :b, now)}

  # Both send a vote, then both receive it.
  defp exchange({a, b}, now) do
    {to_b, to_a} = {Lease.vote(a, :b, now), Lease.vote(b, :a, now)}
    {Lease.heard(a, :a, :b, to_a, now), Lease.heard(b, :b, :a, to_b, now)}
  end

  defp exchanged(pair, times), do: Enum.reduce(times, pair, &exchange(&2, &1))

  test "a node alone, or without an expected number, serves" do
    assert %{serves: :infinity, creates: :infinity} = Lease.new(nil, @beat, :a, 0)
    lease = Lease.new(1, @beat, :a, 0)
    assert lease.serves == :infinity
    # Not before a former majority's promises are over.
    assert lease.creates < 0
    assert Lease.tick(lease, :a, @promise).creates == :infinity
  end

  test "a majority serves after the time of a promise, as long as it is heard" do
    {a, _} = pair(0) |> exchanged(0..400//@beat)
    assert a.serves < 0 and a.creates < 0
    {a, b} = pair(0) |> exchanged(0..1_000//@beat)
    # Counted from what the other one had received: the vote before.
    assert a.serves == 900 + @promise
    assert a.creates == a.serves and b.creates == a.creates
    assert a.epoch == 2
    # Silence ends it, and a return is a new epoch.
    a = Lease.tick(a, :a, 1_900)
    assert a.serves == 1_400
    assert Lease.others(a) == [:b]
    a = Lease.tick(a, :a, 1_000 + 2 * @promise + 1)
    assert Lease.others(a) == []
    assert a.creates < 0
    {a, _} = {a, b} |> exchanged(2_100..3_200//@beat)
    assert a.serves == 3_100 + @promise
    assert a.epoch == 3
  end

  test "a node that leaves is not waited for, a lost one is" do
    {a, _} = pair(0) |> exchanged(0..1_000//@beat)
    alone = %{a | expected: 1}
    assert Lease.left(alone, :a, :b, 1_000).creates == :infinity
    lost = Lease.lost(alone, :a, :b, 1_000)
    assert lost.serves == :infinity and lost.creates < 0
    assert Lease.tick(lost, :a, 1_000 + @promise).creates == :infinity
    assert Lease.lost(alone, :a, :unknown, 1_000) == alone
  end

  # Nodes with clocks of their own and messages that are late, lost, or reordered between nodes; connections break, also one by
  # one. A node that may create a guest does so, unless a node in its view has it and hands it over.
  defmodule Model do
    @nodes [:a, :b, :c, :d, :e]
    @beat 100

    def run(seed, steps) do
      :rand.seed(:exsss, {seed, 1, 2})
      skew = Map.new(@nodes, &{&1, :rand.uniform(1_000_000) - 500_000})
      leases = Map.new(@nodes, &{&1, Lease.new(5, @beat, &1, skew[&1])})
      state = %{leases: leases, skew: skew, cut: MapSet.new(), mail: [], guests: %{}, created: 0}
      Enum.reduce(1..steps, state, fn step, state -> step(state, step * 20) end)
    end

    defp step(state, now) do
      state
      |> weather()
      |> deliver(now)
      |> beats(now)
      |> serve(now)
    end

    # Connections are cut and healed; now and then a node is cut off from all others.
    defp weather(state) do
      case :rand.uniform(120) do
        1 -> %{state | cut: MapSet.put(state.cut, pair())}
        2 -> %{state | cut: isolated(Enum.random(@nodes), state.cut)}
        n when n in 3..5 -> %{state | cut: MapSet.new()}
        _ -> state
      end
    end

    defp isolated(node, cut),
      do: Enum.reduce(@nodes -- [node], cut, &MapSet.put(&2, Enum.sort([node, &1])))

    defp pair, do: @nodes |> Enum.take_random(2) |> Enum.sort()

    defp deliver(state, now) do
      {due, mail} = Enum.split_with(state.mail, fn {at, _, _, _} -> at <= now end)

      Enum.reduce(due, %{state | mail: mail}, fn {_, from, to, vote}, state ->
        update(state, to, &Lease.heard(&1, to, from, vote, now + state.skew[to]))
      end)
    end

    defp beats(state, now) do
      for node <- @nodes, rem(now, @beat) == 20 * rem(:erlang.phash2(node), 5), reduce: state do
        state ->
          state = update(state, node, &Lease.tick(&1, node, now + state.skew[node]))

          lost =
            for other <- Lease.others(state.leases[node]), noticed?(state, node, other), do: other

          at = now + state.skew[node]

          state =
            Enum.reduce(lost, state, fn o, s -> update(s, node, &Lease.lost(&1, node, o, at)) end)

          sent =
            for to <- @nodes -- [node], not cut?(state, node, to), do: mail(state, node, to, now)

          %{state | mail: sent ++ state.mail}
      end
    end

    # A cut connection is noticed sooner or later.
    defp noticed?(state, a, b), do: cut?(state, a, b) and :rand.uniform(8) == 1
    defp cut?(state, a, b), do: MapSet.member?(state.cut, Enum.sort([a, b]))

    # Up to half a second late.
    defp mail(state, from, to, now) do
      late = if :rand.uniform(10) == 1, do: :rand.uniform(500), else: :rand.uniform(40)
      {now + late, from, to, Lease.vote(state.leases[from], to, now + state.skew[from])}
    end

    defp update(state, node, change),
      do: %{state | leases: Map.update!(state.leases, node, change)}

    defp serve(state, now) do
      state = Enum.reduce(@nodes, state, &create(&2, &1, now))
      serving = for {node, epoch} <- state.guests, serves?(state, node, epoch, now), do: node
      if length(serving) > 1, do: throw({:two_nodes, now, serving})
      state
    end

    defp create(state, node, now) do
      lease = state.leases[node]
      mine? = serves?(state, node, state.guests[node], now)
      # Of five nodes all want the key, one after the other.
      wants? = not mine? and :rand.uniform(10) == 1

      if wants? and now + state.skew[node] <= lease.creates and asked?(state, node),
        do: %{
          state
          | guests:
              Map.take(state.guests, @nodes -- Lease.others(lease)) |> Map.put(node, lease.epoch),
            created: state.created + 1
        },
        else: state
    end

    # All nodes in the view reply, and know this one; their guests move here.
    defp asked?(state, node) do
      for other <- Lease.others(state.leases[node]), reduce: true do
        all? ->
          all? and not cut?(state, node, other) and node in Lease.others(state.leases[other])
      end
    end

    defp serves?(_state, _node, nil, _now), do: false

    defp serves?(state, node, epoch, now) do
      lease = state.leases[node]
      lease.epoch == epoch and now + state.skew[node] <= lease.serves
    end
  end

  test "no two nodes serve a key at the same time, whatever the network does" do
    states = for seed <- 1..20, do: Model.run(seed, 3_000)
    # And some do.
    assert Enum.all?(states, &(&1.created > 10))
  end
end
