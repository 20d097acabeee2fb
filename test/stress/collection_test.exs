defmodule Wasmex.Stress.CollectionTest do
  # Calls that end in the middle of a collection of the guest's objects. It is finished first, which takes long, and must
  # not hold a scheduler.
  use ExUnit.Case, async: false

  alias Wasmex.{CollectingGuest, Instance, Leaks, Store}

  import Wasmex.Held

  @moduletag :stress
  @moduletag timeout: :infinity

  # Most of these calls end during a collection. Other programs have the cores, too: few of the times may be theirs.
  @rounds 12
  @few 3

  setup_all do
    Wasmex.Engine.default()
    :ok
  end

  # The memory is large, and freed after a while.
  setup do
    before = Wasmex.live_objects()
    on_exit(fn -> Leaks.assert_none(before) end)
  end

  defp assert_rarely_held(rounds \\ @rounds, fun) do
    held = times_held(rounds, fun)
    assert held <= div(rounds * @few, @rounds), "held a scheduler #{held} of #{rounds} times"
  end

  # What frees a store may go on after its process has ended.
  defp freed do
    if Wasmex.live_objects()[:execution] > 0, do: Process.sleep(10) && freed()
  end

  test "cancelling a call" do
    {instance, _store} = CollectingGuest.new()

    assert_rarely_held(fn round ->
      timeout = 150 + rem(37 * round, 300)
      {:error, %{reason: :timeout}} = Instance.call(instance, "garbage", [], timeout: timeout)
      {:ok, [1]} = Instance.call(instance, "one", [])
    end)
  end

  test "killing the process of a call, whose store is the next one's then" do
    {instance, _store} = CollectingGuest.new()

    assert_rarely_held(fn round ->
      pid = CollectingGuest.begin(instance, round)
      waiting = for _ <- 1..3, do: Task.async(fn -> Instance.call(instance, "one", []) end)
      Process.exit(pid, :kill)
      {:ok, [1]} = Instance.call(instance, "one", [])
      assert Task.await_many(waiting, :infinity) == List.duplicate({:ok, [1]}, 3)
    end)
  end

  test "killing the process of a call that waits for the store behind it" do
    {instance, _store} = CollectingGuest.new()

    assert_rarely_held(fn round ->
      [first, second] = for _ <- 1..2, do: CollectingGuest.begin(instance, round)
      for pid <- [second, first], do: Process.exit(pid, :kill)
      {:ok, [1]} = Instance.call(instance, "one", [])
    end)
  end

  test "closing a store, and then killing the process of its call" do
    assert_rarely_held(6, fn round ->
      {instance, store} = CollectingGuest.new()
      pid = CollectingGuest.begin(instance, round)
      waiting = Task.async(fn -> Instance.call(instance, "one", []) end)
      Process.sleep(10)
      :ok = Store.close(store)
      Process.exit(pid, :kill)
      {:error, %{reason: :closed}} = Task.await(waiting, :infinity)
      {:error, %{reason: :closed}} = Instance.call(instance, "one", [])
    end)
  end

  test "stopping a server in the middle of a call, which closes its store" do
    assert_rarely_held(6, fn round ->
      {:ok, server} =
        Wasmex.start_link(%{bytes: CollectingGuest.wat(), store_limits: CollectingGuest.limits()})

      objects = [CollectingGuest.objects()]
      {:ok, []} = Wasmex.call_function(server, "objects", objects, :infinity)
      spawn(fn -> Wasmex.call_function(server, "garbage", [], :infinity) end)
      CollectingGuest.wait(round)
      :ok = Wasmex.stop(server, :infinity)
    end)
  end

  test "losing a store with the process that drives its call" do
    assert_rarely_held(6, fn round ->
      me = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          {instance, _store} = CollectingGuest.new()
          send(me, :made)
          Instance.call(instance, "garbage", [])
        end)

      receive do: (:made -> CollectingGuest.wait(round))
      Process.exit(pid, :kill)
      receive do: ({:DOWN, ^monitor, :process, ^pid, :killed} -> :ok)
      freed()
    end)
  end
end
