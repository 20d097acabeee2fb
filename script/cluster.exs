# Started by script/cluster. This VM is in no cluster: it controls the nodes by their standard input and output (`:peer`), which no
# cut of the network touches.

Code.require_file("cluster_network.exs", __DIR__)

{:module, member, beam, _} =
  defmodule Proof.Member do
    @moduledoc "What runs on each node."

    alias Wasmex.{Cluster, Code, Deploy, Error, Pool}

    @name "proof"
    @callers 20
    @kinds [:ok, :node_down, :timeout, :no_majority, :overloaded, :other]

    @doc "Nodes in front have no guests of their own: all their calls go to others."
    def start(nodes, front?) do
      opts = [nodes: length(nodes), heartbeat: 100, follow: not front?]
      owned(fn -> {:ok, _} = Cluster.start_link(opts) end)
      # In the place of libcluster: connects again what came apart.
      owned(fn -> spawn(fn -> connect(nodes) end) end)
      :ok
    end

    defp owned(function) do
      parent = self()

      pid =
        spawn(fn ->
          function.()
          send(parent, {self(), :started})
          Process.sleep(:infinity)
        end)

      receive do
        {^pid, :started} -> :ok
      end
    end

    defp connect(nodes) do
      for node <- nodes, node != node(), do: Node.connect(node)
      Process.sleep(500)
      connect(nodes)
    end

    def deploy(version) do
      # It sleeps for 20 ms, so that some calls are always under way.
      wat = ~s|(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (global $n (mut i32) (i32.const 0))
        ;; A random number that goes along with the state.
        (global $life (mut i64) (i64.const 0))
        (func $sleep
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.const 20000000))
          (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
        (func (export "version") (result i32) (call $sleep) (i32.const #{version}))
        (func (export "count") (result i32 i64) (call $sleep)
          (if (i64.eqz (global.get $life)) (then
            (drop (call $random (i32.const 32) (i32.const 8)))
            (global.set $life (i64.load (i32.const 32)))))
          (global.set $n (i32.add (global.get $n) (i32.const 1)))
          (global.get $n) (global.get $life))
        (func (export "save") (result i32 i64) (global.get $n) (global.get $life))
        (func (export "restore") (param i32 i64)
          (global.set $n (local.get 0)) (global.set $life (local.get 1))))|

      state = [save: "save", restore: "restore"]
      opts = [wasi: true, size: 32, max_queue: 10_000, timeout: 5_000, state: state]
      Cluster.deploy(@name, Code.new!({:bytes, wat}, version: "#{version}"), opts)
    end

    @doc "So many calls a second from this node, until `stop/0`, however long the answers take."
    def load(rate) do
      counters = :counters.new(length(@kinds) + 1, [:write_concurrency])
      period = @callers * 1_000_000 / rate
      now = System.monotonic_time(:microsecond)

      callers =
        for n <- 1..@callers do
          first = now + round(period * n / @callers)
          spawn(fn -> call(counters, period, first, 0, n) end)
        end

      :persistent_term.put(__MODULE__, {counters, callers})
      :ets.new(__MODULE__, [:named_table, :public])
      :ets.give_away(__MODULE__, Process.whereis(:init), nil)
      :ok
    end

    # The next call is due a period after the one before was, whether it was late or not.
    defp call(counters, period, first, nth, n) do
      due = first + round(period * nth) - System.monotonic_time(:microsecond)

      receive do
        :stop -> :ets.insert(__MODULE__, for(message <- more(), do: {{:message, message}}))
      after
        max(div(due, 1_000), 0) ->
          :counters.add(counters, length(@kinds) + 1, 1)
          kind = kind(once(n, nth))
          :counters.add(counters, Enum.find_index(@kinds, &(&1 == kind)) + 1, 1)
          call(counters, period, first, nth + 1, n)
      end
    end

    # A second answer would be a message that nobody has taken.
    defp more, do: self() |> Process.info(:messages) |> elem(1)

    # Every fifth caller calls guests with state, which are those of the other nodes too. Half of the others may be called
    # again.
    defp once(n, nth) when rem(n, 5) == 0 do
      key = {n, rem(nth, 5)}
      began = System.os_time(:microsecond)
      result = Cluster.call(@name, "count", [], key: key, timeout: 3_000)

      with {:ok, [count, life]} <- result do
        ended = System.os_time(:microsecond)
        :ets.insert(__MODULE__, {{:counted, make_ref()}, {key, life, count, began, ended, node()}})
      end

      result
    end

    defp once(n, _nth),
      do: Cluster.call(@name, "version", [], timeout: 3_000, idempotent: rem(n, 2) == 0)

    defp kind({:ok, [n]}) when is_integer(n), do: :ok
    defp kind({:ok, [n, life]}) when is_integer(n) and is_integer(life), do: :ok

    defp kind({:error, %Error{reason: reason}})
         when reason in [:node_down, :timeout, :no_majority, :overloaded],
         do: reason

    defp kind(other) do
      :ets.insert(__MODULE__, {other})
      :other
    end

    @doc "Stops the load; what was asked and what came of it, once all are answered."
    def stop do
      {counters, callers} = :persistent_term.get(__MODULE__)
      monitors = for pid <- callers, do: {Process.monitor(pid), send(pid, :stop)}

      for {monitor, _} <- monitors do
        receive do
          {:DOWN, ^monitor, _, _, _} -> :ok
        end
      end

      {counted, others} = Enum.split_with(:ets.tab2list(__MODULE__), &match?({{:counted, _}, _}, &1))
      :ets.delete(__MODULE__)

      answered =
        for {kind, n} <- Enum.with_index(@kinds, 1),
            into: %{},
            do: {kind, :counters.get(counters, n)}

      {:counters.get(counters, length(@kinds) + 1), answered, others,
       for({_, counted} <- counted, do: counted)}
    end

    def undeploy, do: Deploy.undeploy(@name)
    def deployed?, do: match?({:ok, _}, Deploy.versions(@name))
    def nodes, do: length(Cluster.nodes())
    def call, do: Cluster.call(@name, "version", [])
    def drain, do: Cluster.drain(10_000)

    @doc "What nobody uses any more, and must be nothing."
    def left do
      versions = with {:ok, versions} <- Deploy.versions(@name), do: versions, else: (_ -> [])
      in_use = for %{pool: pool} <- versions, pool != nil, do: Pool.stats(pool).in_use
      %{callers: Cluster.Callers.count(), in_use: Enum.sum(in_use)}
    end

    def processes, do: length(Process.list())
  end

defmodule Proof do
  @moduledoc "The phases."

  @count 5
  @front [1, 3]

  def run(seconds, rate, member, net?, netem?) do
    nodes = for n <- 1..@count, do: name(n, net?)

    state = %{
      nodes: nodes,
      member: member,
      net?: net?,
      netem?: netem?,
      peers: %{},
      counted: [],
      seconds: seconds,
      rate: rate
    }

    state = Enum.reduce(1..@count, state, &boot(&2, &1))

    wait("all nodes know of all", fn -> all(state, :nodes) == List.duplicate(@count, @count) end)
    deploy(state, 1, 1)
    wait("all have it", fn -> Enum.all?(1..@count, &(on(state, &1, :call) == {:ok, [1]})) end)
    state = phase(state, "quiet", fn state -> pause(state) && state end)
    before = all(state, :processes)

    state = phase(state, "five rolling deploys", &deploys/1)
    state = phase(state, "two nodes drain, stop, and come back", &drains/1)
    kept!(state)
    state = phase(state, "kill -9 of two nodes, which come back", &kills/1)
    state = if net?, do: phase(state, "two nodes cut off, then healed", &cut/1), else: state

    state =
      if net?,
        do: phase(state, "30 ms delay, 10 ms jitter, 2 % loss, a cut node", &rough/1),
        else: state

    state = phase(state, "random kills and cuts", &random/1)
    counted!(state)
    left(state, before)
    for {_n, peer} <- state.peers, do: :peer.stop(peer)

    IO.puts(
      "\neach call was answered once, with its result or an error that says what happened; nothing is left"
    )
  end

  defp name(n, true), do: {~c"n#{n}", ~c"10.87.0.#{n}"}
  defp name(n, false), do: {~c"n#{n}x#{System.pid()}", ~c"127.0.0.1"}

  defp atom({name, host}), do: :"#{name}@#{host}"

  # With a shorter time until a silent connection counts as lost: 8 s in place of 60.
  defp boot(state, n) do
    {name, host} = Enum.at(state.nodes, n - 1)
    erl = System.find_executable("erl")

    exec =
      if state.net?,
        do: {System.find_executable("ip"), ["netns", "exec", "wasmex-#{n}", erl]},
        else: {erl, []}

    {program, args} = exec
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

    kernel = [
      ~c"-kernel",
      ~c"net_ticktime",
      ~c"8",
      ~c"-kernel",
      ~c"prevent_overlapping_partitions",
      ~c"false"
    ]

    {:ok, peer, _node} =
      :peer.start(%{
        name: name,
        host: host,
        longnames: true,
        connection: :standard_io,
        exec: {to_charlist(program), Enum.map(args, &to_charlist/1)},
        args: [~c"-setcookie", ~c"wasmex-proof", ~c"+S", ~c"1" | kernel] ++ paths,
        wait_boot: 60_000
      })

    {module, beam} = state.member

    for app <- [:elixir, :logger, :wasmex],
        do: {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [app], 60_000)

    :ok = :peer.call(peer, Logger, :configure, [[level: :none]])
    {:module, ^module} = :peer.call(peer, :code, :load_binary, [module, ~c"proof", beam])
    :ok = :peer.call(peer, module, :start, [Enum.map(state.nodes, &atom/1), n in @front])
    put_in(state.peers[n], peer)
  end

  # Load on all nodes, what happens meanwhile, and the account of those that are there from the beginning to the end.
  defp phase(state, what, happens) do
    for n <- 1..@count, do: :ok = on(state, n, :load, [div(state.rate, @count)])
    began = System.monotonic_time(:millisecond)
    before = state.peers
    state = happens.(state)

    seconds = (System.monotonic_time(:millisecond) - began) / 1_000

    through =
      for n <- 1..@count, state.peers[n] == before[n], do: on(state, n, :stop, [], :infinity)

    asked = through |> Enum.map(&elem(&1, 0)) |> Enum.sum()

    answers =
      through
      |> Enum.map(&elem(&1, 1))
      |> Enum.reduce(&Map.merge(&1, &2, fn _, a, b -> a + b end))

    others = Enum.flat_map(through, &elem(&1, 2))
    counted = Enum.flat_map(through, &elem(&1, 3))
    told = for {kind, n} <- answers, n > 0, do: "#{n} #{kind}"
    rate = "#{asked} calls in #{round(seconds)} s, #{round(asked / seconds)}/s"
    with_key = "#{length(counted)} of them with a key"
    IO.puts("#{what}: #{rate} from #{length(through)} nodes; #{Enum.join(told, ", ")}; #{with_key}")

    if asked != Enum.sum(Map.values(answers)),
      do: fail("#{asked} calls, and other answers: #{inspect(answers)}")

    if others != [], do: fail("answers that nobody expects: #{inspect(others, limit: 5)}")
    if answers.ok < asked / 2, do: fail("most calls failed")

    wait("all nodes know of all again", fn ->
      all(state, :nodes) == List.duplicate(@count, @count)
    end)

    %{state | counted: counted ++ state.counted}
  end

  defp pause(state), do: Process.sleep(state.seconds * 1_000)

  defp deploys(state) do
    for version <- 2..6 do
      deploy(state, 1 + rem(version, @count), version)
      Process.sleep(div(state.seconds * 1_000, 5))
    end

    state
  end

  defp deploy(state, n, version) do
    {:ok, versions} = on(state, n, :deploy, [version], :infinity)
    if map_size(versions) != @count, do: fail("deployed on #{map_size(versions)} nodes only")
    for n <- @front, do: on(state, n, :undeploy)
  end

  defp drains(state) do
    for n <- [2, 4], reduce: state do
      state ->
        :ok = on(state, n, :drain)
        restarted(state, n)
    end
  end

  defp kills(state), do: Enum.reduce([2, 4], state, &restarted(&2, &1))

  # Killed, and back with what the others have.
  defp restarted(state, n) do
    Process.sleep(div(state.seconds * 1_000, 4))
    pid = :peer.call(state.peers[n], System, :pid, [])
    {_, 0} = System.cmd("kill", ["-9", pid])
    Process.sleep(div(state.seconds * 1_000, 4))
    state = boot(state, n)
    if n not in @front, do: wait("node #{n} has what the others have", fn -> on(state, n, :deployed?) end)
    state
  end

  # At most two of five nodes are away. Those in front are not cut: alone they have no code.
  defp random(state) do
    cut = Enum.take_random([2, 4, 5], 2)
    victims = Enum.take_random(@front, 1) ++ cut
    IO.puts("  (killed or cut: #{Enum.map_join(victims, ", ", &"node #{&1}")})")

    for _ <- 1..6, reduce: state do
      state ->
        state =
          if :rand.uniform(2) == 1 and state.net?,
            do: briefly_cut(state, Enum.take_random(cut, :rand.uniform(2))),
            else: %{restarted(%{state | seconds: :rand.uniform(state.seconds)}, Enum.random(victims)) | seconds: state.seconds}

        wait("all nodes are back", fn -> all(state, :nodes) == List.duplicate(@count, @count) end)
        state
    end
  end

  defp briefly_cut(state, nodes) do
    for n <- nodes, do: ip(["link", "set", "wasmex-v#{n}", "down"])
    Process.sleep(500 + :rand.uniform(state.seconds * 1_000))
    for n <- nodes, do: ip(["link", "set", "wasmex-v#{n}", "up"])
    state
  end

  # A life is what one state was passed on in. So far no node was lost, so each key has one.
  defp kept!(state) do
    for {key, lives} <- lives(state), map_size(lives) > 1,
      do: fail("the state of the key #{inspect(key)} was lost: #{map_size(lives)} lives")
  end

  defp counted!(state) do
    lives = lives(state)
    for {key, lives} <- lives, do: one_at_a_time!(key, lives)

    for {key, lives} <- lives, {life, calls} <- lives do
      counts = for {_, _, count, _, _, _} <- calls, do: count

      if counts != Enum.uniq(counts),
        do: fail("two calls of the key #{inspect(key)} had the same result, life #{life}")
    end

    restarts = Enum.sum(for {_, lives} <- lives, do: map_size(lives) - 1)
    total = length(state.counted)
    IO.puts("#{total} calls with #{map_size(lives)} keys, which started again #{restarts} times")
  end

  defp lives(state) do
    for {key, calls} <- Enum.group_by(state.counted, &elem(&1, 0)), into: %{} do
      {key, Enum.group_by(calls, &elem(&1, 1))}
    end
  end

  # After the first answer of the next life no call that begins has an answer of the one before.
  defp one_at_a_time!(key, lives) do
    lives
    |> Map.values()
    |> Enum.sort_by(&first_answer/1)
    |> Enum.chunk_every(2, 1, :discard)
    |> Enum.each(fn [before, later] ->
      first = first_answer(later)

      for {_, _, count, began, ended, node} <- before, began > first do
        fail(
          "two guests of the key #{inspect(key)} at the same time: #{count} for #{node}, called #{began - first} us after " <>
            "the other's first answer, answered after #{ended - first}"
        )
      end
    end)
  end

  defp first_answer(calls), do: calls |> Enum.map(&elem(&1, 4)) |> Enum.min()

  # The other end of the cables of two nodes: they reach each other no more either.
  defp cut(state) do
    Process.sleep(1_000)
    for n <- [2, 4], do: ip(["link", "set", "wasmex-v#{n}", "down"])
    # Until both sides know, and some time after that.
    wait("the others see three nodes", fn -> on(state, 3, :nodes) == 3 end)
    Process.sleep(2_000)

    for n <- 1..@count, {:ok, [6]} != (answer = on(state, n, :call)) do
      fail("node #{n} has no answer in its part: #{inspect(answer)}")
    end

    for n <- [2, 4], do: ip(["link", "set", "wasmex-v#{n}", "up"])
    wait("the cluster is healed", fn -> all(state, :nodes) == List.duplicate(@count, @count) end)
    pause(state)
    state
  end

  defp rough(state) do
    network = disturb(state)
    Process.sleep(div(state.seconds * 1_000, 2))
    ip(["link", "set", "wasmex-v4", "down"])
    Process.sleep(div(state.seconds * 1_000, 4))
    ip(["link", "set", "wasmex-v4", "up"])
    Process.sleep(div(state.seconds * 1_000, 2))
    calm(state, network)
    state
  end

  defp disturb(%{netem?: true}) do
    for n <- 1..@count do
      netem = ~w(delay 30ms 10ms loss 2%)
      command = ["-n", "wasmex-#{n}", "qdisc", "add", "dev", "eth0", "root", "netem" | netem]
      {_, 0} = System.cmd("tc", command)
    end
  end

  defp disturb(_state),
    do: Proof.Network.start(for(n <- 1..@count, do: "wasmex-v#{n}"), "wasmex-br", 30, 10, 0.02)

  defp calm(%{netem?: true}, _) do
    for n <- 1..@count,
        do: System.cmd("tc", ["-n", "wasmex-#{n}", "qdisc", "del", "dev", "eth0", "root"])
  end

  defp calm(_state, network) do
    {sent, lost} = Proof.Network.stop(network)
    IO.puts("  (the switch forwarded #{sent} frames and lost #{lost})")
    if lost == 0, do: fail("the switch has lost no frame")
  end

  defp ip(args), do: {_, 0} = System.cmd("ip", args)

  defp left(state, before) do
    wait("nothing is in use", fn ->
      Enum.all?(all(state, :left), &(&1 == %{callers: 0, in_use: 0}))
    end)

    # Each key has a process on one of the nodes; some of the first ones may be elsewhere now, and new nodes have helpers of their own.
    most = Enum.max(before) + 60
    wait("processes have ended", fn -> Enum.all?(all(state, :processes), &(&1 <= most)) end)
  end

  defp on(state, n, function, args \\ [], timeout \\ 30_000),
    do: :peer.call(state.peers[n], elem(state.member, 0), function, args, timeout)

  defp all(state, function), do: for(n <- 1..@count, do: on(state, n, function))

  defp wait(what, done?, left \\ 600)
  defp wait(what, _done?, 0), do: fail("a minute went by, and not: #{what}")

  defp wait(what, done?, left),
    do: done?.() || (Process.sleep(100) && wait(what, done?, left - 1))

  defp fail(why) do
    IO.puts(:stderr, "FAILED: #{why}")
    System.halt(1)
  end
end

[seconds, rate] =
  case Enum.map(System.argv(), &String.to_integer/1) do
    [] -> [8, 1_000]
    [seconds] -> [seconds, 1_000]
    [seconds, rate] -> [seconds, rate]
  end

Logger.configure(level: :error)
[net?, netem?] = for name <- ["CLUSTER_NET", "CLUSTER_NETEM"], do: System.get_env(name) == "1"
Proof.run(seconds, rate, {member, beam}, net?, netem?)
