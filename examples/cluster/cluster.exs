# Three nodes, 40 callers, versions deployed one after the other while they call, and at last a node that is killed.
# Started by examples/cluster/run.

# What another node needs to know, which is no application of its own here.
{:module, member, beam, _} =
  defmodule Example.Member do
    @moduledoc "In the place of a supervision tree, in which {Wasmex.Cluster, nodes: 3} would stand."
    def stay do
      {:ok, _} = Wasmex.Cluster.start_link(nodes: 3)
      Process.sleep(:infinity)
    end
  end

defmodule Example.Cluster do
  @moduledoc "The example."

  alias Wasmex.{Cluster, Code, Deploy}

  @callers 40

  def run(seconds, member) do
    {:ok, _} = Node.start(:"example-#{System.pid()}@127.0.0.1", :longnames)
    {:ok, _} = Cluster.start_link(nodes: 3)
    peers = for _ <- 1..2, do: peer(member)
    wait(fn -> length(Cluster.nodes()) == 3 end)
    say("three nodes: #{Enum.map_join(Cluster.nodes(), ", ", &short/1)}")

    {:ok, _} = Cluster.deploy("greet", code(1), size: 4, max_queue: 10_000)
    # So that calls go to the others, and can be lost.
    Deploy.undeploy("greet")
    tally = :counters.new(3, [:write_concurrency])
    callers = for _ <- 1..@callers, do: spawn_link(fn -> call(tally) end)

    for version <- 2..4 do
      Process.sleep(div(seconds * 1000, 5))
      began = System.monotonic_time(:millisecond)
      {:ok, versions} = Cluster.deploy("greet", code(version), size: 4, max_queue: 10_000)
      Deploy.undeploy("greet")
      ms = System.monotonic_time(:millisecond) - began
      say("version #{version} on #{map_size(versions)} nodes in #{ms} ms; #{told(tally)}")
    end

    {_peer, node} = hd(peers)
    Process.sleep(div(seconds * 1000, 5))
    say("kill -9 of #{short(node)}")
    {_, 0} = System.cmd("kill", ["-9", :erpc.call(node, System, :pid, [])])
    Process.sleep(div(seconds * 1000, 5))
    for pid <- callers, do: send(pid, :enough)
    say("left: #{Enum.map_join(Cluster.nodes(), ", ", &short/1)}; #{told(tally)}")
    say("the others go on: #{inspect(Cluster.call("greet", "version", []))}")
  end

  # Each caller calls again as soon as it has its answer.
  defp call(tally) do
    case Cluster.call("greet", "version", [], timeout: 10_000) do
      {:ok, [_]} -> :counters.add(tally, 1, 1)
      {:error, %Wasmex.Error{reason: :node_down}} -> :counters.add(tally, 2, 1)
      {:error, _} -> :counters.add(tally, 3, 1)
    end

    receive do
      :enough -> :ok
    after
      0 -> call(tally)
    end
  end

  defp told(tally) do
    [ok, lost, failed] = for n <- 1..3, do: :counters.get(tally, n)
    "#{ok} calls answered, #{lost} lost with their node, #{failed} failed"
  end

  defp code(version) do
    wat = ~s|(module (func (export "version") (result i32) i32.const #{version}))|
    Code.new!({:bytes, wat}, name: "greet", version: "#{version}")
  end

  defp peer({module, beam}) do
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
    cookie = Atom.to_charlist(Node.get_cookie())

    {:ok, peer, node} =
      :peer.start(%{
        name: :peer.random_name(),
        host: ~c"127.0.0.1",
        longnames: true,
        args: [~c"-setcookie", cookie | paths]
      })

    for app <- [:elixir, :logger, :wasmex],
        do: {:ok, _} = :erpc.call(node, :application, :ensure_all_started, [app])

    :erpc.call(node, Logger, :configure, [[level: :error]])

    {:module, ^module} = :erpc.call(node, :code, :load_binary, [module, ~c"example", beam])
    Node.spawn(node, module, :stay, [])
    {peer, node}
  end

  defp wait(fun), do: fun.() || (Process.sleep(20) && wait(fun))
  defp short(node), do: node |> Atom.to_string() |> String.split("@") |> hd()
  defp say(text), do: IO.puts("#{Time.truncate(Time.utc_now(), :second)}  #{text}")
end

Logger.configure(level: :error)

seconds =
  case System.argv() do
    [seconds] -> String.to_integer(seconds)
    _ -> 10
  end

Example.Cluster.run(seconds, {member, beam})
