# Nodes on this machine; started by bench/cluster.

{:module, member, beam, _} =
  defmodule Bench.Member do
    @moduledoc "Replaces a supervision tree on the other nodes."
    def stay do
      {:ok, _} = Wasmex.Cluster.start_link()
      Process.sleep(:infinity)
    end

    def same(x), do: x
  end

defmodule Bench.Cluster do
  @moduledoc "Rows of a table."

  alias Wasmex.{Cluster, Code, Deploy}

  @wat ~s|(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "work") (param $n i32) (result i32)
      (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 7)))|

  def run(quick?, member) do
    {:ok, _} = Node.start(:"bench-#{System.pid()}@127.0.0.1", :longnames)
    {:ok, _} = Cluster.start_link()
    nodes = for _ <- 1..4, do: peer(member)
    wait(fn -> length(Cluster.nodes()) == 5 end)
    IO.puts("| what | value | goal |\n|---|---|---|")
    overhead(hd(nodes), if(quick?, do: 500, else: 10_000))
    deployed(if(quick?, do: 50, else: 1_000))
    throughput(nodes, if(quick?, do: 1, else: 5))

    # The last one: the VM gives the memory of the code back later, which would be taken for that of deploys.
    transfer(nodes, if(quick?, do: 1, else: 20))
  end

  # Alternates on the same node, so that disturbances affect both.
  defp overhead(node, n) do
    {:ok, _} = Cluster.deploy("add", Code.new!({:bytes, @wat}), policy: {:reuse, 1_000_000})

    for other <- [node() | Cluster.nodes() -- [node]],
        other != node,
        do: :erpc.call(other, Deploy, :undeploy, ["add"])

    wait(fn -> length(Cluster.Nodes.with_name("add")) == 1 end)

    {plain, ours} =
      1..7
      |> Enum.map(fn _ ->
        {a, _} =
          :timer.tc(fn -> for _ <- 1..n, do: :erpc.call(node, Bench.Member, :same, [[1, 2]]) end)

        {b, _} =
          :timer.tc(fn -> for _ <- 1..n, do: {:ok, [3]} = Cluster.call("add", "add", [1, 2]) end)

        {a / n, b / n}
      end)
      |> Enum.unzip()

    [plain, ours] = for list <- [plain, ours], do: list |> Enum.sort() |> Enum.at(3)
    row(":erpc.call/4 of a function that does nothing", "#{round(plain)} µs", "")
    row("Cluster.call/4 of add to the same node", "#{round(ours)} µs", "")
    row("overhead", "#{Float.round(ours / plain, 2)}", "at most 1.3")
  end

  defp transfer(nodes, mib) do
    code = Code.new!({:bytes, module(:crypto.strong_rand_bytes(mib * 1024 * 1024))})

    # They share this machine's cache: the others would find in it what this node has compiled.
    for node <- [node() | nodes],
        do: :erpc.call(node, Application, :put_env, [:wasmex, :cache, false])

    for artefacts <- [false, true] do
      for node <- nodes,
          do: :erpc.call(node, Application, :put_env, [:wasmex, :code_artefacts, artefacts])

      code = if artefacts, do: %{code | engine: [cranelift_opt_level: :none]}, else: code
      {:ok, _} = Code.compiled(code)
      {us, results} = :timer.tc(fn -> :erpc.multicall(nodes, Code, :compiled, [code]) end)
      true = Enum.all?(results, &match?({:ok, {:ok, _}}, &1))
      what = if artefacts, do: "as an artefact", else: "compiled there"
      row("#{mib} MiB of code to 4 nodes, #{what}", "#{div(us, 1000)} ms", "")
    end
  end

  # As bytes, because text is limited to 16 MiB: a memory with this data, and a function.
  defp module(data) do
    pages = leb(div(byte_size(data), 65_536) + 1)

    sections =
      for {id, content} <- [
            {1, <<1, 0x60, 0, 0>>},
            {3, <<1, 0>>},
            {5, [1, 0, pages]},
            {7, <<1, 1, "f", 0, 0>>},
            {10, <<1, 2, 0, 0x0B>>},
            {11, [1, 0, 0x41, 0, 0x0B, leb(byte_size(data)), data]}
          ],
          do: [id, leb(IO.iodata_length(content)), content]

    IO.iodata_to_binary(["\0asm", <<1::little-32>> | sections])
  end

  defp leb(n) when n < 128, do: <<n>>
  defp leb(n), do: <<1::1, rem(n, 128)::7, leb(div(n, 128))::binary>>

  defp deployed(count) do
    code = fn n ->
      Code.new!({:bytes, ~s|(module (func (export "f") (result i32) i32.const #{n}))|})
    end

    {:ok, _} = Deploy.deploy({:one, 0}, code.(0))
    before = memory()
    for n <- 1..count, do: {:ok, _} = Deploy.deploy({:one, n}, code.(n), size: 4)

    row(
      "memory of a deployed name (of #{count})",
      "#{Float.round((memory() - before) / count, 1)} KiB",
      ""
    )

    for n <- 0..count, do: Deploy.undeploy({:one, n})
    functions(count)
  end

  # Of a folder. Each is other code.
  defp functions(count) do
    dir = Path.join(System.tmp_dir!(), "wasmex_bench_#{System.pid()}")
    File.mkdir_p!(dir)

    for n <- 1..count do
      wat =
        ~s|(module (memory (export "memory") 1) (data (i32.const 0) "#{n}") (func (export "_start")))|

      File.write!(Path.join(dir, "f#{n}.wat"), wat)
    end

    before = memory()

    {:ok, server} =
      Wasmex.HTTP.Server.start_link(dir: dir, port: 0, defaults: [compile: :in_process])

    each = Float.round((memory() - before) / count, 1)
    row("memory of an HTTP function of a folder (of #{count})", "#{each} KiB", "")
    Wasmex.HTTP.Server.stop(server)
    File.rm_rf!(dir)
  end

  defp throughput(nodes, seconds) do
    # One caller per node, with one core's worth of work.
    for count <- 1..4 do
      used = Enum.take(nodes, count)
      name = {:work, count}
      code = Code.new!({:bytes, @wat})

      for node <- used,
          do:
            {:ok, _} =
              :erpc.call(node, Deploy, :deploy, [name, code, [policy: {:reuse, 1_000_000}]])

      wait(fn -> length(Cluster.Nodes.with_name(name)) == count end)
      calls = :counters.new(1, [:write_concurrency])
      callers = for _ <- 1..(4 * count), do: spawn_link(fn -> work(name, calls) end)
      Process.sleep(seconds * 1000)
      for pid <- callers, do: send(pid, :enough)
      rate = div(:counters.get(calls, 1), seconds)
      cores = min(count, System.schedulers_online())

      row(
        "calls/s on #{count} nodes (#{System.schedulers_online()} cores in all)",
        "#{rate}, #{div(rate, cores)} a core",
        ""
      )
    end
  end

  defp work(name, calls) do
    {:ok, [7]} = Cluster.call(name, "work", [100_000], timeout: 60_000)
    :counters.add(calls, 1, 1)

    receive do
      :enough -> :ok
    after
      0 -> work(name, calls)
    end
  end

  defp memory do
    {text, 0} = System.cmd("grep", ["VmRSS", "/proc/#{System.pid()}/status"])
    [kib] = Regex.run(~r/\d+/, text)
    String.to_integer(kib)
  end

  defp peer({module, beam}) do
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
    args = [~c"-setcookie", Atom.to_charlist(Node.get_cookie()), ~c"+S", ~c"1" | paths]

    {:ok, _peer, node} =
      :peer.start(%{name: :peer.random_name(), host: ~c"127.0.0.1", longnames: true, args: args})

    for app <- [:elixir, :logger, :wasmex],
        do: {:ok, _} = :erpc.call(node, :application, :ensure_all_started, [app])

    :erpc.call(node, Logger, :configure, [[level: :error]])
    {:module, ^module} = :erpc.call(node, :code, :load_binary, [module, ~c"bench", beam])
    Node.spawn(node, module, :stay, [])
    node
  end

  defp row(what, value, goal), do: IO.puts("| #{what} | #{value} | #{goal} |")
  defp wait(fun), do: fun.() || (Process.sleep(20) && wait(fun))
end

Logger.configure(level: :error)
Bench.Cluster.run("--quick" in System.argv(), {member, beam})
