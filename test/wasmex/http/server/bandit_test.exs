defmodule Wasmex.HTTP.Server.BanditTest do
  # Bandit is no dependency. The stand-ins below check which options Bandit is given, that a request gets through its
  # plug, and what becomes of its errors; they don't show that Bandit itself serves. They exist while these tests run, for
  # a server would take them for the real one.
  use ExUnit.Case, async: false

  alias Wasmex.HTTP.Server

  @moduletag :capture_log
  @moduletag :tmp_dir

  @standins """
  defmodule Bandit do
    @keys ~w(plug scheme port ip keyfile certfile otp_app cipher_suite display_plug startup_log thousand_island_options
             http_options http_1_options http_2_options websocket_options)a

    def start_link(opts) do
      [] = Keyword.keys(opts) -- @keys
      # Where Thousand Island says that the port is taken.
      if opts[:port] == 1,
        do: {:error, {:shutdown, {:failed_to_start_child, :listener, :eaddrinuse}}},
        else: Agent.start_link(fn -> opts end)
    end
  end

  defmodule ThousandIsland do
    def listener_info(pid), do: {:ok, {{127, 0, 0, 1}, Agent.get(pid, & &1[:port])}}
  end
  """

  setup_all do
    if Code.ensure_loaded?(Bandit), do: raise("Bandit is there; these tests stand in for it")
    modules = for {module, _} <- Code.compile_string(@standins), do: module

    on_exit(fn ->
      for module <- modules do
        :code.delete(module)
        :code.purge(module)
      end
    end)
  end

  setup %{tmp_dir: dir} do
    File.write!(Path.join(dir, "hello.wat"), Wasmex.Answers.prints("hello"))
    {:ok, dir: dir}
  end

  defp bandit(server) do
    [pid] = for {Server.Bandit, pid, _, _} <- Supervisor.which_children(server), do: pid

    {pid, Agent.get(pid, & &1)}
  end

  test "a server runs on Bandit where it is there, with options of its own", %{dir: dir} do
    {:ok, server} =
      Server.start_link(
        dir: dir,
        port: 4321,
        bandit: [scheme: :https, certfile: "c", keyfile: "k"]
      )

    assert Server.port(server) == 4321
    {_pid, opts} = bandit(server)
    assert %{scheme: :https, certfile: "c", ip: {127, 0, 0, 1}, port: 4321} = Map.new(opts)

    {module, argument} = opts[:plug]

    conn = struct!(Plug.Conn, request_path: "/hello", adapter: {[], self()})

    assert %{status: 200} = module.call(conn, module.init(argument))
    assert_received {:resp, 200, _headers, "hello"}
    module.call(%{conn | request_path: "/"}, module.init(argument))
    assert_received {:resp, 200, _headers, page}
    assert page =~ "hello"
    assert Server.stop(server) == :ok
  end

  test "the built-in server when it is asked for", %{dir: dir} do
    {:ok, server} = Server.start_link(dir: dir, port: 0, web_server: :builtin)
    assert {200, _, _} = Wasmex.Client.get(Server.port(server), "/hello")
    assert Server.stop(server) == :ok

    assert_raise ArgumentError, ~r/bandit: requires/, fn ->
      Server.start_link(dir: dir, web_server: :builtin, bandit: [scheme: :https])
    end

    assert_raise ArgumentError, ~r/web_server/, fn ->
      Server.start_link(dir: dir, web_server: :cowboy)
    end
  end

  test "a port that is taken is the same error", %{dir: dir} do
    Process.flag(:trap_exit, true)

    assert {:error, {:shutdown, {:failed_to_start_child, _, reason}}} =
             Server.start_link(dir: dir, port: 1)

    assert reason == {:shutdown, {:listen, 1, :eaddrinuse}}
  end
end
