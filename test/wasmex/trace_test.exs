defmodule Wasmex.TraceTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Trace, Trap}

  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  defp trace(program, args, opts \\ []) do
    test = self()
    result = Wasmex.run(program, args, [trace: &send(test, {:traced, &1})] ++ opts)
    {result, events()}
  end

  defp events do
    receive do
      {:traced, event} -> [event | events()]
    after
      0 -> []
    end
  end

  defp find(events, name), do: Enum.find(events, &(&1.name == name))

  test "every call to WASI, with its arguments, its result and its time" do
    {{:ok, run}, events} = trace(@rust, ["echo"], stdin: "Hello wasip1")
    assert run.stdout == "Hello wasip1"

    assert %Trace{args: [fd: 0], outputs: [data: {:bytes, 12, "Hello wasip1"}]} =
             find(events, "fd_read")

    assert %Trace{args: [fd: 1, data: {:bytes, 12, "Hello wasip1"}], result: :ok} =
             write = find(events, "fd_write")

    assert Trace.format(%{write | duration: 4_000}) ==
             ~s|fd_write(1, 12 bytes "Hello wasip1") = ok <4 µs>|

    assert Enum.all?(events, &(&1.duration >= 0 and &1.namespace == "wasi_snapshot_preview1"))
  end

  test "a failure has its name, an exit its status" do
    {_, events} = trace(@rust, ["cat", "/d/none"], dirs: %{"/d" => "lib"})
    assert %Trace{result: :noent, args: args} = event = find(events, "path_open")
    assert args[:path] == "none" and :read in args[:rights]
    assert Trace.format(event) =~ ~r/^path_open\(3, "none", .*read.*\) = noent </
    {_, events} = trace(@rust, ["exit", "3"])
    assert %Trace{result: {:exit, 3}, args: [status: 3]} = List.last(events)
  end

  test "a call in which the program was stopped is unfinished" do
    {{:error, _}, events} = trace(@rust, ["sleep", "60000"], timeout: 1_000)
    assert %Trace{name: "poll_oneoff", result: :unfinished} = List.last(events)
  end

  test "imports made in Elixir are traced in their place" do
    wat = ~S"""
    (module
      (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
      (import "env" "add" (func $add (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $yield)) (drop (call $add (i32.const 2) (i32.const 3))) (drop (call $yield))))
    """

    imports = %{env: %{add: {:fn, [:i32, :i32], [:i32], fn _context, a, b -> a + b end}}}
    {{:ok, _}, events} = trace(wat, [], imports: imports)
    assert ["sched_yield", "add", "sched_yield"] = Enum.map(events, & &1.name)
    add = Enum.at(events, 1)
    assert %Trace{namespace: "env", args: [2, 3], result: {:returned, 5}} = add
    assert Trace.format(%{add | duration: 1}) == "env.add(2, 3) = 5 <1 ns>"

    raising = %{env: %{add: {:fn, [:i32, :i32], [:i32], fn _, _, _ -> raise "no" end}}}
    {{:error, _}, events} = trace(wat, [], imports: raising)
    assert %Trace{result: {:raised, %RuntimeError{}}} = List.last(events)
  end

  test "pointers that lie do no harm" do
    wat = ~S"""
    (module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const -8) (i32.const -1) (i32.const 0)))
        (drop (call $write (i32.const 1) (i32.const 65532) (i32.const 100000) (i32.const -1)))
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const -1) (i32.const -1) (i32.const -1)
          (i64.const -1) (i64.const -1) (i32.const -1) (i32.const -1)))))
    """

    {result, events} = trace(wat, [])
    assert elem(result, 0) == elem(Wasmex.run(wat), 0)
    assert events != []
    for event <- events, do: assert(is_binary(Trace.format(event)))
  end

  test "a function that raises ends the program" do
    assert_raise RuntimeError, "seen enough", fn ->
      Wasmex.run(@rust, ["flood"], trace: fn _ -> raise "seen enough" end)
    end

    # Also in the middle of a call of its own to Elixir; what the program holds is let go of.
    me = self()

    input =
      Stream.resource(fn -> nil end, fn _ -> {["x"], nil} end, fn _ -> send(me, :let_go) end)

    wat = ~s|(module
      (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
      (import "e" "f" (func $f)) (memory (export "memory") 1)
      (func (export "_start") (i32.store (i32.const 4) (i32.const 16))
        (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32))) (call $f)))|

    raises = fn %{name: name} -> if name == "f", do: raise("seen enough") end
    opts = [trace: raises, stdin: input, imports: %{e: %{f: {:fn, [], [], fn _ -> nil end}}}]
    assert_raise RuntimeError, "seen enough", fn -> Wasmex.run(wat, [], opts) end
    assert_received :let_go
    {:ok, pid} = Wasmex.Program.start_link([program: wat] ++ opts)
    assert_receive {^pid, {:error, %{reason: :import_raised} = error}}
    assert Exception.message(error) =~ "seen enough"
  end

  test "traps are in it" do
    wat = ~S"""
    (module (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
      (func (export "_start") (drop (call $close (i32.const 9)))))
    """

    # Without a memory WASI refuses to work.
    {{:error, error}, _events} = trace(wat, [])
    assert Exception.message(error) =~ "memory"
    {{:error, %Trap{}}, events} = trace(@rust, ["panic"])
    assert find(events, "fd_write")
  end
end
