defmodule Wasmex.Peers do
  @moduledoc """
  Nodes of their own for tests, on this machine: `:peer` of OTP. They end with the test, and may be
  killed before.
  """

  @doc "Makes this node one of a cluster; `{:error, reason}` where that can't be."
  @spec distributed() :: :ok | {:error, String.t()}
  def distributed do
    if Node.alive?() do
      :ok
    else
      with {:ok, epmd} <- epmd(),
           _ = System.cmd(epmd, ["-daemon"]),
           {:ok, _} <- Node.start(:"wasmex-test-#{System.pid()}@127.0.0.1", :longnames),
           do: :ok,
           else: (error -> {:error, "no distribution here: #{inspect(error)}"})
    end
  end

  defp epmd do
    case System.find_executable("epmd") || beside_erl() do
      nil -> {:error, :no_epmd}
      path -> {:ok, path}
    end
  end

  defp beside_erl do
    [:code.root_dir(), "erts-*", "bin", "epmd"]
    |> Path.join()
    |> Path.wildcard()
    |> List.first()
  end

  @doc "So many nodes, each with the application started; `{peer, node}`."
  @spec start(pos_integer()) :: [{pid(), node()}]
  def start(count) do
    1..count
    |> Enum.map(fn _ -> Task.async(fn -> boot() end) end)
    |> Task.await_many(60_000)
    |> tap(fn peers -> ExUnit.Callbacks.on_exit(fn -> Enum.each(peers, &stop/1) end) end)
  end

  defp boot do
    args = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

    {:ok, peer, node} =
      :peer.start(%{
        name: :peer.random_name(),
        host: ~c"127.0.0.1",
        longnames: true,
        args:
          [
            ~c"-setcookie",
            Atom.to_charlist(Node.get_cookie()),
            ~c"-kernel",
            ~c"prevent_overlapping_partitions",
            ~c"false"
          ] ++ args,
        wait_boot: 30_000
      })

    for app <- [:elixir, :logger, :wasmex],
        do: {:ok, _} = :erpc.call(node, :application, :ensure_all_started, [app])

    :erpc.call(node, Logger, :configure, [[level: :none]])
    {peer, node}
  end

  @doc "As `kill -9` of its operating system process."
  @spec kill({pid(), node()}) :: :ok
  def kill({_peer, node}) do
    pid = :erpc.call(node, System, :pid, [])
    {_, 0} = System.cmd("kill", ["-9", pid])
    Wasmex.Guest.wait_until(fn -> node not in Node.list() end)
    :ok
  end

  @doc "Makes an instance of the code, on the other node, and calls its function."
  @spec use_code(node(), Wasmex.Code.t(), String.t()) :: {:ok, [term()]} | {:error, Exception.t()}
  def use_code(node, code, function),
    do: :erpc.call(node, __MODULE__, :use_code, [code, function])

  @doc false
  def use_code(code, function) do
    {:ok, pool} = Wasmex.Pool.start_link(source: code)
    result = Wasmex.Pool.call(pool, function, [])
    GenServer.stop(pool)
    result
  end

  @doc "Ends it."
  @spec stop({pid(), node()}) :: :ok
  def stop({peer, _node}) do
    :peer.stop(peer)
  catch
    :exit, _ -> :ok
  end
end
