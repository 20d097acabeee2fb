defmodule Wasmex.HTTP.ClusterTest do
  use ExUnit.Case, async: false

  alias Wasmex.{Client, Cluster, ClusterGuest, Deploy, Guest, Peers}
  alias Wasmex.HTTP.Server

  @moduletag :capture_log
  @moduletag :tmp_dir

  defp text(text) do
    ~s|(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
         (memory (export "memory") 1) (data (i32.const 8) "#{text}")
         (func (export "_start")
           (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const #{byte_size(text)}))
           (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))|
  end

  setup_all do
    case Peers.distributed() do
      :ok -> %{shared: hd(Peers.start(1))}
      {:error, reason} -> flunk(reason)
    end
  end

  # This node and another one, of which only this one has a server and a folder.
  setup %{tmp_dir: dir, shared: shared} = context do
    {_, node} = peer = if context[:killed], do: hd(Peers.start(1)), else: shared
    {:ok, _} = ClusterGuest.start(heartbeat: 20, follow: true)
    {:ok, _} = :erpc.call(node, ClusterGuest, :start, [[heartbeat: 20, follow: true]])
    Guest.wait_until(fn -> length(Cluster.nodes()) == 2 end)
    File.write!(Path.join(dir, "f.wat"), text("one"))
    {:ok, server} = ClusterGuest.serve(dir: dir, port: 0, cluster: true)

    on_exit(fn ->
      if Process.alive?(server), do: Server.stop(server)
      if pid = Process.whereis(Cluster), do: Supervisor.stop(pid)
      unless context[:killed], do: left(node)
    end)

    {:ok, server: server, port: Server.port(server), node: node, peer: peer}
  end

  defp left(node) do
    :ok = :erpc.call(node, Supervisor, :stop, [Cluster])

    for name <- :erpc.call(node, Deploy, :names, []),
        do: :erpc.call(node, Deploy, :undeploy, [name])
  end

  defp get(port, path), do: port |> Client.get(path) |> then(&{elem(&1, 0), elem(&1, 2)})

  defp there(node, function),
    do: :erpc.call(node, Wasmex.HTTP.Versions, :list, [:cluster, function])

  test "a changed file is deployed on all nodes, and the page shows them", context do
    %{server: server, port: port, node: node, tmp_dir: dir} = context
    assert [%{version: 1}] = there(node, "f")
    File.write!(Path.join(dir, "f.wat"), text("two"))
    Server.refresh(server)
    assert [%{version: 2}] = there(node, "f")
    assert get(port, "/f") == {200, "two"}
    name = Server.deployed_as(server, "f")
    assert Cluster.rollback(name) == %{node() => {:ok, 3}, node => {:ok, 3}}
    assert get(port, "/f") == {200, "one"}

    page = fn -> elem(Client.request(port, "GET", "/", [{"Accept", "text/html"}], ""), 2) end
    Guest.wait_until(fn -> page.() =~ ~r/#{node}.*f 3/s end)
    assert page.() =~ "#{node()} (this one)"
    assert {200, _, json} = Client.get(port, "/")
    assert json =~ ~r/"name": "#{node}"/

    File.rm!(Path.join(dir, "f.wat"))
    Server.refresh(server)
    Guest.wait_until(fn -> there(node, "f") == [] end)
  end

  @tag :killed
  test "a request for a function that is elsewhere runs there, with bodies in parts", context do
    %{server: server, port: port, node: node, peer: peer, tmp_dir: dir} = context
    File.cp!("test/guests/component_http/component_http.wasm", Path.join(dir, "g.wasm"))
    Server.refresh(server)
    assert [%{version: 1}] = there(node, "g")
    # As on a node that has no such file.
    File.rm!(Path.join(dir, "g.wasm"))
    :sys.replace_state(folder(server), &%{&1 | files: %{}})
    :ets.delete(:sys.get_state(folder(server)).table, "g")
    Deploy.undeploy({:http, :cluster, "g"})
    Guest.wait_until(fn -> map_size(elsewhere("g")) == 1 end)

    body = :crypto.strong_rand_bytes(3_000_000)
    assert {200, _, ^body} = Client.request(port, "POST", "/g/echo", [], body)
    assert {404, _, _} = Client.get(port, "/g/status?404")
    assert {500, _, "500 Internal Server Error\n"} = Client.get(port, "/g/trap")

    long = String.duplicate("x", 9_000_000)
    assert 413 == elem(Client.request(port, "POST", "/g/echo", [], long), 0)

    assert {404, _, _} = Client.get(port, "/h")
    Guest.wait_until(fn -> :erpc.call(node, Cluster.Callers, :count, []) == 0 end)
    assert [%{calls: calls}] = there(node, "g")
    assert calls >= 3

    Peers.kill(peer)
    assert {404, _, _} = Client.get(port, "/g/status?200")
  end

  defp elsewhere(name) do
    for {node, known} <- Cluster.info(),
        is_map_key(known.names, {:http, :cluster, name}),
        into: %{},
        do: {node, known}
  end

  defp folder(server) do
    {_, service, _, _} =
      server |> Supervisor.which_children() |> List.keyfind(Wasmex.HTTP.Service, 0)

    {_, folder, _, _} =
      service |> Supervisor.which_children() |> List.keyfind(Wasmex.HTTP.Folder, 0)

    folder
  end

  test "without room here a request runs elsewhere", %{tmp_dir: dir, node: node} do
    File.cp!("test/guests/component_http/component_http.wasm", Path.join(dir, "g.wasm"))
    narrow = [cluster: true, concurrency: 1, queue: 1, defaults: [timeout: 1_500]]
    {:ok, narrow} = ClusterGuest.serve([dir: dir, port: 0] ++ narrow)
    port = Server.port(narrow)
    assert [%{version: 1}] = there(node, "g")
    Guest.wait_until(fn -> map_size(elsewhere("g")) == 2 end)

    # Three that run until their timeout: one here, one that waits a second for its place, one elsewhere.
    spins = for _ <- 1..3, do: Task.async(fn -> Client.get(port, "/g/spin") end)
    Guest.wait_until(fn -> :erpc.call(node, Cluster.Callers, :count, []) >= 1 end)
    for spin <- spins, do: assert({504, _, _} = Task.await(spin, 60_000))
    assert {200, _, "hello from a component"} = Client.get(port, "/g/hello")
    Server.stop(narrow)
  end

  test "needs the node's part of the cluster", %{tmp_dir: dir} do
    Supervisor.stop(Process.whereis(Cluster))

    assert_raise ArgumentError, ~r/Wasmex.Cluster/, fn ->
      Server.start_link(dir: dir, port: 0, cluster: true)
    end
  end

  if Wasmex.Browser.find() do
    test "the page in a browser", %{port: port, tmp_dir: dir} do
      dom = Wasmex.Browser.document("http://127.0.0.1:#{port}/", dir)
      assert dom =~ ~s|<table id="nodes">|
    end
  end
end
