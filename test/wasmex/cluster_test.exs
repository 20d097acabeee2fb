defmodule Wasmex.ClusterTest do
  use ExUnit.Case, async: false

  alias Wasmex.{Cluster, ClusterGuest, Deploy, Error, Guest, Peers}
  alias Wasmex.Deploy.Routes

  @moduletag :capture_log

  # Nodes for each test, this one among them or not: they are killed here.
  setup do
    case Peers.distributed() do
      :ok -> :ok
      {:error, reason} -> flunk(reason)
    end

    name = {:cluster, System.unique_integer([:positive])}

    on_exit(fn ->
      Deploy.undeploy(name, 100)
      if pid = Process.whereis(Cluster), do: Supervisor.stop(pid)
    end)

    {:ok, name: name}
  end

  defp cluster(count, opts \\ []) do
    peers = Peers.start(count)
    nodes = Enum.map(peers, &elem(&1, 1))
    for a <- nodes, b <- nodes, a != b, do: :erpc.call(a, Node, :connect, [b])
    {:ok, _} = ClusterGuest.start([heartbeat: 20] ++ opts)

    for node <- nodes,
        do: {:ok, _} = :erpc.call(node, ClusterGuest, :start, [[heartbeat: 20] ++ opts])

    everybody(Enum.sort([node() | nodes]))
    peers
  end

  # Until all know of all.
  defp everybody(nodes) do
    Guest.wait_until(fn ->
      Enum.all?(nodes, fn node -> :erpc.call(node, Cluster, :nodes, []) == nodes end)
    end)
  end

  defp deploy(name, n, opts \\ []),
    do: Cluster.deploy(name, ClusterGuest.plugin(n), ClusterGuest.options() ++ opts)

  defp known(name, count),
    do: Guest.wait_until(fn -> length(Cluster.Nodes.with_name(name)) == count end)

  describe "three nodes" do
    test "a call runs where there is room, a rolling deploy under load loses none", %{name: name} do
      [{_, a}, {_, b}] = peers = cluster(2)
      assert {:error, %Error{reason: :not_deployed}} = Cluster.call(name, "version", "")
      assert {:ok, versions} = deploy(name, 1)
      assert versions == %{node() => 1, a => 1, b => 1}
      known(name, 3)
      assert Cluster.call(name, "version", "") == {:ok, <<1>>}
      # From a node that has it not.
      assert Deploy.undeploy(name) == :ok
      known(name, 2)
      assert Cluster.call(name, "version", "") == {:ok, <<1>>}
      assert %{^a => %{load: load, delay: delay}} = Cluster.info()
      assert is_float(load) and is_integer(delay)

      callers =
        for _ <- 1..10,
            do:
              Task.async(fn ->
                for _ <- 1..50, do: Cluster.call(name, "version", "", timeout: 60_000)
              end)

      for n <- 2..4, do: {:ok, _} = deploy(name, n)
      results = callers |> Task.await_many(60_000) |> List.flatten()
      assert length(results) == 500
      assert Enum.all?(results, &match?({:ok, <<n>>} when n in 1..4, &1))
      Guest.wait_until(fn -> Cluster.call(name, "version", "") == {:ok, <<4>>} end)
      assert %{^a => {:ok, _}, ^b => {:ok, _}} = Cluster.rollback(name)
      assert Cluster.call(name, "version", "") == {:ok, <<3>>}

      # The deadline goes along, and so does what is allowed.
      {:ok, _} = deploy(name, 5, functions: ["spin"])
      assert {:error, %Error{reason: :not_allowed}} = Cluster.call(name, "version", "")
      Deploy.undeploy(name)
      known(name, 2)
      assert {:error, %Error{reason: :timeout}} = Cluster.call(name, "spin", "", timeout: 50)
      Guest.wait_until(fn -> Enum.all?(peers, &idle?(&1, name)) end)
    end

    test "a caller that dies ends its guest on the other node; a node that dies is an error", %{
      name: name
    } do
      [{_, a} = first, second] = cluster(2)
      {:ok, _} = deploy(name, 1)
      Deploy.undeploy(name)
      known(name, 2)

      caller = spawn(fn -> Cluster.call(name, "spin", "", timeout: :infinity) end)
      Guest.wait_until(fn -> not (idle?(first, name) and idle?(second, name)) end)
      Process.exit(caller, :kill)
      Guest.wait_until(fn -> idle?(first, name) and idle?(second, name) end)

      # kill -9 in the middle of calls.
      tasks = spinning(name, [first, second], [])
      Peers.kill(first)
      results = Task.await_many(tasks, 60_000)

      assert Enum.all?(
               results,
               &match?({:error, %Error{reason: reason}} when reason in [:node_down, :timeout], &1)
             )

      assert Enum.any?(
               results,
               &match?({:error, %Error{reason: :node_down, details: %{node: ^a}}}, &1)
             )

      Guest.wait_until(fn -> a not in Cluster.nodes() end)
      for _ <- 1..20, do: assert(Cluster.call(name, "version", "") == {:ok, <<1>>})
    end

    # So many calls that each of the nodes has one.
    defp spinning(name, peers, tasks) do
      if Enum.any?(peers, &idle?(&1, name)) do
        task = Task.async(fn -> Cluster.call(name, "spin", "", timeout: 3_000) end)
        Process.sleep(10)
        spinning(name, peers, [task | tasks])
      else
        tasks
      end
    end

    test "calls go on while nodes are killed: each has one answer, and idempotent ones have the right one",
         %{name: name} do
      [first | _] = cluster(3)
      {:ok, _} = deploy(name, 1)
      Deploy.undeploy(name)
      known(name, 3)
      test = self()

      callers =
        for n <- 1..20 do
          Task.async(fn ->
            for i <- 1..40 do
              if n == 1 and i == 10, do: send(test, :under_way)
              Cluster.call(name, "version", "", timeout: 30_000, idempotent: rem(n, 2) == 0)
            end
          end)
        end

      assert_receive :under_way
      Peers.kill(first)

      {plain, idempotent} =
        callers
        |> Task.await_many(60_000)
        |> Enum.with_index(1)
        |> Enum.split_with(fn {_, n} -> rem(n, 2) == 1 end)

      for {results, _} <- plain,
          result <- results,
          do:
            assert(result == {:ok, <<1>>} or match?({:error, %Error{reason: :node_down}}, result))

      for {results, _} <- idempotent, result <- results, do: assert(result == {:ok, <<1>>})
    end
  end

  describe "keys" do
    test "each has one guest with its state, which goes along when nodes come, drain and when versions change",
         %{name: name} do
      [{_, a} = first] = cluster(1)
      {:ok, _} = deploy(name, 1, state: [save: "save", restore: "restore"])
      known(name, 2)
      keys = for n <- 1..30, do: "key #{n}"

      for round <- 1..2,
          key <- keys,
          do: assert(Cluster.call(name, "count", "", key: key) == {:ok, <<round>>})

      # From the other node they are the same.
      for key <- keys,
          do:
            assert(:erpc.call(a, Cluster, :call, [name, "count", "", [key: key]]) == {:ok, <<3>>})

      here = Cluster.Keyed.count()
      assert here in 1..29

      # A new version goes on with what was counted.
      {:ok, _} = deploy(name, 2, state: [save: "save", restore: "restore"])
      Guest.wait_until(fn -> :erpc.call(a, Cluster.Nodes, :info, [])[node()].names[name] == 2 end)
      for key <- keys, do: assert(Cluster.call(name, "count", "", key: key) == {:ok, <<4>>})
      assert Cluster.call(name, "version", "", key: hd(keys)) == {:ok, <<2>>}

      # The other one leaves: nothing is lost.
      assert :erpc.call(a, Cluster, :drain, [5_000]) == :ok
      Guest.wait_until(fn -> Cluster.nodes() == [node()] end)
      for key <- keys, do: assert(Cluster.call(name, "count", "", key: key) == {:ok, <<5>>})
      assert Cluster.Keyed.count() == 30
      Peers.stop(first)
    end

    @state [save: "save", restore: "restore"]

    # Calls of this many keys in turn until told to stop, each key in order; the results by key.
    defp counting(name, keys) do
      parent = self()

      for key <- keys do
        Task.async(fn -> count_until_stopped(name, key, parent, []) end)
      end
    end

    defp count_until_stopped(name, key, parent, results) do
      result = Cluster.call(name, "count", "", key: key, timeout: 30_000)
      if length(results) == 2, do: send(parent, {:under_way, key})

      receive do
        :stop -> Enum.reverse([result | results])
      after
        1 -> count_until_stopped(name, key, parent, [result | results])
      end
    end

    defp stopped(tasks) do
      for task <- tasks, do: send(task.pid, :stop)
      Task.await_many(tasks, 60_000)
    end

    # The first result that is not the number of its call, with those before. Bytes: they start again after 255.
    defp miscounted(results) do
      for {result, n} <- Enum.with_index(results, 1),
          result != {:ok, <<n>>},
          do: {n, Enum.slice(results, max(n - 3, 0), 5)}
    end

    test "lose no call and no state while versions change, nodes join and leave", %{name: name} do
      [{_, a}] = cluster(1)
      {:ok, _} = deploy(name, 1, state: @state)
      known(name, 2)
      keys = for n <- 1..12, do: {:key, n}
      tasks = counting(name, keys)
      for key <- keys, do: assert_receive({:under_way, ^key}, 30_000)
      for n <- 2..4, do: {:ok, _} = deploy(name, n, state: @state)

      # A third node gets a part of the keys.
      [{_, b}] = Peers.start(1)
      :erpc.call(b, Node, :connect, [a])
      {:ok, _} = :erpc.call(b, ClusterGuest, :start, [[heartbeat: 20, follow: true]])
      known(name, 3)
      Guest.wait_until(fn -> :erpc.call(b, Cluster.Keyed, :count, []) > 0 end)

      # Two leave: what they had is here.
      for node <- [a, b], do: assert(:erpc.call(node, Cluster, :drain, [5_000]) == :ok)
      Guest.wait_until(fn -> Cluster.Keyed.count() == 12 end)
      results = stopped(tasks)
      assert Enum.flat_map(results, &Enum.take(miscounted(&1), 1)) == []
      for node <- [a, b], do: assert(:erpc.call(node, Cluster.Keyed, :count, []) == 0)
    end

    test "move without being called, and end with their name", %{name: name} do
      {:ok, _} = ClusterGuest.start(heartbeat: 20)
      {:ok, _} = deploy(name, 1, state: @state)
      for key <- 1..30, do: {:ok, <<1>>} = Cluster.call(name, "count", "", key: key)
      [{_, a}] = Peers.start(1)
      {:ok, _} = :erpc.call(a, ClusterGuest, :start, [[heartbeat: 20, follow: true]])
      Guest.wait_until(fn -> :erpc.call(a, Cluster.Keyed, :count, []) > 0 end)

      Guest.wait_until(fn ->
        Cluster.Keyed.count() + :erpc.call(a, Cluster.Keyed, :count, []) == 30
      end)

      for key <- 1..30, do: assert(Cluster.call(name, "count", "", key: key) == {:ok, <<2>>})
      :ok = Deploy.undeploy(name)
      :ok = :erpc.call(a, Deploy, :undeploy, [name])
      Guest.wait_until(fn -> Cluster.Keyed.count() == 0 end)
      Guest.wait_until(fn -> :erpc.call(a, Cluster.Keyed, :count, []) == 0 end)
    end

    test "stay with their state when it can't be restored by a new version", %{name: name} do
      {:ok, _} = ClusterGuest.start(heartbeat: 20)
      {:ok, _} = deploy(name, 1, state: @state)
      assert Cluster.call(name, "count", "", key: 1) == {:ok, <<1>>}
      {:ok, _} = deploy(name, 2, state: [save: "save", restore: "fail"])
      # The functions are those of the version that has the guest: it saves, the new one fails.
      assert {:error, %Wasmex.Trap{}} = Cluster.call(name, "count", "", key: 1)
      {:ok, _} = Deploy.rollback(name)
      assert Cluster.call(name, "count", "", key: 1) == {:ok, <<2>>}
    end

    test "of a part without majority end: after it they start again elsewhere", %{name: name} do
      [{_, a} = first, second] = cluster(2, nodes: 3)
      {:ok, _} = deploy(name, 1, state: @state)
      known(name, 3)
      keys = for n <- 1..20, do: {:key, n}
      for key <- keys, do: {:ok, <<1>>} = Cluster.call(name, "count", "", key: key)
      assert Cluster.Keyed.count() > 0
      Peers.kill(first)
      Peers.kill(second)
      Guest.wait_until(fn -> Cluster.Keyed.count() == 0 end)

      for key <- keys do
        assert {:error, %Error{reason: :no_majority}} =
                 Cluster.call(name, "count", "", key: key, timeout: 0)
      end

      assert a not in Cluster.nodes()
    end

    test "need more than half of the nodes; calls without keys do not", %{name: name} do
      [first, second] = cluster(2, nodes: 3)
      {:ok, _} = deploy(name, 1)
      known(name, 3)
      assert Cluster.call(name, "count", "", key: 1) == {:ok, <<1>>}
      Peers.kill(first)
      Guest.wait_until(fn -> length(Cluster.nodes()) == 2 end)
      # Keys of the lost node start again, after it must have stopped.
      for key <- 1..10,
          do: assert({:ok, _} = Cluster.call(name, "count", "", key: key, idempotent: true))

      Peers.kill(second)
      Guest.wait_until(fn -> length(Cluster.nodes()) == 1 end)
      assert {:error, %Error{reason: :no_majority}} = Cluster.call(name, "count", "", key: 1)
      assert Cluster.call(name, "version", "") == {:ok, <<1>>}
    end
  end

  test "a node that follows has what the others have deployed", %{name: name} do
    [{_, a}] = Peers.start(1)
    {:ok, _} = ClusterGuest.start(heartbeat: 20)
    {:ok, _} = deploy(name, 7)
    {:ok, _} = :erpc.call(a, ClusterGuest, :start, [[heartbeat: 20, follow: true]])

    Guest.wait_until(fn -> :erpc.call(a, Deploy, :call, [name, "version", ""]) == {:ok, <<7>>} end)
  end

  describe "10,000 names" do
    @many 10_000

    # Rows as deploys write them.
    defp named(range, number) do
      for n <- range do
        version = {100, number, nil, :counters.new(2, []), nil}

        route = %Routes{
          server: self(),
          functions: nil,
          timeout: 1,
          state: nil,
          versions: [version]
        }

        Routes.put({:many, n}, route)
      end
    end

    setup do
      on_exit(fn -> for n <- 1..@many, do: Routes.delete({:many, n}) end)
    end

    test "are sent once, and then what changes" do
      [{_, a}, {_, b}] = Peers.start(2)
      {:ok, _} = ClusterGuest.start(heartbeat: 20)
      # One of the nodes only shows what this one sends.
      spy = Node.spawn(a, ClusterGuest, :spy, [self()])
      assert_receive {^spy, {:beat, _, 0, _, _, _}}, 30_000
      {:ok, _} = :erpc.call(b, ClusterGuest, :start, [[heartbeat: 20]])
      everybody_else = fn n -> :erpc.call(b, Cluster.Nodes, :with_name, [{:many, n}]) end
      named(1..@many, 1)
      Guest.wait_until(fn -> Enum.all?([1, @many], &(everybody_else.(&1) == [node()])) end)
      last = version(spy, 0, @many)

      # Heartbeats do not grow with the names.
      for _ <- 1..5 do
        assert_receive {^spy, {:beat, _, ^last, _, _, _} = beat}, 30_000
        assert :erlang.external_size(beat) < 200
      end

      # One that changes is sent alone, and a node that missed it has it after the next heartbeat.
      named([7], 2)
      assert_receive {^spy, {:names, _, ^last, _, %{{:many, 7} => 2} = changes}}, 30_000
      assert map_size(changes) == 1
      send({Cluster.Members, node()}, {:ask, spy})
      assert_receive {^spy, {:names, _, nil, _, all}}, 30_000
      assert map_size(all) == @many and all[{:many, 7}] == 2

      # A removed one is nowhere, and all are gone with the node.
      Routes.delete({:many, 8})
      Guest.wait_until(fn -> everybody_else.(8) == [] end)
      assert everybody_else.(9) == [node()]
      Supervisor.stop(Cluster)
      rows = fn -> :erpc.call(b, :ets, :match_object, [Cluster.Nodes, {{:name, :_}, :_}]) end
      Guest.wait_until(fn -> rows.() == [] end)
    end

    # Until all have been sent; the changes add up.
    defp version(_spy, version, left) when left <= 0, do: version

    defp version(spy, version, left) do
      receive do
        {^spy, {:names, _, ^version, next, changes}} ->
          version(spy, next, left - map_size(changes))
      after
        30_000 -> flunk("#{left} names were not sent after version #{version}")
      end
    end
  end

  test "names come back when the table of routes fails", %{name: name} do
    {:ok, _} = deploy(name, 1)
    routes = Process.whereis(Routes)
    Guest.kill(routes)
    Guest.wait_until(fn -> Cluster.call(name, "version", "") == {:ok, <<1>>} end)
    assert Deploy.undeploy(name) == :ok
    assert {:error, %Error{reason: :not_deployed}} = Cluster.call(name, "version", "")
  end

  test "without a cluster a name is called here" do
    assert {:error, %Error{reason: :not_deployed}} = Cluster.call({:nothing, 1}, "f", [])
    assert_raise ArgumentError, ~r/:timeot/, fn -> Cluster.call(:x, "f", [], timeot: 1) end
  end

  defp idle?({_, node}, name) do
    case :erpc.call(node, Deploy, :versions, [name]) do
      {:ok, [%{pool: pool}]} -> :erpc.call(node, Wasmex.Pool, :stats, [pool]).in_use == 0
      _ -> true
    end
  end
end
