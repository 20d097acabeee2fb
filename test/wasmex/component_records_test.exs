defmodule Wasmex.ComponentRecordsTest do
  # Records and the maps they become, made and read as the VM has them in memory, or through its interface: the results
  # are the same, and the maps are like any others. Other tests that run meanwhile may get either way.
  use ExUnit.Case, async: true

  import Wasmex.Layouts, only: [alone: 1, both: 1]

  alias Wasmex.Components.{Component, Instance, Store}
  alias Wasmex.{EchoComponent, Native}

  defmodule Pair do
    defstruct [:field_1, :field_2]
  end

  defp instance(type, names \\ %{}) do
    engine = Wasmex.Engine.default()
    {:ok, component} = Component.compile(engine, EchoComponent.wat(type), names: names)
    {:ok, store} = Store.new()
    {:ok, instance} = Instance.instantiate(store, component, %{})
    instance
  end

  defp echo(instance, value, opts \\ []) do
    params = [{value, 1, 2} | List.duplicate(7, 17)]
    with {:ok, {value, 1, 2}} <- Instance.call(instance, "echo", params, opts), do: {:ok, value}
  end

  # Names of different lengths, in an order that is not theirs.
  defp names(count) do
    lengths = [1, 2, 7, 8, 9, 15, 16, 17, 30, 63, 64, 65, 100]

    1..count
    |> Enum.map(fn n ->
      length = Enum.at(lengths, rem(n, length(lengths)))

      String.slice(
        "#{<<?a + rem(n * 7, 26)>>}#{n}" <> String.duplicate("x", 100),
        0,
        max(length, 4)
      )
    end)
    |> Enum.uniq()
  end

  defp short(count), do: for(n <- count..1//-1, do: "field-#{n}")

  defp record(names, type \\ :u32), do: {:record, Enum.map(names, &{&1, type})}

  test "any number of fields, with names of any length" do
    for count <- [1, 2, 5, 31, 32, 33, 64], names <- [names(count), short(count)] do
      instance = instance({:list, record(names)})
      values = for n <- 1..3, do: Map.new(names, &{&1, :erlang.phash2({n, &1})})
      assert both(fn -> echo(instance, values) end) == [{:ok, values}, {:ok, values}]
      assert both(fn -> echo(instance, []) end) == [{:ok, []}, {:ok, []}]
    end
  end

  test "records in records, and two types with the same names" do
    inner = record(["x", "y"], :string)
    same = record(["y", "x"], :s64)
    outer = {:record, [{"b", inner}, {"a", {:option, inner}}, {"c", {:list, same}}, {"d", same}]}
    instance = instance({:list, outer})
    text = fn n -> %{"x" => "#{n}", "y" => String.duplicate("y", n)} end
    number = fn n -> %{"x" => n, "y" => -n} end

    values =
      for n <- 0..70 do
        inner = Enum.at([:none, {:some, text.(n)}], rem(n, 2))
        %{"a" => inner, "b" => text.(n), "c" => Enum.map(0..3, number), "d" => number.(n)}
      end

    assert both(fn -> echo(instance, values) end) == [{:ok, values}, {:ok, values}]
  end

  test "more types of records in a value than are searched one by one" do
    types = for n <- 1..30, do: record(["n", "type-#{n}"], :u8)
    flags = for n <- 1..3, do: {:flags, for(flag <- 1..8, do: "flag-#{n}-#{flag}")}
    instance = instance({:tuple, [{:list, {:tuple, types}}, {:tuple, flags}]})
    values = for m <- 1..2, do: List.to_tuple(for(n <- 1..30, do: %{"n" => m, "type-#{n}" => n}))
    flags = List.to_tuple(for n <- 1..3, do: Map.new(1..n, &{"flag-#{n}-#{&1}", true}))
    value = {values, flags}
    assert both(fn -> echo(instance, value) end) == [{:ok, value}, {:ok, value}]
  end

  test "registered atoms, some or all, are keys of results" do
    for names <- [%{"field-1" => :one}, %{"field-1" => :one, "field-2" => :zwei}] do
      instance = instance({:list, record(short(3))}, names)
      values = for n <- 1..2, do: Map.new(short(3), &{names[&1] || &1, n})
      assert both(fn -> echo(instance, values) end) == [{:ok, values}, {:ok, values}]
      strings = for n <- 1..2, do: Map.new(short(3), &{&1, n})
      assert both(fn -> echo(instance, strings) end) == [{:ok, values}, {:ok, values}]
    end
  end

  test "two names with one atom are an error" do
    new = fn -> instance(record(short(2)), %{"field-1" => :one, "field-2" => :one}) end
    assert [{:error, error}, {:error, error}] = both(fn -> echo(new.(), %{one: 1, two: 2}) end)
  end

  test "existing atoms are keys of results as in Wasmex 0.15, once they exist" do
    type = record(["x", "y"])
    engine = Wasmex.Engine.default()
    name = "f#{System.unique_integer([:positive])}"
    lists = {:list, {:tuple, [type, record([name, "x"])]}}
    {:ok, component} = Component.compile(engine, EchoComponent.wat(lists))
    {:ok, store} = Store.new()

    {:ok, instance} = Instance.new(store, component, %{})
    call = fn value -> echo(instance, value, value_format: :compat) end
    points = fn key -> for n <- 1..3, do: {%{x: n, y: n}, %{key => n, x: n}} end
    assert both(fn -> call.(points.(name)) end) == List.duplicate({:ok, points.(name)}, 2)
    # The name is this test's own.
    atom = String.to_atom(name)
    assert both(fn -> call.(points.(name)) end) == List.duplicate({:ok, points.(atom)}, 2)
  end

  test "arguments are maps with strings or atoms, or structs" do
    instance = instance({:list, record(["field-1", "field-2"])})
    expected = %{"field-1" => 1, "field-2" => 2}

    values = [
      expected,
      %{:"field-1" => 1, :"field-2" => 2},
      %{:field_1 => 1, "field-2" => 2},
      %{field_1: 1, field_2: 2},
      %Pair{field_1: 1, field_2: 2},
      Map.new([{part("field-1"), 1}, {part("field-2"), 2}])
    ]

    mixed = values ++ Enum.reverse(values)
    expected = {:ok, List.duplicate(expected, 12)}
    assert both(fn -> echo(instance, mixed) end) == [expected, expected]
  end

  # A part of a longer binary.
  defp part(text), do: binary_part(String.duplicate("-", 80) <> text, 80, byte_size(text))

  test "what is wrong with a map is the same" do
    instance = instance(record(["field-1", "field-2"]))

    wrong = [
      %{},
      %{"field-1" => 1},
      %{"field-1" => 1, "field-3" => 2},
      %{"field-1" => 1, "field-2" => 2, "field-3" => 3},
      %{"field-1" => 1, "field-2" => 2, :__struct__ => 3, 4 => 5},
      %{"field-1" => 1, :"field-1" => 1},
      %{"field-1" => 1, :field_1 => 2, :__struct__ => Pair},
      %{"field-1" => 1, <<"field-2", 0>> => 2},
      %{"field-1" => 1, <<"field-", 1::1>> => 2},
      %{"field-1" => 1, ~c"field-2" => 2},
      %{"field-1" => 1, "field-2" => -1},
      %{"field-1" => :a, "field-3" => 1},
      Map.new(1..33, &{"field-#{&1}", 1}),
      [],
      {1, 2},
      1 |> Bitwise.bsl(100),
      1.5,
      make_ref(),
      fn -> 1 end,
      "text"
    ]

    for value <- wrong do
      assert [{:error, one}, {:error, other}] = both(fn -> echo(instance, value) end)
      assert Exception.message(one) == Exception.message(other)
    end
  end

  test "two spellings of a name: the same one is taken" do
    instance = instance(record(["field-1", "field-2"]))
    value = %{"field-1" => 1, :field_1 => 2, "field-2" => 3}
    assert [same, same] = both(fn -> echo(instance, value) end)
  end

  describe "a record's map is like any other:" do
    setup do
      names = names(20)
      value = fn n -> Map.new(names, &{&1, {n, &1}}) end
      instance = instance({:list, record(names, {:tuple, [:u32, :string]})})
      expected = Enum.map(1..50, value)
      {:ok, made} = echo(instance, expected)
      %{made: made, expected: expected, names: names}
    end

    test "compared, hashed, encoded", %{made: made, expected: expected} do
      assert made == expected and expected === made
      assert :erlang.phash2(made) == :erlang.phash2(expected)
      assert made |> :erlang.term_to_binary() |> :erlang.binary_to_term() == expected
      assert Enum.sort(made) == Enum.sort(expected)
      assert MapSet.new(made) == MapSet.new(expected)
      assert inspect(made, limit: :infinity) == inspect(expected, limit: :infinity)
    end

    test "changed", %{made: made, expected: expected, names: [name | _] = names} do
      for {one, other} <- Enum.zip(made, expected) do
        assert Map.put(one, name, 0) == Map.put(other, name, 0)
        assert Map.put(one, :new, 0) == Map.put(other, :new, 0)
        assert Map.delete(one, name) == Map.delete(other, name)
        assert Map.pop(one, List.last(names)) == Map.pop(other, List.last(names))
        assert %{one | name => 1} == %{other | name => 1}
        assert Map.merge(one, %{name => 1, 2 => 3}) == Map.merge(other, %{name => 1, 2 => 3})
        more = Map.new(1..20, &{&1, &1})
        assert Map.merge(one, more) == Map.merge(other, more)
        assert Map.to_list(one) == Map.to_list(other)
        assert %{^name => {n, ^name}} = one
        assert {n, name} == other[name]
        for name <- names, do: assert(Map.fetch!(one, name) == Map.fetch!(other, name))
      end
    end

    test "collected, sent, stored", %{made: made, expected: expected} do
      :erlang.garbage_collect()
      assert made == expected
      :erlang.garbage_collect(self(), type: :minor)
      test = self()

      pid =
        spawn_link(fn ->
          receive do
            maps ->
              :erlang.garbage_collect()
              send(test, {:sent, maps})
          end
        end)

      send(pid, made)
      assert_receive {:sent, ^expected}
      table = :ets.new(:maps, [:public])
      for {map, n} <- Enum.with_index(made), do: :ets.insert(table, {n, map})
      :erlang.garbage_collect()
      for {map, n} <- Enum.with_index(expected), do: assert(:ets.lookup(table, n) == [{n, map}])
      :ets.insert(table, {made, 1})
      assert :ets.lookup(table, expected) == [{expected, 1}]
      key = {__MODULE__, make_ref()}
      :persistent_term.put(key, made)
      assert :persistent_term.get(key) == expected
      :persistent_term.erase(key)
    end

    test "argument of the next call", %{names: names} do
      instance = instance({:list, record(names)})
      first = for n <- 1..20, do: Map.new(names, &{&1, n})

      choose = fn n, maps ->
        Native.vm_layout_use(rem(n, 3) != 0)
        {:ok, maps} = echo(instance, maps)
        [map | maps] = maps
        maps ++ [%{map | hd(names) => map[hd(names)]}]
      end

      last = alone(fn -> Enum.reduce(1..30, first, choose) end)
      assert Enum.sort(last) == Enum.sort(first)
    end
  end

  test "maps made in many processes that collect garbage all the time" do
    instances =
      for count <- [2, 20, 40], do: {short(count), instance({:list, record(short(count))})}

    1..8
    |> Task.async_stream(fn seed ->
      {names, _} = Enum.at(instances, rem(seed, 3))
      instance = instance({:list, record(names)})

      for n <- 1..60 do
        value = for m <- 1..n, do: Map.new(names, &{&1, m})
        {:ok, made} = echo(instance, value)
        if rem(n, 7) == 0, do: :erlang.garbage_collect()
        kept = for map <- made, do: Map.put(map, :n, n)
        if rem(n, 5) == 0, do: :erlang.garbage_collect(self(), type: :minor)
        assert made == value
        assert kept == Enum.map(value, &Map.put(&1, :n, n))
      end
    end)
    |> Stream.run()
  end
end
