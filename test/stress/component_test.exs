defmodule Wasmex.Stress.ComponentTest do
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components.{Component, GuestResource, Instance, Store, Template}
  alias Wasmex.Leaks

  # Made once and kept: not what these tests count.
  setup_all do
    for name <- ["types", "resources", "http"], do: Guests.component(name)
    {:ok, _function} = Wasmex.HTTP.load(Guests.path("http"))
    :ok
  end

  test "processes killed in every state of a call" do
    before = Wasmex.live_objects()

    work = fn ->
      imports = Guests.types_imports(%{"ask" => fn _ -> Process.sleep(:infinity) end})
      {:ok, template} = Template.new(Guests.component("types"), imports)
      big = String.duplicate("x", 200_000)

      states = [
        {"spin", []},
        {{"test:types/calls@1.2.0", "ask"}, ["x"]},
        {"greet", [big]},
        {{"test:types/echo@1.2.0", "echo-list-string"}, [List.duplicate("word", 2_000)]}
      ]

      for n <- 1..Leaks.times(1_000) do
        {path, args} = Enum.at(states, rem(n, length(states)))

        pid =
          spawn(fn ->
            {:ok, store} = Store.new()
            {:ok, instance} = Template.instantiate(template, store)
            repeat(fn -> Instance.call(instance, path, args) end)
          end)

        if rem(n, 3) == 0, do: Process.sleep(1), else: :erlang.yield()
        Process.exit(pid, :kill)
      end
    end

    assert Leaks.isolated(work) == :normal

    Leaks.assert_none(before)
  end

  defp repeat(fun) do
    fun.()
    repeat(fun)
  end

  test "handles that are dropped, lost and moved leave nothing" do
    before = Wasmex.live_objects()

    work = fn ->
      {instance, store} = Guests.instance("resources", Guests.resources_imports())
      counters = "test:resources/counters@1.0.0"

      for n <- 1..Leaks.times(5_000) do
        {:ok, counter} = Instance.call(instance, {counters, "make"}, [n])

        case rem(n, 3) do
          0 -> GuestResource.drop(counter)
          1 -> {:ok, ^n} = Instance.call(instance, {counters, "consume"}, [counter])
          2 -> :lost
        end

        if rem(n, 500) == 0, do: :erlang.garbage_collect()
      end

      :erlang.garbage_collect()
      {:ok, live} = GuestResource.call_static(instance, [counters, "counter"], :static, :live)
      true = live < 1_000
      Store.close(store)
    end

    assert Leaks.isolated(work) == :normal

    Leaks.assert_none(before)
  end

  # A term that holds its own store is a circle, which only closing the store cuts.
  test "stores that were given themselves as a resource are freed when they are closed" do
    before = Wasmex.live_objects()

    wat = """
    (component
      (import "h" (instance $h (export "r" (type (sub resource)))))
      (alias export $h "r" (type $r))
      (core module $m (func (export "keep") (param i32)))
      (core instance $i (instantiate $m))
      (func (export "keep") (param "x" (own $r)) (canon lift (core func $i "keep"))))
    """

    work = fn ->
      {:ok, component} = Component.compile(Wasmex.Engine.default(), wat)

      for _ <- 1..Leaks.times(50) do
        {:ok, store} = Store.new()
        imports = %{"h" => %{"r" => {:resource, fn _ -> nil end}}}
        {:ok, instance} = Instance.instantiate(store, component, imports)
        {:ok, nil} = Instance.call(instance, "keep", [{:mine, store, instance}])
        Store.close(store)
      end
    end

    assert Leaks.isolated(work) == :normal

    Leaks.assert_none(before)
  end

  test "requests to a component leave nothing" do
    before = Wasmex.live_objects()

    work = fn ->
      {:ok, function} = Wasmex.HTTP.load(Guests.path("http"), timeout: 60_000)
      Logger.put_process_level(self(), :none)

      for n <- 1..Leaks.times(400) do
        path = Enum.at(["/hello", "/echo", "/long?100000", "/trap", "/forget"], rem(n, 5))
        request = %{Wasmex.HTTP.Request.new("POST", path, [{"host", "h"}]) | body: "body"}
        Wasmex.HTTP.call(function, request)
      end
    end

    assert Leaks.isolated(work) == :normal

    Leaks.assert_none(before)
  end

  test "instances that answer again are never two requests' at once, whoever is killed" do
    before = Wasmex.live_objects()

    work = fn ->
      {:ok, function} = Wasmex.HTTP.load(Guests.path("http"), timeout: 60_000, reuse: 3)

      ask = fn path ->
        Logger.put_process_level(self(), :none)
        request = Wasmex.HTTP.Request.new("POST", path, [{"host", "h"}])
        Wasmex.HTTP.call(function, %{request | body: String.duplicate("body", 30_000)})
      end

      for n <- 1..Leaks.times(300) do
        callers = for path <- ["/echo", "/spin", "/trap"], do: spawn(fn -> ask.(path) end)
        echo = Task.async(fn -> ask.("/echo") end)
        if rem(n, 3) == 0, do: Process.sleep(1), else: :erlang.yield()
        for pid <- callers, do: Process.exit(pid, :kill)
        assert %{status: 200, body: body} = Task.await(echo, :infinity)
        assert body == String.duplicate("body", 30_000)
        assert %{status: 200} = ask.("/count")
      end
    end

    assert Leaks.isolated(work) == :normal

    Leaks.assert_none(before)
  end
end
