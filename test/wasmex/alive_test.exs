defmodule Wasmex.AliveTest do
  # What the whole VM has of something is counted here, so nothing else runs meanwhile.
  use ExUnit.Case, async: false

  import Wasmex.Guest, only: [wait_until: 1]

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.{Cat, Error, Guest, Instance, Linker, Module, Pipe, Run, Store, Template}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions}

  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  # The first of each kind leaves what is kept for the next: threads, tables, compiled files.
  setup_all do
    {:ok, _} = Wasmex.run(@rust, ["sleep", "1"])
    {_instance, _} = component()
    :ok
  end

  defp alive(kind), do: Keyword.fetch!(Wasmex.live_objects(), kind)
  defp threads, do: length(File.ls!("/proc/self/task"))
  defp component, do: Guests.instance("types", Guests.types_imports(%{}), [])

  # So many guests that sleep for a minute, all at once: the threads that came with them.
  defp threads_of(count, sleep) do
    {threads, guests} = {threads(), alive(:execution)}
    pids = for n <- 1..count, do: spawn_link(fn -> sleep.(n) end)
    wait_until(fn -> alive(:execution) == guests + count end)
    more = threads() - threads
    Enum.each(pids, &Guest.kill/1)
    wait_until(fn -> alive(:execution) <= guests end)
    more
  end

  test "1,000 programs that sleep need no threads" do
    sleep = &Wasmex.run(@rust, ["sleep", "60000"], env: %{"N" => "#{&1}"})
    assert threads_of(1_000, sleep) <= 0
  end

  test "500 instances that sleep need no threads" do
    {:ok, module} = Module.compile(Wasmex.Engine.default(), File.read!(@rust))
    {:ok, template} = Linker.new() |> Linker.allow_wasi() |> Linker.instantiate_pre(module)

    sleep = fn _ ->
      {:ok, store} = Store.new_wasi(%WasiOptions{args: ["rust_wasi", "sleep", "60000"]})
      {:ok, instance} = Template.instantiate(template, store)
      Instance.call(instance, "_start", [])
    end

    assert threads_of(500, sleep) <= 0
  end

  test "a process that is killed takes its program along" do
    before = alive(:execution)

    for args <- [["spin"], ["sleep", "10000"], ["echo"]] do
      {:ok, never} = Pipe.new(mode: :stream)

      Guest.kill_while(
        fn -> Wasmex.run(@rust, args, stdin: never) end,
        fn _ -> alive(:execution) > before end
      )
    end

    wait_until(fn -> alive(:execution) <= before end)
  end

  test "input that raises stops the guest" do
    before = alive(:execution)
    broken = Stream.map([1], fn _ -> raise "no more" end)
    assert_raise RuntimeError, "no more", fn -> Wasmex.run(@rust, ["echo"], stdin: broken) end
    thrown = Stream.map([1], fn _ -> throw(:x) end)
    assert catch_throw(Wasmex.run(@rust, ["echo"], stdin: thrown)) == :x
    assert {:error, %Error{reason: :input}} = Wasmex.run(@rust, ["echo"], stdin: [:atom])
    :erlang.garbage_collect()
    assert alive(:execution) <= before
  end

  test "components leave nothing" do
    count = fn -> Enum.map([:component_instance, :handle, :store, :execution], &alive/1) end
    before = count.()

    {pid, monitor} =
      spawn_monitor(fn ->
        for _ <- 1..20 do
          {instance, _} = component()
          {:ok, 3} = Wasmex.Components.Instance.call(instance, "add", [1, 2])
        end

        assert alive(:component_instance) > hd(before)
      end)

    assert_receive {:DOWN, ^monitor, _, ^pid, :normal}
    wait_until(fn -> Enum.all?(Enum.zip(count.(), before), fn {now, then} -> now <= then end) end)
  end

  @tag :tmp_dir
  test "many that want the same file wait for one that compiles it", %{tmp_dir: dir} do
    path = Path.join(dir, "program.wasm")
    File.cp!("test/guests/go_main/go_main.wasm", path)
    modules = alive(:module)
    tasks = for _ <- 1..50, do: Task.async(fn -> Wasmex.run(path, ["0"]) end)
    assert Enum.all?(Task.await_many(tasks, 60_000), &match?({:ok, %Run{status: 0}}, &1))
    assert alive(:module) <= modules + 1
  end

  test "input of a gigabyte passes through without being kept" do
    chunk = :binary.copy("x", 1024 * 1024)
    counter = :counters.new(1, [])
    count = fn bytes -> :counters.add(counter, 1, byte_size(bytes)) end
    before = :erlang.memory(:binary)

    assert {:ok, _} =
             Wasmex.run(Cat.template(), [], stdin: Stream.duplicate(chunk, 1024), stdout: count)

    assert :counters.get(counter, 1) == 1024 * 1024 * 1024
    assert :erlang.memory(:binary) - before < 200 * 1024 * 1024
  end

  @tag :tmp_dir
  test "a guest opens so many files and no more", %{tmp_dir: dir} do
    File.write!(Path.join(dir, "a"), "x")

    # The error of the system with which it ends, or how many it opened.
    wat = """
    (module
      (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "a")
      (func (export "open") (param i32) (result i32) (local $opened i32) (local $errno i32)
        (loop $l
          (local.set $errno
            (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
          (if (local.get $errno) (then (return (i32.sub (i32.const 0) (local.get $errno)))))
          (local.set $opened (i32.add (local.get $opened) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $opened) (local.get 0))))
        (local.get $opened)))
    """

    open = [%PreopenOptions{path: dir, alias: "/", read_only: true}]
    {:ok, store} = Store.new_wasi(%WasiOptions{preopen: open})
    instance = Guest.instance(store, wat)
    assert Instance.call(instance, "open", [800]) == {:ok, [800]}
    assert {:error, error} = Instance.call(instance, "open", [1_000])
    assert Exception.message(error) =~ "resource table"
    Store.close(store)
    assert File.read!(Path.join(dir, "a")) == "x"
  end
end
