defmodule Wasmex.Plugin.PoolTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Plugin, Pool}
  alias Wasmex.Plugin.Pool.Reloader

  @stop "test/guests/plugins/stop.wasm"
  @vars "test/guests/plugins/vars.wasm"

  defp pool(opts), do: start_supervised!({Plugin.Pool, opts})

  test "each call has a fresh plug-in" do
    pool = pool(source: @stop, size: 2)
    for _ <- 1..5, do: assert(Plugin.Pool.call(pool, "count") == {:ok, "1"})
    assert Pool.stats(pool) == %{in_use: 0, idle: 0, waiting: 0}
  end

  test "a plug-in is used so many times, unless its call failed" do
    pool = pool(source: @stop, size: 1, policy: {:reuse, 3})

    assert for(_ <- 1..4, do: Plugin.Pool.call(pool, "count")) == [
             {:ok, "1"},
             {:ok, "2"},
             {:ok, "3"},
             {:ok, "1"}
           ]

    assert {:error, %Wasmex.Trap{}} = Plugin.Pool.call(pool, "trap")
    assert Plugin.Pool.call(pool, "count") == {:ok, "1"}
  end

  test "a plug-in that is reset has no variables" do
    pool = pool(source: @vars, size: 1, policy: :reset)
    assert Plugin.Pool.call(pool, "set", "kept?") == {:ok, ""}
    assert Plugin.Pool.call(pool, "get") == {:ok, ""}
    assert %{idle: 1} = Pool.stats(pool)
  end

  test "places are limited, and waiting times out" do
    pool = pool(source: @stop, size: 2, max_queue: 1)
    test = self()

    holders =
      for _ <- 1..2,
          do:
            spawn_link(fn ->
              Pool.run(pool, fn _ ->
                send(test, :in)
                receive(do: (:out -> {:keep, nil}))
              end)
            end)

    for _ <- 1..2, do: assert_receive(:in)

    assert {:error, %Error{reason: :timeout}} =
             Plugin.Pool.call(pool, "count", "", checkout_timeout: 10)

    waits = Task.async(fn -> Plugin.Pool.call(pool, "count") end)
    Wasmex.Guest.wait_until(fn -> Pool.stats(pool).waiting == 1 end)
    assert {:error, %Error{reason: :overloaded}} = Plugin.Pool.call(pool, "count")
    for pid <- holders, do: send(pid, :out)
    assert Task.await(waits, 60_000) == {:ok, "1"}
    Wasmex.Guest.wait_until(fn -> Pool.stats(pool) == %{in_use: 0, idle: 0, waiting: 0} end)
  end

  test "a user that is killed gives its place back" do
    pool = pool(source: @stop, size: 1)

    for _ <- 1..20 do
      pid = spawn(fn -> Plugin.Pool.call(pool, "forever") end)
      Wasmex.Guest.wait_until(fn -> Pool.stats(pool).in_use == 1 end)
      Process.exit(pid, :kill)
      assert Plugin.Pool.call(pool, "count") == {:ok, "1"}
    end
  end

  test "exceptions of the function propagate" do
    pool = pool(source: @stop, size: 1)
    assert_raise RuntimeError, "why", fn -> Pool.run(pool, fn _ -> raise "why" end) end
    assert Plugin.Pool.call(pool, "count") == {:ok, "1"}
  end

  test "many callers on few places" do
    pool = pool(source: "test/guests/plugins/echo.wasm", size: 2)

    tasks =
      for n <- 1..200,
          do:
            Task.async(fn ->
              Plugin.Pool.call(pool, "echo", "#{n}", checkout_timeout: :infinity)
            end)

    assert Task.await_many(tasks, 60_000) == for(n <- 1..200, do: {:ok, "#{n}"})
  end

  @tag :capture_log
  test "a changed file is used from then on, one that is broken changes nothing" do
    dir = Path.join(System.tmp_dir!(), "wasmex_reload_#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)
    file = Path.join(dir, "p.wat")

    says = fn letter ->
      ~s|(module (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (func (export "go") (local $p i64) (local.set $p (call $alloc (i64.const 1)))
        (call $store (local.get $p) (i32.const #{letter})) (call $output (local.get $p) (i64.const 1))))|
    end

    File.write!(file, says.(?a))
    pool = pool(source: file, size: 2, policy: {:reuse, 100}, reload: true)
    {:links, links} = Process.info(pool, :links)
    [reloader] = Enum.filter(links, &(is_pid(&1) and reloader?(&1)))
    assert Plugin.Pool.call(pool, "go") == {:ok, "a"}

    File.write!(file, says.(?b) <> " ")
    :ok = Reloader.look(reloader)
    assert Plugin.Pool.call(pool, "go") == {:ok, "b"}

    File.write!(file, "(module")
    :ok = Reloader.look(reloader)
    assert Plugin.Pool.call(pool, "go") == {:ok, "b"}
  end

  defp reloader?(pid),
    do: match?({:dictionary, [{:"$initial_call", {Reloader, :init, 1}} | _]}, initial_call(pid))

  defp initial_call(pid) do
    {:dictionary, dictionary} = Process.info(pid, :dictionary)
    {:dictionary, Enum.filter(dictionary, &match?({:"$initial_call", _}, &1))}
  end

  test "options that make no sense" do
    assert_raise ArgumentError, ~r/missing option source/, fn ->
      Plugin.Pool.start_link(size: 1)
    end

    assert_raise ArgumentError, ~r/:size/, fn ->
      Plugin.Pool.start_link(source: @stop, size: 0)
    end

    assert_raise ArgumentError, ~r/policy.*got: /, fn ->
      Plugin.Pool.start_link(source: @stop, policy: :often)
    end

    assert_raise ArgumentError, ~r/unknown option :sise/, fn ->
      Plugin.Pool.start_link(source: @stop, sise: 1)
    end

    assert {:error, %Error{reason: :file}} = Plugin.Pool.start_link(source: "none.wasm")
  end
end
