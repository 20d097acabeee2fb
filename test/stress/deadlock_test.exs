defmodule Wasmex.Stress.DeadlockTest do
  # A process that holds a store waits, with a timeout, for one that waits for the store: it goes on afterwards, so the
  # other's turn comes. It must not be told that it never will.
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.{Engine, Error, Instance, Module, Store}

  @wat """
  (module (import "env" "f" (func $f (param i32) (result i32)))
    (func (export "f") (param i32) (result i32) (call $f (local.get 0)))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  """

  @rounds 60

  defp guest(function) do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(Engine.default(), @wat)
    import = %{env: %{f: {:fn, [:i32], [:i32], function}}}
    {:ok, instance} = Instance.new(store, module, import)
    instance
  end

  defp wait(:await, task, timeout), do: Task.await(task, timeout)
  defp wait(:await_many, task, timeout), do: Task.await_many([task], timeout)
  defp wait(:yield, task, timeout), do: Task.yield(task, timeout)

  defp wait(:call, task, timeout) do
    {:ok, server} = Agent.start(fn -> task end)
    Agent.cast(server, fn task -> Task.await(%{task | owner: self()}, :infinity) end)
    GenServer.call(server, :x, timeout)
  end

  test "holders that wait for a while, of processes that wait for ever" do
    results =
      1..@rounds
      |> Task.async_stream(
        fn round ->
          kind = Enum.at([:await, :await_many, :yield, :call], rem(round, 4))
          timeout = 50 + :rand.uniform(900)
          me = self()

          instance =
            guest(fn context, _ ->
              waiter =
                Task.Supervisor.async_nolink(Wasmex.Stress.DeadlockTest.Tasks, fn ->
                  send(me, {:turn, Instance.call(context.instance, "add", [1, 1])})
                end)

              try do
                wait(kind, waiter, timeout)
              catch
                :exit, _ -> :timeout
              end

              7
            end)

          {:ok, [7]} = Instance.call(instance, "f", [1])
          receive do: ({:turn, result} -> {kind, timeout, result})
        end,
        max_concurrency: 16,
        timeout: :infinity
      )
      |> Enum.map(&elem(&1, 1))

    assert [] =
             for(
               {kind, timeout, result} <- results,
               result != {:ok, [2]},
               do: {kind, timeout, result}
             )
  end

  test "two stores, and calls with timeouts across" do
    for round <- 1..@rounds do
      [a, b] = for timeout <- [20 + :rand.uniform(100), :infinity], do: crossing(timeout)
      parent = self()

      tasks =
        for {{name, mine, timeout}, {_, other, _}} <- [{a, b}, {b, a}] do
          Task.async(fn ->
            Process.put(:other, other)
            Process.put(:parent, parent)
            {name, timeout, Instance.call(mine, "f", [round])}
          end)
        end

      for _ <- tasks, do: assert_receive(:inside, 30_000)
      for task <- tasks, do: send(task.pid, :go)
      results = Task.await_many(tasks, :infinity)

      # The one that waits for ever gets its turn when the other gives up, and the other is told that or the truth.
      for {_name, timeout, result} <- results do
        case timeout do
          :infinity -> assert result == {:ok, [2]}
          _ -> assert result in [{:ok, [-1]}, {:ok, [-2]}, {:ok, [2]}]
        end
      end
    end
  end

  # A guest whose function calls the other one's, with a timeout: 2, or -1 for a timeout and -2 for a deadlock.
  defp crossing(timeout) do
    instance =
      guest(fn _context, _ ->
        send(Process.get(:parent), :inside)
        receive do: (:go -> :ok)

        case Instance.call(Process.get(:other), "add", [1, 1], timeout: timeout) do
          {:ok, [n]} -> n
          {:error, %Error{reason: :timeout}} -> -1
          {:error, %Error{reason: :deadlock}} -> -2
        end
      end)

    {make_ref(), instance, timeout}
  end

  setup_all do
    {:ok, _} = Task.Supervisor.start_link(name: Wasmex.Stress.DeadlockTest.Tasks)
    :ok
  end
end
