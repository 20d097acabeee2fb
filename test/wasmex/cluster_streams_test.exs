defmodule Wasmex.ClusterStreamsTest do
  use ExUnit.Case, async: false

  alias Wasmex.{Cluster, ClusterGuest, Code, Deploy, Error, Guest, Peers, Run}

  @moduletag :capture_log

  # Copies its input to its output, by 64 KiB.
  @cat ~s|(module
    (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "_start")
      (i32.store (i32.const 0) (i32.const 64))
      (loop $again
        (i32.store (i32.const 4) (i32.const 65536))
        (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (if (i32.load (i32.const 8)) (then
          (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (br $again))))))|

  # One other node, which has the program alone.
  setup do
    case Peers.distributed() do
      :ok -> :ok
      {:error, reason} -> flunk(reason)
    end

    [{_, node} = peer] = Peers.start(1)
    {:ok, _} = ClusterGuest.start(heartbeat: 20)
    {:ok, _} = :erpc.call(node, ClusterGuest, :start, [[heartbeat: 20]])
    Guest.wait_until(fn -> length(Cluster.nodes()) == 2 end)
    name = {:cat, System.unique_integer([:positive])}
    code = Code.new!({:bytes, @cat})
    {:ok, _} = Cluster.deploy(name, code, as: :program, timeout: 60_000)
    # It took what was compiled here, and gives the bytes to others when this node is gone.
    {:ok, _} = :erpc.call(node, Code.Store, :size, [code.hash])
    Deploy.undeploy(name)
    Guest.wait_until(fn -> length(Cluster.Nodes.with_name(name)) == 1 end)

    on_exit(fn ->
      Deploy.undeploy(name, 100)
      if pid = Process.whereis(Cluster), do: Supervisor.stop(pid)
    end)

    {:ok, name: name, peer: peer, node: node}
  end

  defp chunks(count), do: Stream.map(1..count, &String.duplicate(<<rem(&1, 256)>>, 32 * 1024))
  defp whole(count), do: count |> chunks() |> Enum.join()
  defp running(node), do: :erpc.call(node, Cluster.Callers, :count, [])

  test "bodies go to a program on another node and come from it", %{name: name, node: node} do
    for stdin <- [whole(20), chunks(20), Enum.to_list(chunks(20))] do
      assert {:ok, %Run{status: 0, stdout: stdout}} =
               Cluster.call(name, :run, [], stdin: stdin, timeout: 60_000)

      assert stdout == whole(20)
    end

    file = File.stream!("mix.exs")
    assert {:ok, %Run{stdout: stdout}} = Cluster.call(name, :run, [], stdin: file)
    assert stdout == File.read!("mix.exs")

    me = self()
    take = &send(me, {:printed, &1})
    assert {:ok, %Run{}} = Cluster.call(name, :run, [], stdin: "abc", stdout: take)
    assert_received {:printed, "abc"}
    {:ok, file} = StringIO.open("")

    assert {:ok, %Run{stdout: %IO.Stream{}}} =
             Cluster.call(name, :run, [], stdin: ["a", "b"], stdout: IO.stream(file, :line))

    assert StringIO.contents(file) == {"", "ab"}
    assert {:ok, %Run{stdout: ""}} = Cluster.call(name, :run, [])
    # Here it is the same.
    {:ok, _} = Deploy.deploy(name, Code.new!({:bytes, @cat}), as: :program)
    assert {:ok, %Run{stdout: "abc"}} = Cluster.call(name, :run, [], stdin: "abc")
    Guest.wait_until(fn -> running(node) == 0 end)
    assert Process.info(self(), :messages) == {:messages, []}
  end

  test "a slow reader slows the program and its input down", %{name: name, node: node} do
    read = :counters.new(1, [])
    endless = Stream.map(Stream.cycle(["x"]), &count(read, &1))
    stream = Cluster.stream!(name, [], stdin: endless, timeout: 60_000)

    first =
      Enum.reduce_while(stream, 0, fn chunk, size ->
        size = size + byte_size(chunk)
        if size > 1_000_000, do: {:halt, size}, else: {:cont, size}
      end)

    # What lies between the two ends is some windows and pipes, however much there is.
    assert :counters.get(read, 1) * 1_024 < first + 2_000_000
    Guest.wait_until(fn -> running(node) == 0 end)
    assert Process.info(self(), :messages) == {:messages, []}
  end

  defp count(read, _element) do
    :counters.add(read, 1, 1)
    String.duplicate("x", 1_024)
  end

  test "what fails on either side ends both", %{name: name, node: node} do
    raising = Stream.map(1..3, fn n -> if n == 3, do: raise("of the body"), else: "x" end)
    assert_raise RuntimeError, fn -> Cluster.call(name, :run, [], stdin: raising) end

    assert catch_throw(
             Cluster.call(name, :run, [], stdin: "x", stdout: fn _ -> throw(:enough) end)
           ) ==
             :enough

    assert {:error, %Error{reason: :timeout}} =
             Cluster.call(name, :run, [], stdin: Stream.cycle(["x"]), timeout: 100)

    assert {:error, %Error{reason: :not_deployed}} = Cluster.call(:nothing, :run, [], stdin: "x")

    assert_raise ArgumentError, ~r/stdin/, fn -> Cluster.call(name, :run, [], stdin: :stdio) end

    assert_raise ArgumentError, ~r/key/, fn ->
      Cluster.call(name, :run, [], stdin: "x", key: 1)
    end

    Guest.wait_until(fn -> running(node) == 0 end)
    assert Process.info(self(), :messages) == {:messages, []}
  end

  test "a reader that dies ends the program; a node that dies is an error", context do
    %{name: name, node: node, peer: peer} = context

    reader =
      spawn(fn -> Cluster.call(name, :run, [], stdin: Stream.cycle(["x"]), timeout: :infinity) end)

    Guest.wait_until(fn -> running(node) == 1 end)
    Process.exit(reader, :kill)
    Guest.wait_until(fn -> running(node) == 0 end)

    task =
      Task.async(fn ->
        Cluster.call(name, :run, [], stdin: Stream.cycle(["x"]), timeout: 30_000)
      end)

    Guest.wait_until(fn -> running(node) == 1 end)
    Peers.kill(peer)

    assert {:error, %Error{reason: :node_down, details: %{node: ^node}}} =
             Task.await(task, 60_000)
  end
end
