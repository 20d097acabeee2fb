defmodule Wasmex.Components.ResourcesTest do
  use ExUnit.Case, async: true

  import Wasmex.Guest, only: [wait_until: 1]

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components.{GuestResource, HostResource, Instance}

  @counters "test:resources/counters@1.0.0"
  @user "test:resources/user@1.0.0"
  @counter [@counters, "counter"]

  setup do
    me = self()
    imports = Guests.resources_imports(fn {:bucket, name, _} -> send(me, {:dropped, name}) end)
    {instance, store} = Guests.instance("resources", imports)
    %{instance: instance, store: store}
  end

  defp counters(instance, function, args),
    do: Instance.call(instance, {@counters, function}, args)

  defp user(instance, function, args), do: Instance.call(instance, {@user, function}, args)
  defp value(counter), do: GuestResource.call(counter, :method, :value)

  defp live(instance) do
    {:ok, live} = GuestResource.call_static(instance, @counter, :static, :live)
    live
  end

  test "a large term comes back as it went from any depth of values" do
    tuples = for n <- 1..90, do: "(type $t#{n} (tuple $t#{n - 1}))"

    wat = """
    (component
      (import "host" (instance $host (export "r" (type (sub resource)))))
      (alias export $host "r" (type $r))
      (core module $m (func (export "f") (param i32) (result i32) local.get 0))
      (core instance $i (instantiate $m))
      (type $t0 (own $r)) #{tuples}
      (func (export "f") (param "r" (own $r)) (result $t90) (canon lift (core func $i "f"))))
    """

    {:ok, store} = Wasmex.Components.Store.new()
    {:ok, component} = Wasmex.Components.Component.new(store, wat)
    {:ok, instance} = Instance.new(store, component, %{"host" => %{"r" => {:resource, nil}}})
    term = Enum.to_list(1..100_000)
    assert {:ok, nested} = Instance.call(instance, "f", [term])
    assert Enum.reduce(1..90, nested, fn _, {inner} -> inner end) == term
  end

  describe "the guest's" do
    test "constructor, methods, static functions, drop", %{instance: instance} do
      assert {:ok, %GuestResource{} = counter} = GuestResource.new(instance, @counter, [40])
      assert GuestResource.call(counter, :method, "increment") == {:ok, 41}
      assert GuestResource.call(counter, :method, :add, [1]) == {:ok, 42}

      assert {:ok, other} =
               GuestResource.call_static(instance, List.to_tuple(@counter), :static, :parse, ["7"])

      assert {:ok, other} = other
      assert GuestResource.call(counter, :method, :is_greater, [other]) == {:ok, true}

      assert GuestResource.call_static(instance, @counter, :static, :parse, ["x"]) ==
               {:ok, {:error, "not a number: x"}}

      assert live(instance) == 2
      assert GuestResource.drop(counter) == :ok
      assert GuestResource.drop(counter) == :ok
      assert live(instance) == 1
      assert value(other) == {:ok, 7}
      assert value(counter) == {:error, "Guest resource has already been dropped or moved"}
    end

    test "handles in all kinds of values, both ways", %{instance: instance} do
      assert {:ok, %GuestResource{} = one} = counters(instance, "make", [1])
      assert {:ok, {:some, two}} = counters(instance, "make-option", [2])
      assert {:ok, :none} = counters(instance, "make-option", [-1])
      assert {:ok, {:ok, three}} = counters(instance, "make-result", [3])
      assert {:ok, {:error, "-1 is below zero"}} = counters(instance, "make-result", [-1])
      assert {:ok, [four, five]} = counters(instance, "make-list", [2])
      assert {:ok, {six, seven}} = counters(instance, "make-tuple", [6, 7])

      assert {:ok, %{"label" => "l", "item" => eight}} =
               counters(instance, "make-record", ["l", 8])

      assert {:ok, {"many", [_, _, _]}} = counters(instance, "make-variant", [3])
      all = [one, two, three, four, five, six, seven, eight]
      assert Enum.map(all, &value/1) == Enum.map([1, 2, 3, 0, 1, 6, 7, 8], &{:ok, &1})

      assert counters(instance, "sum-borrowed", [all]) == {:ok, 28}
      assert counters(instance, "sum-option", [{:some, three}]) == {:ok, 3}
      assert counters(instance, "compare", [one, two]) == {:ok, "less"}
      assert counters(instance, "compare", [one, one]) == {:ok, "equal"}
      assert counters(instance, "describe", [%{label: "x", item: eight}]) == {:ok, "x: 8"}
      assert counters(instance, "consume-record", [%{label: "x", item: eight}]) == {:ok, "x: 8"}
      assert counters(instance, "consume-variant", [{:one, seven}]) == {:ok, 7}
      assert counters(instance, "sum-owned", [[one, two]]) == {:ok, 3}
      refute GuestResource.alive?(eight) or GuestResource.alive?(one)
      assert GuestResource.alive?(three)
      assert {:ok, nil} = counters(instance, "keep", [three])
      assert {:ok, {:some, back}} = counters(instance, "take-back", [])
      assert value(back) == {:ok, 3}
    end

    test "moved handles are invalid, and a failed call moves nothing", %{instance: instance} do
      {:ok, counter} = counters(instance, "make", [1])
      {:ok, other} = counters(instance, "make", [2])

      assert GuestResource.call(counter, :method, :pour_into, [counter]) ==
               {:error, "A guest resource method cannot move its own receiver"}

      assert GuestResource.call_static(instance, @counter, :static, :merge, [counter, counter]) ==
               {:error, "The same guest resource cannot be moved more than once"}

      assert {:error, _} = counters(instance, "sum-owned", [[counter, :nonsense]])
      assert value(counter) == {:ok, 1}

      assert {:ok, merged} =
               GuestResource.call_static(instance, @counter, :static, :merge, [counter, other])

      assert value(merged) == {:ok, 3}
      assert {:error, error} = counters(instance, "consume", [counter])
      assert Exception.message(error) =~ "already been dropped or moved"
    end

    test "handles of another type, another store, or none", %{instance: instance} do
      {:ok, fragile} = GuestResource.new(instance, [@counters, "fragile"], ["quiet"])
      assert {:error, error} = counters(instance, "consume", [fragile])
      assert Exception.message(error) =~ "wrong resource type"

      {elsewhere, _} = Guests.instance("resources", Guests.resources_imports())
      {:ok, foreign} = counters(elsewhere, "make", [1])
      assert {:error, error} = counters(instance, "consume", [foreign])
      assert Exception.message(error) =~ "another store"
      assert {:error, error} = counters(instance, "consume", [42])
      assert Exception.message(error) =~ "GuestResource"
    end

    test "wrong paths and names", %{instance: instance} do
      assert {:error,
              "Guest resource path must contain an exported interface and a resource name"} =
               GuestResource.new(instance, ["one"])

      assert {:error, "Export path segment `wrong:package/types` was not found"} =
               GuestResource.new(instance, ["wrong:package/types", "counter"])

      assert {:error, text} = GuestResource.new(instance, [@counters, "nope"])
      assert text =~ "Guest resource function `[constructor]nope` was not found"

      assert GuestResource.new(instance, @counter, []) ==
               {:error, "Expected 1 guest resource arguments, got 0"}

      {:ok, counter} = GuestResource.new(instance, @counter, [1])
      assert {:error, text} = GuestResource.call(counter, :method, :nope)
      assert text =~ "`[method]counter.nope` was not found"

      assert {:error, "Expected 1 guest resource arguments, got 0"} =
               GuestResource.call(counter, :method, :add)
    end

    test "a handle that is lost is dropped before the next call", %{instance: instance} do
      task = Task.async(fn -> for _ <- 1..10, do: counters(instance, "make", [1]) end)
      Task.await(task, 60_000)
      wait_until(fn -> live(instance) == 0 end)
    end

    test "destructors that trap or never end", %{instance: instance} do
      {:ok, quiet} = GuestResource.new(instance, [@counters, "fragile"], ["quiet"])
      assert GuestResource.drop(quiet) == :ok
      {:ok, traps} = GuestResource.new(instance, [@counters, "fragile"], ["trap"])
      assert {:error, text} = GuestResource.drop(traps)
      assert text =~ "unreachable"

      {instance, store} = Guests.instance("resources", Guests.resources_imports())
      {:ok, spins} = GuestResource.new(instance, [@counters, "fragile"], ["spin"])
      assert GuestResource.drop(spins, 20) == {:error, :timeout}
      assert Wasmex.Components.Store.spent?(store)
    end
  end

  describe "Elixir's" do
    test "constructor, methods, borrow and own", %{instance: instance} do
      assert user(instance, "round-trip", ["n", "k", <<1, 2>>]) == {:ok, {:some, <<1, 2>>}}
      assert_received {:dropped, "n"}
      assert {:ok, {:ok, {:bucket, "o", _}}} = user(instance, "open", ["o"])
      # It went to Elixir, so the guest has dropped nothing.
      refute_received {:dropped, "o"}
      assert user(instance, "open", [""]) == {:ok, {:error, "no name"}}
      assert user(instance, "copy", ["k", "v"]) == {:ok, 1}
      assert_received {:dropped, "source"}
      assert_received {:dropped, "target"}
      assert user(instance, "batch", [["a", "b"]]) == {:ok, {["a", "b"], 2}}
      assert {:ok, {:some, {:bucket, "there", _}}} = user(instance, "find", ["there"])
    end

    test "terms as arguments", %{instance: instance} do
      bucket = {:bucket, "mine", :ets.new(:bucket, [:public])}
      assert user(instance, "name-of", [bucket]) == {:ok, "mine"}
      refute_received {:dropped, _}
      assert user(instance, "names-of", [bucket, {:some, bucket}]) == {:ok, ["mine", "mine"]}
      assert user(instance, "echo", [bucket]) == {:ok, bucket}
      assert user(instance, "echo-list", [[bucket, bucket]]) == {:ok, [bucket, bucket]}
      refute_received {:dropped, _}
      assert user(instance, "swallow", [bucket]) == {:ok, "mine"}
      assert_received {:dropped, "mine"}
      assert user(instance, "hand-over", [bucket]) == {:ok, "mine"}
      refute_received {:dropped, _}
    end

    test "a guest keeps them", %{instance: instance} do
      bucket = {:bucket, "kept", :ets.new(:bucket, [:public])}
      assert {:ok, nil} = user(instance, "keep", [bucket])
      assert user(instance, "kept", []) == {:ok, ["kept"]}
      assert user(instance, "take-back", []) == {:ok, {:some, bucket}}
      assert {:ok, nil} = user(instance, "keep", [bucket])
      assert user(instance, "drop-kept", []) == {:ok, 1}
      assert_received {:dropped, "kept"}
    end

    test "take as much memory as the store has" do
      {:ok, store} = Wasmex.Components.Store.new(%Wasmex.StoreLimits{memory_size: 20_000_000})

      {:ok, instance} =
        Instance.instantiate(store, Guests.component("resources"), Guests.resources_imports())

      bucket = {:bucket, Enum.to_list(1..500_000), :ets.new(:bucket, [:public])}
      assert user(instance, "echo-list", [[bucket]]) == {:ok, [bucket]}
      assert {:error, error} = user(instance, "echo-list", [[bucket, bucket, bucket]])
      assert Exception.message(error) =~ "memory_size"
      # Nothing is left of them.
      assert user(instance, "echo-list", [[bucket, bucket]]) == {:ok, [bucket, bucket]}
    end

    test "are as many as a store may have", %{instance: instance} do
      bucket = {:bucket, "mine", :ets.new(:bucket, [:public])}
      too_many = List.duplicate(bucket, 100_001)
      assert {:error, error} = user(instance, "echo-list", [too_many])
      assert Exception.message(error) =~ "100,000 resources of the host"
      assert user(instance, "echo-list", [[bucket, bucket]]) == {:ok, [bucket, bucket]}
    end

    test "a drop that fails ends the call" do
      imports = Guests.resources_imports(fn _ -> raise "can't drop" end)
      {instance, _} = Guests.instance("resources", imports)
      assert {:error, error} = user(instance, "copy", ["k", "v"])
      assert Exception.message(error) =~ "can't drop"
    end
  end

  describe "modules" do
    defmodule Counter do
      use Wasmex.Components.GuestResource,
        wit: File.read!("test/guests/component_resources/wit/world.wit"),
        resource: "counter"
    end

    defmodule Fragile do
      use Wasmex.Components.GuestResource,
        wit: File.read!("test/guests/component_resources/wit/world.wit"),
        resource: "fragile"
    end

    defmodule Bucket do
      use Wasmex.Components.HostResource,
        wit_path: "test/guests/component_resources/wit",
        resource: "bucket"

      def new(name), do: {:bucket, name, :ets.new(:bucket, [:public])}
      def name({:bucket, name, _}), do: name
      def put({:bucket, _, table}, key, value), do: :ets.insert(table, {key, value})

      def get({:bucket, _, table}, key) do
        case :ets.lookup(table, key) do
          [{_, value}] -> {:some, value}
          [] -> :none
        end
      end

      def open(name), do: {:ok, new(name)}
      def drop({:bucket, name, _}), do: send(self(), {:module_dropped, name})
    end

    test "of a guest's resource", %{instance: instance} do
      assert {:ok, counter} = Counter.new(instance, 1)
      assert Counter.add(counter, 2) == {:ok, 3}
      assert Counter.increment(counter, timeout: 60_000) == {:ok, 4}
      assert {:ok, {:ok, other}} = Counter.parse(instance, "5")
      assert Counter.is_greater(other, counter) == {:ok, true}
      assert Counter.drop(other) == :ok
      assert Counter.live(instance) == {:ok, 1}
      assert Counter.value(counter) == {:ok, 4}
      {:ok, quiet} = Fragile.new(instance, :quiet)
      assert Fragile.ending(quiet) == {:ok, :quiet}
    end

    test "of Elixir's resource" do
      others = Map.drop(Guests.resources_imports()["test:resources/hosted@1.0.0"], ["bucket"])
      free = Map.filter(others, fn {name, _} -> not String.starts_with?(name, "[") end)
      imports = HostResource.merge_imports([Bucket, %{"test:resources/hosted@1.0.0" => free}])
      {instance, _} = Guests.instance("resources", imports)
      assert user(instance, "round-trip", ["n", "k", "v"]) == {:ok, {:some, "v"}}
      assert_received {:module_dropped, "n"}
    end

    test "mistakes are compile errors" do
      assert_compile_error(~r/Missing host resource callbacks: .*new\/1.*open\/1/, """
        use Wasmex.Components.HostResource, wit_path: "test/guests/component_resources/wit", resource: "bucket"
      """)

      assert_compile_error(~r/Pass either :wit or :wit_path, not both/, """
        use Wasmex.Components.HostResource, wit: "", wit_path: "x", resource: "bucket"
      """)

      assert_compile_error(~r/Missing required :wit or :wit_path option/, """
        use Wasmex.Components.HostResource, resource: "bucket"
      """)

      assert_compile_error(~r/Failed to discover guest resource "nope": :not_found/, """
        use Wasmex.Components.GuestResource, wit: File.read!("test/guests/component_resources/wit/world.wit"), resource: "nope"
      """)
    end

    defp assert_compile_error(pattern, body) do
      name = "Wasmex.Wrong#{System.unique_integer([:positive])}"

      error =
        assert_raise CompileError, fn ->
          Code.eval_string("defmodule #{name} do\n#{body}\nend")
        end

      assert Exception.message(error) =~ pattern
    end
  end
end
