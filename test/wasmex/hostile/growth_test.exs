defmodule Wasmex.Hostile.GrowthTest do
  # Guests that take more and more of everything that they can have. What they get without any limit of the caller's is
  # tried in test/stress/growth_test.exs, which needs gigabytes.
  use ExUnit.Case, async: true

  alias Wasmex.{Components, Error, Instance, Module, Store, StoreLimits, Trap}

  @mib 1024 * 1024

  @growing Wasmex.GrowingGuests.all()

  # Below and above the sizes from which on memory is freed and collected elsewhere.
  for {name, _wat} <- @growing, size <- [1, 8, 40] do
    test "#{name} of a guest end at the limit of its store, #{size} MiB" do
      {wat, _growth} = @growing[unquote(name)]
      limits = %StoreLimits{memory_size: unquote(size) * @mib, table_elements: 100_000}
      assert ended?(grow(wat, limits))
    end
  end

  for {name, {wat, _}} <- @growing, not String.contains?(wat, ~s|import "host"|) do
    test "#{name} of a component end at the limit of its store" do
      {wat, _growth} = @growing[unquote(name)]
      limits = %StoreLimits{memory_size: 8 * @mib, table_elements: 100_000}
      {:ok, store} = Components.Store.new(limits)
      {:ok, component} = Components.Component.new(store, in_component(wat))
      {:ok, instance} = Components.Instance.new(store, component, %{})
      opts = [timeout: :infinity]
      assert instance |> Components.Instance.call("grow", [], opts) |> in_list() |> ended?()
    end

    test "#{name} of a program end at its limit" do
      {wat, _growth} = @growing[unquote(name)]
      assert {:error, error} = Wasmex.run(in_program(wat), [], max_memory: 8 * @mib)
      assert ended?({:error, error})
    end
  end

  defp in_component(wat) do
    result = if wat =~ ~s|"grow") (result i32)|, do: "(result s32)"

    """
    (component
      #{String.replace(wat, "(module", "(core module $m", global: false)}
      (core instance $i (instantiate $m))
      (func (export "grow") #{result} (canon lift (core func $i "grow"))))
    """
  end

  defp in_list({:ok, result}), do: {:ok, List.wrap(result)}
  defp in_list(error), do: error

  # A program that is refused ends with a trap.
  defp in_program(wat) do
    grow = "(call $grow)"
    traps = "(if (i32.lt_s #{grow} (i32.const 0)) (then unreachable))"
    start = if wat =~ ~s|"grow") (result i32)|, do: traps, else: grow

    wat
    |> String.replace(~s|(func (export "grow")|, ~s|(func $grow (export "grow")|)
    |> String.trim()
    |> String.replace_suffix(")", ~s|(func (export "_start") #{start}))|)
  end

  test "instances, tables and memories of a component count like those of modules" do
    wat = """
    (component
      (core module $m (memory 1) (table 1 funcref))
      (core instance (instantiate $m)) (core instance (instantiate $m)) (core instance (instantiate $m)))
    """

    for field <- [:instances, :tables, :memories], most <- [2, 4] do
      {:ok, store} = Components.Store.new(struct!(StoreLimits, [{field, most}]))
      {:ok, component} = Components.Component.new(store, wat)
      made = Components.Instance.new(store, component, %{})
      if most == 4, do: assert({:ok, _} = made), else: assert({:error, _} = made)
    end
  end

  test "a full heap of objects is an error that names the limit, and the store still works" do
    {wat, _} = @growing["objects"]
    {:ok, store} = Store.new(%StoreLimits{memory_size: 4 * @mib})
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, %{})

    for _ <- 1..3 do
      assert {:error, %Error{reason: :oom, details: %{heap: 4_194_304}} = error} =
               Instance.call(instance, "grow", [])

      assert Exception.message(error) =~ "memory_size"
      assert Instance.call(instance, "clear", []) == {:ok, []}
    end
  end

  test "linear memory and objects have one limit together" do
    {:ok, store} = Store.new(%StoreLimits{memory_size: 16 * @mib})

    wat = """
    (module (memory (export "m") 0)
      (type $node (struct (field (ref null $node)) (field i64 i64 i64)))
      (global $head (mut (ref null $node)) (ref.null $node))
      (func (export "memory") (param i32) (result i32) (memory.grow (local.get 0)))
      (func (export "objects") (param i32)
        (loop $again
          (global.set $head (struct.new $node (global.get $head) (i64.const 1) (i64.const 2) (i64.const 3)))
          (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
    """

    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, %{})
    assert Instance.call(instance, "memory", [220]) == {:ok, [0]}
    assert {:error, %Error{reason: :oom}} = Instance.call(instance, "objects", [100_000])
    assert Instance.call(instance, "memory", [220]) == {:ok, [-1]}
  end

  # Each takes almost three kilobytes, whatever is in it.
  test "small terms count with all that they take" do
    made = :counters.new(1, [])
    {wat, _} = @growing["terms of a few words"]

    small = fn _ ->
      :counters.add(made, 1, 1)
      {make_ref()}
    end

    imports = %{"host" => %{"small" => {:fn, [], [:externref], small}}}
    assert ended?(grow(wat, %StoreLimits{memory_size: 8 * @mib}, imports))
    assert :counters.get(made, 1) in 500..4_096
  end

  test "terms that a guest no longer refers to leave room for others" do
    wat = """
    (module (import "host" "term" (func $term (result externref)))
      (func (export "take") (param externref))
      (func (export "make") (param i32)
        (loop $again
          (drop (call $term))
          (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
    """

    {:ok, store} = Store.new(%StoreLimits{memory_size: 8 * @mib})
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, Wasmex.GrowingGuests.imports())
    # 100 kB each.
    assert {:ok, []} = Instance.call(instance, "make", [500])
    for _ <- 1..500, do: assert({:ok, []} = Instance.call(instance, "take", [terms()]))
    {:ok, table} = Wasmex.Table.new(store, :externref, 1)
    for _ <- 1..500, do: assert(:ok = Wasmex.Table.set(table, 0, terms()))
  end

  defp terms, do: List.duplicate(1, 6_000)

  defp grow(wat, limits, imports \\ Wasmex.GrowingGuests.imports()) do
    {:ok, store} = Store.new(limits)
    {:ok, module} = Module.compile(store, wat)

    with {:ok, instance} <- Instance.instantiate(store, module, imports),
         do: Instance.call(instance, "grow", [], timeout: :infinity)
  end

  # Refused with an error, or with the -1 of `memory.grow` and `table.grow`.
  defp ended?({:ok, [-1]}), do: true

  defp ended?({:error, %Error{reason: reason}}),
    do: reason in [:oom, :import_raised, :limit, :bad_results]

  defp ended?({:error, %Trap{}}), do: true
end
