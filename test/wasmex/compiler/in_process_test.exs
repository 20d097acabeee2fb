defmodule Wasmex.Compiler.InProcessTest do
  # An endless compile can't be stopped in this VM: such tests have one of their own.
  use ExUnit.Case, async: true

  alias Wasmex.{ChildVM, Engine, Module}

  test "the result comes to whoever asked, also with a full mailbox" do
    for n <- 1..10_000, do: send(self(), n)

    1..20
    |> Enum.map(fn _ -> Task.async(fn -> Module.compile(Engine.default(), "(module)") end) end)
    |> Task.await_many(60_000)
    |> Enum.each(&assert {:ok, %Module{}} = &1)

    assert {:ok, _} = Module.compile(Engine.default(), "(module)")
    assert Process.info(self(), :message_queue_len) == {:message_queue_len, 10_000}
  end

  test "a killed waiter gets no place and leaks nothing" do
    go = File.read!("test/guests/go_main/go_main.wasm")

    pids =
      for _ <- 1..5,
          do: spawn(fn -> Module.compile(Engine.default(), go, compile: :in_process) end)

    for pid <- pids, do: Process.exit(pid, :kill)
    assert {:ok, _} = Module.compile(Engine.default(), "(module)")
  end

  test "endless compiles hold no dirty scheduler and no big garbage collection, and count while they run" do
    code = ~S"""
    Application.put_env(:wasmex, :compile_queue, 4)
    engine = Wasmex.HostileBytes.engine_without_limits()
    bomb = Wasmex.HostileBytes.endless_compile()
    here = [compile: :in_process]
    pids = for _ <- 1..3, do: spawn(fn -> Wasmex.Module.compile(engine, bomb, here) end)
    Process.sleep(300)
    # Big heaps are collected by dirty schedulers.
    task = Task.async(fn -> big = Enum.map(1..3_000_000, &{&1, &1}); :erlang.garbage_collect(); length(big) end)
    IO.inspect(gc: Task.yield(task, 30_000) != nil)
    IO.inspect(isolated: Wasmex.Module.compile(engine, "(module)", compile: :isolated) |> elem(0))
    waiter = spawn(fn -> Wasmex.Module.compile(engine, "(module)") end)
    Process.sleep(100)
    {:error, text} = Wasmex.Module.compile(engine, "(module)")
    IO.inspect(full: text)
    # Those that wait are dropped with their processes.
    for pid <- [waiter | pids], do: Process.exit(pid, :kill)
    Process.sleep(100)
    IO.inspect(alive: Enum.count([waiter | pids], &Process.alive?/1))
    more = for _ <- 1..2, do: spawn(fn -> Wasmex.Module.compile(engine, "(module)") end)
    Process.sleep(100)
    IO.inspect(waiting: Enum.count(more, &Process.alive?/1) <= 2)
    System.halt(0)
    """

    assert {output, 0} = ChildVM.run(code)
    assert output =~ "gc: true"
    assert output =~ "isolated: :ok"
    assert output =~ "full: \"4 compiles are already waiting"
    assert output =~ "alive: 0"
    assert output =~ "waiting: true"
  end
end
