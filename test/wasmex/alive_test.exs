defmodule Wasmex.AliveTest do
  # What the whole VM has of something is counted here, so nothing else runs meanwhile.
  use ExUnit.Case, async: false

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.{Error, Guest, Instance, Linker, Module, Pipe, Run, Store, Template}
  alias Wasmex.Wasi.WasiOptions

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

  # Ends with the test's own time at the latest.
  defp wait_until(fun), do: fun.() || (Process.sleep(5) && wait_until(fun))

  # Runs it in so many processes at once: the most threads and guests that were there together, and what came out.
  defp at_once(count, fun) do
    tasks = for n <- 1..count, do: Task.async(fn -> fun.(n) end)
    {threads, guests} = most(tasks, {0, 0})
    {threads, guests, Task.await_many(tasks, 60_000)}
  end

  defp most(tasks, {threads, guests}) do
    most = {max(threads, threads()), max(guests, alive(:execution))}

    if Enum.any?(tasks, &Process.alive?(&1.pid)),
      do: Process.sleep(5) && most(tasks, most),
      else: most
  end

  test "1,000 programs that sleep need no threads" do
    before = threads()
    sleep = &Wasmex.run(@rust, ["sleep", "800"], env: %{"N" => "#{&1}"})
    {threads, guests, runs} = at_once(1000, sleep)
    assert threads <= before
    assert guests > 100
    assert Enum.all?(runs, &match?({:ok, %Run{status: 0}}, &1))
  end

  test "500 instances that sleep need no threads" do
    {:ok, module} = Module.compile(Wasmex.Engine.default(), File.read!(@rust))
    {:ok, template} = Linker.new() |> Linker.allow_wasi() |> Linker.instantiate_pre(module)
    before = threads()

    sleep = fn _ ->
      {:ok, store} = Store.new_wasi(%WasiOptions{args: ["rust_wasi", "sleep", "500"]})
      {:ok, instance} = Template.instantiate(template, store)
      Instance.call(instance, "_start", [])
    end

    {threads, guests, results} = at_once(500, sleep)
    assert threads <= before
    assert guests > 100
    assert Enum.uniq(results) == [{:ok, []}]
  end

  test "a process that is killed takes its program along" do
    before = alive(:execution)

    for args <- [["spin"], ["sleep", "10000"], ["echo"]] do
      {:ok, never} = Pipe.new(mode: :stream)
      Guest.kill_while(fn -> Wasmex.run(@rust, args, stdin: never) end)
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

  test "many that want the same file wait for one that compiles it" do
    path = Path.join(System.tmp_dir!(), "wasmex-alive-#{System.unique_integer([:positive])}.wasm")
    on_exit(fn -> File.rm(path) end)
    File.cp!("test/guests/go_main/go_main.wasm", path)
    modules = alive(:module)
    tasks = for _ <- 1..50, do: Task.async(fn -> Wasmex.run(path, ["0"]) end)
    assert Enum.all?(Task.await_many(tasks, 60_000), &match?({:ok, %Run{status: 0}}, &1))
    assert alive(:module) <= modules + 1
  end
end
