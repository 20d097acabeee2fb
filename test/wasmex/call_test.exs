defmodule Wasmex.CallTest do
  use ExUnit.Case, async: true

  alias Wasmex.{
    Engine,
    EngineConfig,
    Error,
    Guest,
    Instance,
    Memory,
    Module,
    Store,
    StoreOrCaller,
    Trap
  }

  @wat """
  (module
    (import "env" "f" (func $f (param i32) (result i32)))
    (memory (export "memory") 1)
    (global (export "counter") (mut i32) (i32.const 7))
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "f") (param i32) (result i32) local.get 0 call $f)
    (func (export "spin") (loop br 0))
    (func $deep (export "deep") call $deep)
    (func (export "trap") unreachable))
  """

  defp guest(function) do
    Guest.start(@wat, %{env: %{f: {:fn, [:i32], [:i32], function}}})
  end

  defp plain, do: guest(fn _context, n -> n end)

  describe "time limits" do
    test "an endless loop is stopped and the instance goes on" do
      {_, instance} = plain()
      assert {:error, %Error{reason: :timeout}} = Instance.call(instance, "spin", [], timeout: 10)
      assert Instance.call(instance, "add", [1, 2]) == {:ok, [3]}
      assert Process.info(self(), :messages) == {:messages, []}
    end

    test "a nested call has its own limit, and the outer call goes on after it" do
      {_, instance} =
        guest(fn context, _ ->
          {:error, %Error{reason: :timeout}} =
            Instance.call(context.instance, "spin", [], timeout: 10)

          5
        end)

      assert Instance.call(instance, "f", [1]) == {:ok, [5]}
    end

    test "the outer limit stops an endless nested call" do
      {_, instance} =
        guest(fn context, _ ->
          {:error, %Error{reason: :timeout}} = Instance.call(context.instance, "spin", [])
          5
        end)

      assert {:error, %Error{reason: :timeout}} = Instance.call(instance, "f", [1], timeout: 20)
      assert Instance.call(instance, "add", [1, 2]) == {:ok, [3]}
      refute Process.get(:"$wasmex_deadline")
    end

    test "the limit holds in other stores that an import calls into" do
      {_, other} = plain()

      {_, instance} =
        guest(fn _, _ ->
          {:error, _} = Instance.call(other, "spin", [])
          1
        end)

      assert {:error, %Error{reason: :timeout}} = Instance.call(instance, "f", [1], timeout: 20)
      assert Instance.call(other, "add", [1, 2]) == {:ok, [3]}
    end

    test "waiting for the store counts" do
      {_, instance} = plain()
      pid = Guest.busy(instance, "spin")

      assert {:error, %Error{reason: :timeout}} =
               Instance.call(instance, "add", [1, 2], timeout: 10)

      Guest.kill(pid)
      assert Instance.call(instance, "add", [1, 2]) == {:ok, [3]}
    end
  end

  describe "fuel" do
    setup do
      {:ok, engine} = Engine.new(%EngineConfig{consume_fuel: true})
      {:ok, store} = Store.new(nil, engine)
      StoreOrCaller.set_fuel(store, 1_000)

      {_, instance} =
        Guest.start(@wat, %{env: %{f: {:fn, [:i32], [:i32], fn _, n -> n end}}}, store)

      %{store: store, instance: instance}
    end

    test "a budget for one call leaves the store's own alone", %{store: store, instance: instance} do
      {:ok, before} = StoreOrCaller.get_fuel(store)
      assert {:error, %Trap{code: :out_of_fuel}} = Instance.call(instance, "spin", [], fuel: 100)
      assert StoreOrCaller.get_fuel(store) == {:ok, before}
      assert {:ok, [3]} = Instance.call(instance, "add", [1, 2], fuel: 100)
    end

    test "without one the store's own is burnt", %{store: store, instance: instance} do
      {:ok, before} = StoreOrCaller.get_fuel(store)
      {:ok, _} = Instance.call(instance, "add", [1, 2])
      {:ok, left} = StoreOrCaller.get_fuel(store)
      assert left < before
      assert {:error, %Trap{code: :out_of_fuel}} = Instance.call(instance, "spin", [])
    end

    test "is an error where it is not counted" do
      {store, instance} = plain()

      assert {:error, %Error{reason: :fuel_disabled}} =
               Instance.call(instance, "add", [1, 2], fuel: 5)

      assert {:error, "Could not set fuel: fuel is not configured in this store"} =
               StoreOrCaller.set_fuel(store, 1)
    end
  end

  describe "traps" do
    test "say what happened and where" do
      {_, instance} = plain()

      assert {:error, %Trap{code: :unreachable, backtrace: [%{func_index: 5} | _]}} =
               Instance.call(instance, "trap", [])

      assert {:error, %Trap{code: :stack_overflow}} = Instance.call(instance, "deep", [])
      assert Instance.call(instance, "add", [1, 2]) == {:ok, [3]}
      assert_raise Trap, fn -> Instance.call!(instance, "trap", []) end
    end
  end

  test "a trap uses up the time slice if it took that long" do
    # A fill is one instruction of over a millisecond, and does not notice the end of a slice.
    wat = ~s|(module (memory 2000) (func (export "f")
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 131072000)) unreachable))|

    {:ok, store} = Store.new()
    instance = Guest.instance(store, wat)
    # In a slice of its own, of 4000 reductions.
    :erlang.yield()
    {:reductions, before} = Process.info(self(), :reductions)
    assert {:error, %Trap{code: :unreachable}} = Instance.call(instance, "f", [])
    {:reductions, later} = Process.info(self(), :reductions)
    assert later - before > 3000
  end

  describe "imports" do
    test "run in the calling process, with its dictionary" do
      me = self()
      Process.put(:mine, 5)

      {_, instance} =
        guest(fn context, _ ->
          ^me = context.pid
          ^me = self()
          Process.get(:mine)
        end)

      assert Instance.call(instance, "f", [0]) == {:ok, [5]}
    end

    test "reach everything in the store, through the caller and through the store" do
      test = self()

      {store, instance} =
        guest(fn context, n ->
          store = Process.get(:store)

          for handle <- [context.caller, store] do
            :ok = Memory.write_binary(handle, context.memory, 0, "hello")
            "hello" = Memory.read_binary(handle, context.memory, 0, 5)
            1 = Memory.grow(handle, context.memory, 0)
            {:ok, 7} = Instance.get_global_value(handle, context.instance, "counter")

            {:ok, module} =
              Module.compile(handle, ~s|(module (func (export "one") (result i32) i32.const 1))|)

            {:ok, other} = Instance.new(handle, module, %{})
            {:ok, [1]} = Instance.call(other, "one", [])

            :ok =
              Instance.call_exported_function(
                handle,
                context.instance,
                "add",
                [1, n],
                {test, handle.reference}
              )

            receive do: ({ref, {:ok, [_]}} when ref == handle.reference -> :ok)
          end

          {:ok, [sum]} = Instance.call(context.instance, "add", [n, 1])
          sum
        end)

      Process.put(:store, store)
      assert Instance.call(instance, "f", [41]) == {:ok, [42]}
    end

    test "nest as deep as the store allows" do
      {_, instance} =
        guest(fn
          _context, 0 -> 0
          context, n -> 1 + hd(Instance.call!(context.instance, "f", [n - 1]))
        end)

      assert Instance.call(instance, "f", [63]) == {:ok, [63]}
    end

    test "that raise, throw, exit or return the wrong thing stop the guest and keep their reason" do
      for {function, check} <- [
            {fn _, _ -> raise "why" end,
             &match?(%{kind: :error, exception: %RuntimeError{message: "why"}}, &1)},
            {fn _, _ -> throw(:ball) end, &match?(%{kind: :throw, exception: :ball}, &1)},
            {fn _, _ -> exit(:bye) end, &match?(%{kind: :exit, exception: :bye}, &1)}
          ] do
        {_, instance} = guest(function)

        assert {:error, %Error{reason: :import_raised, details: details}} =
                 Instance.call(instance, "f", [1])

        assert check.(details)
        assert [_ | _] = details.stacktrace
        assert Instance.call(instance, "add", [1, 2]) == {:ok, [3]}
      end

      {_, instance} = guest(fn _, _ -> "no number" end)
      assert {:error, %Error{reason: :bad_results} = error} = Instance.call(instance, "f", [1])
      assert Exception.message(error) =~ "the result is not i32"
    end

    test "leave a caller that is of no use afterwards or elsewhere" do
      test = self()

      {_, instance} =
        guest(fn context, _ ->
          send(test, {:context, context})

          Task.async(fn -> Memory.read(context.caller, context.memory, 0, 1) end)
          |> Task.await()
          |> then(&send(test, {:elsewhere, &1}))

          1
        end)

      {:ok, [1]} = Instance.call(instance, "f", [1])
      assert_received {:elsewhere, {:error, %Error{reason: :caller_elsewhere}}}
      assert_received {:context, context}

      assert {:error, %Error{reason: :caller_expired}} =
               Memory.read(context.caller, context.memory, 0, 1)

      assert {:ok, _} = Memory.read(context.memory, 0, 1)
    end
  end

  describe "one store, many processes" do
    test "each gets its turn" do
      {_, instance} = plain()

      results =
        1..100
        |> Task.async_stream(fn n -> Instance.call!(instance, "add", [n, 1]) end,
          max_concurrency: 100
        )
        |> Enum.map(fn {:ok, [result]} -> result end)

      assert results == Enum.to_list(2..101)
    end

    test "each gets its turn to make an instance" do
      {store, _} = plain()
      {:ok, module} = Module.compile(store, @wat)
      imports = %{env: %{f: {:fn, [:i32], [:i32], fn _, n -> n end}}}

      made =
        1..50
        |> Task.async_stream(fn _ -> Instance.new(store, module, imports) end,
          max_concurrency: 50,
          timeout: :infinity
        )
        |> Enum.to_list()

      assert [_ | _] = for({:ok, {:ok, instance}} <- made, do: instance)
      assert Enum.all?(made, &match?({:ok, {:ok, %Instance{}}}, &1))
    end

    test "a process that dies in any state leaves the store to the others" do
      {_, instance} =
        guest(fn
          _, 0 -> Process.sleep(:infinity)
          context, 1 -> Instance.call(context.instance, "spin", [])
          context, 2 -> Instance.call(context.instance, "f", [0])
        end)

      for {name, params} <- [{"spin", []}, {"f", [0]}, {"f", [1]}, {"f", [2]}] do
        Guest.kill_while(
          fn -> Instance.call(instance, name, params) end,
          &(Guest.driver(instance) == &1)
        )

        assert Instance.call(instance, "add", [1, 2]) == {:ok, [3]}
      end
    end

    test "one that dies in the queue is passed over" do
      {_, instance} = plain()
      spinner = Guest.busy(instance, "spin")
      Guest.kill_while(fn -> Instance.call(instance, "add", [1, 2]) end, &queues?/1)
      task = Task.async(fn -> Instance.call(instance, "add", [1, 2]) end)
      Guest.wait_until(fn -> queues?(task.pid) end)
      Guest.kill(spinner)
      assert Task.await(task, :infinity) == {:ok, [3]}
    end

    test "a cycle of stores is an error for the one that closes it" do
      {_, a} = plain()
      {_, b} = plain()
      parent = self()

      cross = fn mine, other ->
        Task.async(fn ->
          imports = %{
            env: %{
              f:
                {:fn, [:i32], [:i32],
                 fn _, _ ->
                   send(parent, :inside)
                   receive do: (:go -> :ok)

                   case Instance.call(other, "add", [1, 1]) do
                     {:ok, [n]} ->
                       n

                     {:error, %Error{reason: reason}} ->
                       send(parent, {:reason, reason})
                       0
                   end
                 end}
            }
          }

          {:ok, module} = Module.compile(Engine.default(), @wat)
          {:ok, instance} = Instance.new(store_of(mine), module, imports)
          Instance.call(instance, "f", [1])
        end)
      end

      tasks = [cross.(a, b), cross.(b, a)]
      for _ <- tasks, do: assert_receive(:inside, 30_000)
      for task <- tasks, do: send(task.pid, :go)
      assert_receive {:reason, :deadlock}
      for task <- tasks, do: assert({:ok, [_]} = Task.await(task, :infinity))
    end

    test "an import that awaits a task which wants the same store gets an error, not a hang" do
      {_, instance} =
        guest(fn context, _ ->
          task = Task.async(fn -> Instance.call(context.instance, "add", [1, 1]) end)
          {:error, %Error{reason: :deadlock}} = Task.await(task, :infinity)
          9
        end)

      assert Instance.call(instance, "f", [1]) == {:ok, [9]}
    end
  end

  # The imports wait for something else than the task that waits for the store, or not for ever.
  for {name, wait} <- [
        {"asks another process", quote(do: fn _, silent -> GenServer.call(silent, :x, 400) end)},
        {"waits for the task for a while", quote(do: fn task, _ -> Task.yield(task, 400) end)}
      ] do
    test "an import that #{name} is no deadlock" do
      wait = unquote(wait)
      {:ok, silent} = Agent.start_link(fn -> nil end)
      Agent.cast(silent, fn nil -> Process.sleep(:infinity) end)

      {_, instance} =
        guest(fn context, _ ->
          task = Task.async(fn -> Instance.call(context.instance, "add", [1, 1]) end)
          Process.put(:task, task)

          try do
            wait.(task, silent)
          catch
            :exit, {:timeout, _} -> :ok
          end

          9
        end)

      test = self()

      spawn(fn ->
        result = Instance.call(instance, "f", [1])
        send(test, {result, Task.await(Process.get(:task))})
      end)

      assert_receive {{:ok, [9]}, {:ok, [2]}}, 10_000
    end
  end

  # Waits for another's call to end.
  defp queues?(pid),
    do: Process.info(pid, :current_function) == {:current_function, {Wasmex.Call.Turn, :wait, 3}}

  defp store_of(instance),
    do: StoreOrCaller.__wrap_resource__(Wasmex.Native.instance_store(instance.resource))

  describe "closing" do
    test "makes every handle an error" do
      {store, instance} = plain()
      {:ok, memory} = Memory.from_instance(store, instance)
      assert Store.close(store) == :ok
      assert {:error, %Error{reason: :closed}} = Instance.call(instance, "add", [1, 2])
      assert {:error, %Error{reason: :closed}} = Memory.read(memory, 0, 1)
    end

    test "waits for the process that uses the store, and tells those who queue" do
      {store, instance} = plain()
      spinner = Guest.busy(instance, "spin")
      waiter = Task.async(fn -> Instance.call(instance, "add", [1, 2]) end)
      Guest.wait_until(fn -> queues?(waiter.pid) end)
      Store.close(store)
      Guest.kill(spinner)
      assert {:error, %Error{reason: :closed}} = Task.await(waiter, :infinity)
    end
  end
end
