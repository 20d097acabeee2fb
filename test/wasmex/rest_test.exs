defmodule Wasmex.RestTest do
  # Not async: `stacks_move` applies to the whole VM.
  use ExUnit.Case

  alias Wasmex.{ChildVM, Engine, EngineConfig, Instance, Module, Native, Store}
  alias Wasmex.Wasi.WasiOptions

  # Sleeps at the bottom of `depth` calls, each with a local that is used afterwards.
  @sleeper """
  (module
    (import "wasi_snapshot_preview1" "poll_oneoff"
      (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "spin") (loop br 0))
    (func $sum (export "sum") (param $depth i32) (param $ms i64) (result i32)
      (local $kept i32)
      (local.set $kept (i32.mul (local.get $depth) (i32.const 3)))
      (if (result i32) (local.get $depth)
        (then (i32.add (local.get $kept)
          (call $sum (i32.sub (local.get $depth) (i32.const 1)) (local.get $ms))))
        (else
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 0) (i64.const 77))
          (i64.store (i32.const 24) (i64.mul (local.get $ms) (i64.const 1000000)))
          (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
          (i32.add (i32.load (i32.const 64)) (i32.load (i32.const 128)))))))
  """

  # Longer than `Wasmex.Call.rests_after/0`.
  @long 160

  setup context do
    on_exit(fn -> Native.stacks_move(true) end)
    known? = Native.stacks_move(true)
    if context[:moved] == false, do: Native.stacks_move(false)
    %{known?: known?}
  end

  defp sleeper(engine \\ Engine.default()) do
    {:ok, store} = Store.new_wasi(%WasiOptions{}, nil, engine)
    {:ok, module} = Module.compile(store, @sleeper)
    {:ok, instance} = Instance.new(store, module, %{})
    {store, instance}
  end

  defp sum(depth), do: 3 * div(depth * (depth + 1), 2) + 77 + 1

  test "the layout of suspended stacks is known here", %{known?: known?} do
    arch = :erlang.system_info(:system_architecture) |> List.to_string()
    # Not under script/asan.
    assert known? == (not ChildVM.sanitized?() and (arch =~ "x86_64" or arch =~ "aarch64"))
  end

  for moved <- [true, false] do
    @tag moved: moved
    test "guests continue after a long wait (stacks moved: #{moved})" do
      {:ok, dense} = Engine.new(%EngineConfig{density: true})

      # The deepest does not fit in a few pages, and is not moved.
      for engine <- [Engine.default(), dense], depth <- [0, 3, 40, 300] do
        {_store, instance} = sleeper(engine)
        Task.async(fn -> {depth, Instance.call(instance, "sum", [depth, @long])} end)
      end
      |> Task.await_many()
      |> Enum.each(fn {depth, result} -> assert result == {:ok, [sum(depth)]} end)
    end
  end

  test "a moved stack unwinds when the call times out, and the instance can be called again" do
    {_store, instance} = sleeper()

    assert {:error, %Wasmex.Error{reason: :timeout}} =
             Instance.call(instance, "sum", [3, 60_000], timeout: @long)

    assert {:ok, [result]} = Instance.call(instance, "sum", [3, 1])
    assert result == sum(3)
  end

  test "a moved stack unwinds when its process is killed, and the instance can be called again" do
    {_store, instance} = sleeper()
    parent = self()

    {pid, monitor} =
      spawn_monitor(fn ->
        send(parent, :started)
        Instance.call(instance, "sum", [3, 60_000])
      end)

    assert_receive :started
    Process.sleep(@long)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
    assert Instance.call(instance, "sum", [3, 1]) == {:ok, [sum(3)]}
  end

  test "a store that is closed meanwhile answers its call first" do
    {store, instance} = sleeper()
    call = Task.async(fn -> Instance.call(instance, "sum", [3, @long]) end)
    Process.sleep(div(@long, 2) + 50)
    Store.close(store)
    assert Task.await(call) == {:ok, [sum(3)]}
  end

  test "only the process that drives a call can put it to rest" do
    {store, instance} = sleeper()
    call = Task.async(fn -> Instance.call(instance, "sum", [3, 50]) end)
    for _ <- 1..100, do: assert(Native.call_rest(store.resource) == :ok)
    assert Task.await(call) == {:ok, [sum(3)]}
    assert Native.call_rest(store.resource) == :ok
  end

  test "a guest that waits in a call nested in an import rests" do
    {:ok, store} = Store.new_wasi(%WasiOptions{})
    {:ok, inner} = Module.compile(store, @sleeper)
    {:ok, sleeper} = Instance.new(store, inner, %{})

    {:ok, outer} =
      Module.compile(store, """
      (module
        (import "env" "nap" (func $nap (param i32) (result i32)))
        (func (export "outer") (param i32) (result i32)
          (i32.add (local.get 0) (call $nap (local.get 0)))))
      """)

    nap = fn _context, depth ->
      {:ok, [sum]} = Instance.call(sleeper, "sum", [depth, @long])
      sum
    end

    imports = %{env: %{nap: {:fn, [:i32], [:i32], nap}}}
    {:ok, instance} = Instance.new(store, outer, imports)
    assert Instance.call(instance, "outer", [5]) == {:ok, [5 + sum(5)]}
  end

  test "servers and programs rest too" do
    {:ok, server} = Wasmex.start_link(%{bytes: @sleeper, wasi: %WasiOptions{}})

    # Successive waits share one timer.
    assert Wasmex.call_function(server, "sum", [3, 60]) == {:ok, [sum(3)]}
    assert Wasmex.call_function(server, "sum", [3, @long]) == {:ok, [sum(3)]}
    assert Wasmex.call_function(server, "sum", [2, @long]) == {:ok, [sum(2)]}

    program = """
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const #{@long * 1_000_000}))
        (call $exit
          (i32.add (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))
            (i32.load (i32.const 128))))))
    """

    assert {:ok, %{status: 1}} = Wasmex.run(program)
  end
end
