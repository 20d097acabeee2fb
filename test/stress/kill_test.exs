defmodule Wasmex.Stress.KillTest do
  use ExUnit.Case, async: false

  # Bounded by default; WASMEX_STRESS=10 does ten times as much.
  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.{Engine, Instance, Leaks, Module, Pipe, Store}
  alias Wasmex.Wasi.WasiOptions

  @wat """
  (module
    (import "e" "f" (func $f (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "spin") (loop br 0))
    (func (export "one") (result i32) i32.const 1)
    (func (export "imp") (param i32) (result i32) local.get 0 call $f)
    (func (export "nap") (result i32)
      (i32.store (i32.const 16) (i32.const 1))
      (i64.store (i32.const 24) (i64.const 60000000000))
      (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
    (func (export "read") (result i32)
      (i32.store (i32.const 0) (i32.const 100))
      (i32.store (i32.const 4) (i32.const 100))
      (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 200))))
  """

  # Made once and kept: not what these tests count.
  setup_all do
    Engine.default()
    :ok
  end

  @states [
    {"spin", []},
    {"imp", [0]},
    {"imp", [1]},
    {"imp", [2]},
    {"imp", [3]},
    {"nap", []},
    {"read", []}
  ]

  defp guest(module) do
    {:ok, stdin} = Pipe.new(mode: :stream)
    {:ok, store} = Store.new_wasi(%WasiOptions{stdin: stdin})

    function = fn
      _, 0 -> Process.sleep(:infinity)
      context, 1 -> Instance.call(context.instance, "spin", [])
      context, 2 -> Instance.call(context.instance, "imp", [0])
      context, 3 -> Instance.call(context.instance, "nap", [])
    end

    {:ok, instance} = Instance.new(store, module, %{e: %{f: {:fn, [:i32], [:i32], function}}})
    instance
  end

  defp module do
    {:ok, module} = Module.compile(Engine.default(), @wat)
    module
  end

  test "drivers and waiters killed in every state leave the store usable" do
    before = Wasmex.live_objects()

    Task.async(fn ->
      instance = guest(module())

      for n <- 1..Leaks.times(3000) do
        {name, params} = Enum.at(@states, rem(n, length(@states)))
        pids = for _ <- 1..2, do: spawn(fn -> Instance.call(instance, name, params) end)
        if rem(n, 3) == 0, do: Process.sleep(1), else: :erlang.yield()
        for pid <- pids, do: Process.exit(pid, :kill)
        assert Instance.call(instance, "one", []) == {:ok, [1]}
      end
    end)
    |> Task.await(:infinity)

    Leaks.assert_none(before)
  end

  test "stores whose drivers die are freed in whatever state they are" do
    before = Wasmex.live_objects()

    Task.async(fn ->
      module = module()

      pids =
        for n <- 1..Leaks.times(500) do
          {name, params} = Enum.at(@states, rem(n, length(@states)))
          spawn(fn -> Instance.call(guest(module), name, params) end)
        end

      Process.sleep(50)
      for pid <- pids, do: Process.exit(pid, :kill)
    end)
    |> Task.await(:infinity)

    Leaks.assert_none(before)
  end

  # A large term moves the call to a dirty scheduler before the guest runs, which goes on when the process is killed.
  test "drivers killed while their call begins on a dirty scheduler leave the store usable" do
    wat = """
    (module
      (func (export "spin") (param externref) (loop br 0))
      (func (export "one") (result i32) i32.const 1))
    """

    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, %{})

    for n <- 1..Leaks.times(30) do
      me = self()

      pid =
        spawn(fn ->
          term = Enum.to_list(1..3_000_000)
          send(me, {:ready, self()})
          Instance.call(instance, "spin", [term])
        end)

      assert_receive {:ready, ^pid}, 10_000
      Process.sleep(rem(3 * n, 50))
      Process.exit(pid, :kill)
      assert Instance.call(instance, "one", [], timeout: 30_000) == {:ok, [1]}
    end
  end

  test "compiling and instantiating are killed as well" do
    before = Wasmex.live_objects()
    go = File.read!("test/guests/go_greet/go_greet.wasm")

    for _ <- 1..Leaks.times(3) do
      pid = spawn(fn -> Module.compile(Engine.default(), go) end)
      Process.sleep(20)
      Process.exit(pid, :kill)
    end

    {:ok, module} = Module.compile(Engine.default(), "(module (func $s (loop br 0)) (start $s))")

    for _ <- 1..Leaks.times(100) do
      pid = spawn(fn -> Instance.new(elem(Store.new(), 1), module, %{}) end)
      :erlang.yield()
      Process.exit(pid, :kill)
    end

    Leaks.assert_none(Keyword.update!(before, :module, &(&1 + 1)), 1000)
  end

  test "a thousand processes on one store" do
    instance = guest(module())

    1..1000
    |> Task.async_stream(
      fn _ ->
        for _ <- 1..Leaks.times(10), do: {:ok, [1]} = Instance.call(instance, "one", [])
      end,
      max_concurrency: 1000,
      timeout: :infinity
    )
    |> Stream.run()
  end

  test "a server that is killed under its supervisor comes back, and its callers hear of it" do
    before = Wasmex.live_objects()
    name = :"server #{System.unique_integer([:positive])}"

    wat =
      ~s|(module (func (export "spin") (loop br 0)) (func (export "one") (result i32) i32.const 1))|

    guest = {Wasmex, %{bytes: wat, name: name}}

    {:ok, supervisor} =
      Supervisor.start_link([guest], strategy: :one_for_one, max_restarts: 10_000)

    for n <- 1..Leaks.times(200) do
      server = Process.whereis(name)

      callers =
        for function <- ["spin", "one", "spin"],
            do: spawn_monitor(fn -> Wasmex.call_function(server, function, [], :infinity) end)

      if rem(n, 3) == 0, do: Process.sleep(1), else: :erlang.yield()
      Process.exit(server, :kill)
      for {_, monitor} <- callers, do: assert_receive({:DOWN, ^monitor, :process, _, _}, 30_000)
      assert another(name, server, 30_000)
      assert Wasmex.call_function(name, "one", []) == {:ok, [1]}
    end

    Supervisor.stop(supervisor)
    Leaks.assert_none(before)
  end

  defp another(_name, _server, 0), do: false

  defp another(name, server, tries) do
    case Process.whereis(name) do
      pid when pid in [nil, server] -> Process.sleep(1) && another(name, server, tries - 1)
      _pid -> true
    end
  end

  test "servers stopped while callers queue" do
    before = Wasmex.live_objects()

    Task.async(fn ->
      for _ <- 1..Leaks.times(200) do
        {:ok, pid} = Wasmex.start_link(%{bytes: ~s|(module (func (export "spin") (loop br 0)))|})

        callers =
          for _ <- 1..5,
              do: spawn_monitor(fn -> Wasmex.call_function(pid, "spin", [], :infinity) end)

        :erlang.yield()
        Wasmex.stop(pid)
        for {_, monitor} <- callers, do: assert_receive({:DOWN, ^monitor, :process, _, _}, 5000)
      end
    end)
    |> Task.await(:infinity)

    Leaks.assert_none(before)
  end
end
