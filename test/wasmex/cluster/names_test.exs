defmodule Wasmex.Cluster.NamesTest do
  use ExUnit.Case, async: true

  alias Wasmex.Cluster.Names

  test "only real changes make a new version" do
    assert %Names{version: 0} = own = Names.new(%{})
    assert {own, %{"a" => 1} = changes} = Names.change(own, %{"a" => 1, "b" => nil})
    assert own.version == 1
    assert {^own, none} = Names.change(own, changes)
    assert none == %{}
    assert {%{version: 2, names: names}, %{"a" => nil}} = Names.change(own, %{"a" => nil})
    assert names == %{}
    assert %Names{version: 1} = Names.new(%{"a" => 1})
  end

  test "a missed change is noticed, all names are more than changes, and nothing is applied twice" do
    known = %Names{version: 3, names: %{"a" => 1, "b" => 1}}
    assert Names.merge(known, 4, 5, %{"c" => 1}) == :missed
    assert Names.merge(known, 2, 3, %{"a" => 2}) == :old
    assert Names.merge(known, nil, 3, %{}) == :old
    assert {:ok, now, %{"a" => 2}} = Names.merge(known, 3, 4, %{"a" => 2})
    assert now == %Names{version: 4, names: %{"a" => 2, "b" => 1}}
    assert {:ok, now, changed} = Names.merge(known, nil, 9, %{"b" => 1, "c" => 1})
    assert now == %Names{version: 9, names: %{"b" => 1, "c" => 1}}
    assert changed == %{"a" => nil, "c" => 1}
  end

  # As between two nodes: messages keep their order, some are lost, and a beat with another version asks for all.
  test "whatever is lost, the next beat makes both the same" do
    for seed <- 1..300 do
      :rand.seed(:exsss, {seed, 1, 1})
      start = {Names.new(%{}), %Names{}, %{}}

      {own, known, table} =
        Enum.reduce(1..60, start, fn _, {own, known, table} ->
          {next, changes} = Names.change(own, some())
          lost? = changes == %{} or :rand.uniform(3) == 1

          {known, table} =
            if lost?,
              do: {known, table},
              else: sent(known, table, own.version, next.version, changes)

          {next, known, table}
        end)

      {known, table} = beat(own, known, table)
      assert known == own
      assert table == own.names
    end
  end

  defp some do
    for _ <- 1..:rand.uniform(4), into: %{} do
      {:rand.uniform(6), Enum.random([nil, 1, 2])}
    end
  end

  defp sent(known, table, since, version, changes) do
    case Names.merge(known, since, version, changes) do
      {:ok, known, changes} -> {known, written(table, changes)}
      # It asks for all, which may be lost too.
      :missed -> {known, table}
      :old -> flunk("version #{version} came twice")
    end
  end

  defp beat(%{version: version}, %{version: version} = known, table), do: {known, table}
  defp beat(own, known, table), do: sent(known, table, nil, own.version, own.names)

  # The table of all nodes' names is written from the changes alone.
  defp written(table, changes) do
    Enum.reduce(changes, table, fn
      {name, nil}, table ->
        assert is_map_key(table, name)
        Map.delete(table, name)

      {name, number}, table ->
        Map.put(table, name, number)
    end)
  end
end
