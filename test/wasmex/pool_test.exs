defmodule Wasmex.PoolTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Guest, Pool}
  alias Wasmex.Components.Component

  @counter """
  (module
    (memory (export "memory") 1)
    (global $n (mut i32) (i32.const 0))
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "count") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "trap") unreachable)
    (func (export "spin") (loop br 0)))
  """

  defmodule Told do
    @moduledoc false
    # A worker that tells what becomes of it.
    @behaviour Wasmex.Pool.Worker

    def make({test, how}) do
      send(test, {:made, self()})
      if is_function(how), do: how.(), else: {:ok, {test, make_ref()}}
    end

    def reset(worker), do: {:ok, worker}
    def close({test, ref}), do: send(test, {:closed, ref})
  end

  defp pool(opts), do: start_supervised!({Pool, opts}, id: make_ref())
  defp counters(opts), do: pool([source: {:bytes, @counter}, size: 1] ++ opts)
  defp empty, do: %{in_use: 0, idle: 0, waiting: 0}

  describe "policies" do
    test "fresh: each use sees nothing of those before" do
      pool = counters([])
      for _ <- 1..3, do: assert(Pool.call(pool, "count", []) == {:ok, [1]})
      assert Pool.stats(pool) == empty()
    end

    test "reuse: so many uses, but not after one that failed" do
      pool = counters(policy: {:reuse, 3})

      assert for(_ <- 1..4, do: Pool.call(pool, "count", [])) ==
               for(n <- [1, 2, 3, 1], do: {:ok, [n]})

      assert {:error, %Wasmex.Trap{}} = Pool.call(pool, "trap", [])
      assert Pool.call(pool, "count", []) == {:ok, [1]}
      assert Pool.stats(pool) == %{empty() | idle: 1}
    end

    test "reset: as at first" do
      pool = counters(policy: :reset)
      for _ <- 1..3, do: assert(Pool.call(pool, "count", []) == {:ok, [1]})
    end
  end

  describe "what is pooled" do
    test "components" do
      pool =
        pool(
          source:
            {:bytes,
             ~s|(component (core module $m (func (export "f") (result i32) i32.const 7))
          (core instance $i (instantiate $m)) (func (export "f") (result s32) (canon lift (core func $i "f"))))|},
          policy: {:reuse, 10}
        )

      assert Pool.call(pool, "f", []) == {:ok, 7}
      assert {:error, %Error{reason: :unknown_path}} = Pool.call(pool, "g", [])
    end

    test "compiled components and modules" do
      {:ok, component} = Component.compile(Wasmex.Engine.default(), "(component)")
      assert {:ok, _} = Pool.run(pool(source: component), fn instance -> {:keep, instance} end)
      {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), @counter)
      assert Pool.call(pool(source: module), "add", [1, 2]) == {:ok, [3]}
    end

    test "instances with imports and WASI" do
      wat = ~s|(module (import "env" "seven" (func $f (result i32)))
        (import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32)))
        (memory (export "memory") 1)
        (func (export "f") (result i32) (i32.add (call $f) (call $y))))|

      imports = %{env: %{seven: {:fn, [], [:i32], fn _ -> 7 end}}}
      pool = pool(source: {:bytes, wat}, imports: imports, wasi: true)
      assert Pool.call(pool, "f", []) == {:ok, [7]}
    end

    test "programs" do
      pool = pool(source: "test/guests/programs/go/program.wasm", as: :program, size: 2)
      assert {:ok, %Wasmex.Run{status: 0}} = Pool.call(pool, :run, ["hello"], timeout: 60_000)
    end

    test "plug-ins" do
      pool = pool(source: "test/guests/plugins/echo.wasm", as: :plugin)
      assert Pool.call(pool, "echo", "hello") == {:ok, "hello"}
    end
  end

  describe "places" do
    test "are bounded; who waits too long is told, and nothing is lost" do
      pool = counters(max_queue: 1)
      {:ok, lease} = Pool.checkout(pool)

      assert {:error, %Error{reason: :timeout}} =
               Pool.call(pool, "count", [], checkout_timeout: 5)

      waits = Task.async(fn -> Pool.call(pool, "count", []) end)
      Guest.wait_until(fn -> Pool.stats(pool).waiting == 1 end)
      assert {:error, %Error{reason: :overloaded}} = Pool.call(pool, "count", [])
      assert Pool.checkin(lease) == :ok
      assert Task.await(waits, 60_000) == {:ok, [1]}
      assert Pool.stats(pool) == empty()
    end

    test "who waits comes before who comes" do
      pool = counters([])
      {:ok, lease} = Pool.checkout(pool)
      test = self()

      for n <- 1..3 do
        spawn_link(fn -> Pool.run(pool, fn _ -> {:keep, send(test, {:turn, n})} end) end)
        Guest.wait_until(fn -> Pool.stats(pool).waiting == n end)
      end

      Pool.checkin(lease)
      for n <- 1..3, do: assert_receive({:turn, ^n})
    end

    test "the last to come are served first when the queue is more than half full" do
      pool = counters(max_queue: 4)
      {:ok, lease} = Pool.checkout(pool)
      test = self()

      for n <- 1..4 do
        spawn_link(fn ->
          Pool.run(pool, fn _ ->
            send(test, {:turn, n, self()})
            {:keep, receive(do: (:go -> nil))}
          end)
        end)

        Guest.wait_until(fn -> Pool.stats(pool).waiting == n end)
      end

      Pool.checkin(lease)

      turns =
        for _ <- 1..4 do
          assert_receive {:turn, n, pid}
          send(pid, :go)
          n
        end

      assert hd(turns) == 4
      assert Enum.sort(turns) == [1, 2, 3, 4]
    end

    test "come back when a user is killed: while it runs, while it holds, while it makes, while it waits" do
      pool = counters(policy: {:reuse, 100})

      for _ <- 1..10 do
        Guest.kill_while(
          fn -> Pool.call(pool, "spin", []) end,
          fn _ -> Pool.stats(pool).in_use == 1 end
        )

        assert Pool.call(pool, "count", []) == {:ok, [1]}
      end

      test = self()
      slow = pool(worker: {Told, {test, fn -> Process.sleep(:infinity) end}}, size: 1)
      Guest.kill_while(fn -> Pool.checkout(slow) end, fn _ -> Pool.stats(slow).in_use == 1 end)
      # Nobody waits, so it takes a look of the pool.
      Guest.wait_until(fn -> Pool.stats(slow).in_use == 0 end)

      {:ok, lease} = Pool.checkout(pool)
      Guest.kill_while(fn -> Pool.checkout(pool) end, fn _ -> Pool.stats(pool).waiting == 1 end)
      Pool.checkin(lease)
      Guest.wait_until(fn -> Pool.stats(pool) == %{empty() | idle: 1} end)
    end

    test "in the queue come back when those who waited are killed, though nobody's turn comes" do
      pool = counters(max_queue: 3)
      {:ok, lease} = Pool.checkout(pool)
      waiting = for _ <- 1..3, do: spawn(fn -> Pool.checkout(pool, timeout: :infinity) end)
      Guest.wait_until(fn -> Pool.stats(pool).waiting == 3 end)
      assert {:error, %Error{reason: :overloaded}} = Pool.checkout(pool)
      Enum.each(waiting, &Guest.kill/1)
      Guest.wait_until(fn -> Pool.stats(pool).waiting == 0 end)
      assert {:error, %Error{reason: :timeout}} = Pool.checkout(pool, timeout: 0)
      Pool.checkin(lease)
    end

    test "a killed user's worker is closed" do
      pool = pool(worker: {Told, {self(), nil}}, size: 1, policy: {:reuse, 100})
      test = self()

      holder =
        spawn_link(fn ->
          Pool.run(pool, fn worker ->
            send(test, worker)
            Process.sleep(:infinity)
          end)
        end)

      assert_receive {^test, ref}
      Guest.kill(holder)
      assert_receive {:closed, ^ref}
    end
  end

  test "what the function raises goes through, and its worker is closed" do
    pool = pool(worker: {Told, {self(), nil}}, size: 1, policy: {:reuse, 100})
    assert_raise RuntimeError, "why", fn -> Pool.run(pool, fn _ -> raise "why" end) end
    assert_received {:closed, _}
    assert catch_throw(Pool.run(pool, fn _ -> throw(:why) end)) == :why
    assert_raise ArgumentError, ~r/{:keep, result}/, fn -> Pool.run(pool, fn _ -> :what end) end
    assert Pool.stats(pool) == empty()
  end

  test "a worker that can't be made is an error, and the place is free" do
    pool = pool(worker: {Told, {self(), fn -> {:error, %Error{reason: :wasi}} end}}, size: 1)
    for _ <- 1..3, do: assert({:error, %Error{reason: :wasi}} = Pool.checkout(pool))
    raising = pool(worker: {Told, {self(), fn -> raise "no" end}}, size: 1)
    for _ <- 1..3, do: assert_raise(RuntimeError, fn -> Pool.checkout(raising) end)
    assert Pool.stats(raising) == empty()
  end

  test "warm: made before anybody asks; a pool whose workers can't be made does not start" do
    pool = pool(worker: {Told, {self(), nil}}, size: 3, warm: 2, policy: {:reuse, 10})
    assert Pool.stats(pool) == %{empty() | idle: 2}
    assert_received {:made, ^pool}
    Process.flag(:trap_exit, true)
    failing = {Told, {self(), fn -> {:error, %Error{reason: :wasi}} end}}
    assert {:error, %Error{reason: :wasi}} = Pool.start_link(worker: failing, warm: 1)
  end

  test "replace: later uses have the new ones, and the old ones are closed" do
    pool = pool(worker: {Told, {self(), nil}}, size: 2, policy: {:reuse, 100})
    {:ok, {_, idle}} = Pool.run(pool, &{:keep, &1})
    {:ok, lease} = Pool.checkout(pool)
    assert lease.worker == {self(), idle}
    :ok = Pool.replace(pool, {self(), fn -> {:ok, {self(), :new}} end})
    Pool.checkin(lease)
    assert_receive {:closed, ^idle}
    assert Pool.run(pool, &{:keep, elem(&1, 1)}) == {:ok, :new}
  end

  test "replace: a worker that would be reset is closed too" do
    pool = pool(worker: {Told, {self(), nil}}, size: 1, policy: :reset)
    {:ok, lease} = Pool.checkout(pool)
    :ok = Pool.replace(pool, {self(), nil})
    assert Pool.checkin(lease) == :ok
    {_, ref} = lease.worker
    assert_received {:closed, ^ref}
    assert Pool.stats(pool) == empty()
  end

  test "a process that used a worker before gets the one that is in its place now" do
    pool = counters(policy: {:reuse, 3})
    other = fn fun -> Task.await(Task.async(fun), 60_000) end
    assert Pool.call(pool, "count", []) == {:ok, [1]}
    assert other.(fn -> Pool.call(pool, "count", []) end) == {:ok, [2]}
    assert Pool.call(pool, "count", []) == {:ok, [3]}
    # Its three uses are over.
    assert Pool.call(pool, "count", []) == {:ok, [1]}
    assert {:error, %Wasmex.Trap{}} = other.(fn -> Pool.call(pool, "trap", []) end)
    assert Pool.call(pool, "count", []) == {:ok, [1]}
    # The same place of another pool.
    assert Pool.call(counters(policy: {:reuse, 3}), "count", []) == {:ok, [1]}
    assert Pool.call(pool, "count", []) == {:ok, [2]}
  end

  test "workers that nobody uses are closed" do
    pool = pool(worker: {Told, {self(), nil}}, size: 2, policy: {:reuse, 100}, idle: 1)
    {:ok, ref} = Pool.run(pool, &{:keep, elem(&1, 1)})
    assert_receive {:closed, ^ref}
    assert Pool.stats(pool) == empty()
  end

  test "drain: waits for those in use, and lends no more" do
    pool = pool(worker: {Told, {self(), nil}}, size: 2)
    {:ok, lease} = Pool.checkout(pool)
    assert {:error, %Error{reason: :timeout}} = Pool.drain(pool, 5)
    drains = Task.async(fn -> Pool.drain(pool) end)
    Guest.wait_until(fn -> match?({:error, %Error{reason: :closed}}, Pool.checkout(pool)) end)
    Pool.checkin(lease)
    assert Task.await(drains, 60_000) == :ok
  end

  test "a stopped pool closes its workers; users exit as with any process that is gone" do
    {:ok, pool} =
      Pool.start_link(worker: {Told, {self(), nil}}, size: 2, policy: {:reuse, 9}, warm: 1)

    {:ok, lease} = Pool.checkout(pool)
    GenServer.stop(pool)
    assert Pool.checkin(lease) == :ok
    assert_received {:closed, _}
    assert {:noproc, _} = catch_exit(Pool.checkout(pool))
    assert {:noproc, _} = catch_exit(Pool.call(:nobody, "f", []))
  end

  test "what it does can be read" do
    pool = counters(policy: {:reuse, 9})
    {:ok, _lease} = Pool.checkout(pool)
    {:status, ^pool, _, [_, _, _, _, misc]} = :sys.get_status(pool)

    state =
      Enum.find_value(
        misc,
        &with({:data, [{~c"State", state}]} <- &1, do: state, else: (_ -> nil))
      )

    assert %{in_use: [{0, me}], size: 1, waiting: 0} = state
    assert me == self()
    assert %Pool.Server{} = :sys.get_state(pool)
  end

  describe "limits of a key" do
    test "places: others get theirs, its own calls wait" do
      pool = pool(source: {:bytes, @counter}, size: 3, per_key: [places: 1])
      {:ok, lease} = Pool.checkout(pool, key: "a")
      assert {:error, %Error{reason: :timeout}} = Pool.checkout(pool, key: "a", timeout: 5)
      assert Pool.call(pool, "count", [], key: "b") == {:ok, [1]}
      waits = Task.async(fn -> Pool.call(pool, "count", [], key: "a") end)
      Guest.wait_until(fn -> Pool.stats(pool).waiting == 1 end)
      # Without asking anybody.
      assert Pool.call(pool, "count", [], key: "b") == {:ok, [1]}
      assert Pool.call(pool, "count", []) == {:ok, [1]}
      Pool.checkin(lease)
      assert Task.await(waits, 60_000) == {:ok, [1]}
      assert Pool.stats(pool) == empty()
    end

    test "places come back from killed users" do
      pool = pool(source: {:bytes, @counter}, size: 3, per_key: [places: 1])

      for _ <- 1..5 do
        Guest.kill_while(
          fn -> Pool.call(pool, "spin", [], key: "a") end,
          fn _ -> Pool.stats(pool).in_use == 1 end
        )

        assert Pool.call(pool, "count", [], key: "a") == {:ok, [1]}
      end
    end

    test "calls per second" do
      pool = pool(source: {:bytes, @counter}, per_key: [calls: 3])
      results = for _ <- 1..5, do: Pool.call(pool, "count", [], key: :a)
      assert Enum.take(results, 3) == for(_ <- 1..3, do: {:ok, [1]})
      assert {:error, %Error{reason: :rate_limited, details: details}} = List.last(results)
      assert details.limit == :calls and details.retry_after in 1..1_000
      assert Exception.message(List.last(results) |> elem(1)) =~ "try again in"
      assert Pool.call(pool, "count", [], key: :b) == {:ok, [1]}
    end

    test "fuel and memory per second: what a call used is known afterwards" do
      pool = pool(source: {:bytes, @counter}, per_key: [fuel: 1_000])
      assert {:error, %Wasmex.Trap{code: :out_of_fuel}} = Pool.call(pool, "spin", [], key: 1)
      assert Pool.call(pool, "count", [], key: 2) == {:ok, [1]}

      # One that is stopped has burnt all that it was given; an hour's worth here, so that time does not matter.
      pool = pool(source: {:bytes, @counter}, per_key: [fuel: 1_000_000_000_000])
      limits = Pool.Handles.fetch!(pool).limits
      assert Pool.Limits.fuel(limits, 1) == 1_000_000_000_000
      assert {:error, %Error{reason: :timeout}} = Pool.call(pool, "spin", [], key: 1, timeout: 20)
      assert Pool.Limits.fuel(limits, 1) < Pool.Limits.fuel(limits, 2)

      pool = pool(source: {:bytes, @counter}, per_key: [memory: 1_000_000])
      assert Pool.call(pool, "grow", [100], key: 1) == {:ok, [1]}

      assert {:error, %Error{reason: :rate_limited, details: %{limit: :memory}}} =
               Pool.call(pool, "count", [], key: 1)
    end
  end

  test "many processes on few places" do
    pool = counters(size: 2, policy: {:reuse, 50}, max_queue: 10_000)

    1..500
    |> Task.async_stream(fn n -> Pool.call(pool, "add", [n, 1], checkout_timeout: :infinity) end,
      max_concurrency: 500,
      timeout: :infinity
    )
    |> Enum.with_index(1)
    |> Enum.each(fn {result, n} -> assert result == {:ok, {:ok, [n + 1]}} end)

    assert Pool.stats(pool).in_use == 0
  end

  test "a checkout is a span" do
    test = self()
    pool = counters([])

    :ok =
      Wasmex.Telemetry.enable([:checkout],
        handler: fn e, _, m -> if m.pool == pool, do: send(test, e) end
      )

    Pool.call(pool, "count", [])
    Wasmex.Telemetry.disable()
    assert_received [:wasmex, :checkout, :start]
    assert_received [:wasmex, :checkout, :stop]
  end

  test "options that make no sense" do
    for {opts, text} <- [
          {[size: 1], ~r/needs source:/},
          {[source: 7], ~r/as source/},
          {[source: {:bytes, "(module)"}, size: 0], ~r/:size/},
          {[source: {:bytes, "(module)"}, policy: :often], ~r/as policy/},
          {[source: {:bytes, "(module)"}, size: 1, warm: 2], ~r/warm/},
          {[source: {:bytes, "(module)"}, per_key: [place: 1]], ~r/per_key/},
          {[source: {:bytes, "(module)"}, worker: {A, 1}], ~r/worker/},
          {[worker: {Told, 1}, per_key: [fuel: 1]], ~r/meter/}
        ] do
      assert_raise ArgumentError, text, fn -> Pool.start_link(opts) end
    end

    assert {:error, %Error{reason: :file}} = Pool.start_link(source: "none.wasm")
    assert {:error, %Error{}} = Pool.start_link(source: {:bytes, "(module"})
  end
end
