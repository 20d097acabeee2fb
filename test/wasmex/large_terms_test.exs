defmodule Wasmex.LargeTermsTest do
  # Large terms take another way than small ones, and must arrive all the same.
  use ExUnit.Case, async: true

  alias Wasmex.{Engine, EngineConfig, Error, Global, Instance, Module, Store, Table}

  @wat """
  (module
    (import "env" "give" (func $give (result externref)))
    (import "env" "take" (func $take (param externref externref) (result i32)))
    (global (export "g") (mut externref) (ref.null extern))
    (table (export "t") 10 externref)
    (func (export "same") (param externref) (result externref i32 externref)
      (local.get 0) (i32.const 1) (local.get 0))
    (func (export "pull") (result externref) (call $give))
    (func (export "push") (param externref) (result i32) (call $take (local.get 0) (local.get 0))))
  """

  @large Map.new(1..20_000, &{&1, {&1, [1.5, "text"]}})

  defp guest(large) do
    imports = %{
      env: %{
        give: {:fn, [], [:externref], fn _ -> large end},
        take:
          {:fn, [:externref, :externref], [:i32], fn _, a, b -> if(a == b, do: 1, else: 0) end}
      }
    }

    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, @wat)
    {:ok, instance} = Instance.new(store, module, imports)
    instance
  end

  for {what, term} <- [small: [1, {2, 3}], large: @large, list: Enum.to_list(1..50_000)] do
    test "a #{what} term in calls, imports, globals and tables" do
      term = unquote(Macro.escape(term))
      instance = guest(term)
      assert Instance.call(instance, "same", [term]) == {:ok, [term, 1, term]}
      assert Instance.call(instance, "same", [term], floats: :bits) == {:ok, [term, 1, term]}
      assert Instance.call(instance, "pull", []) == {:ok, [term]}
      assert Instance.call(instance, "push", [term]) == {:ok, [1]}
      {:ok, global} = Instance.export(instance, :global, "g")
      assert :ok = Global.set(global, term)
      assert Global.get(global) == {:ok, term}
      {:ok, table} = Instance.export(instance, :table, "t")
      assert :ok = Table.set(table, 1, term)
      assert Table.get(table, 1) == {:ok, term}
      assert {:ok, 10} = Table.grow(table, 2, term)
      assert Table.get(table, 11) == {:ok, term}
    end
  end

  test "a function, whose size is unknown" do
    fun = fn -> :called end
    assert {:ok, [same, 1, _]} = Instance.call(guest(nil), "same", [fun])
    assert same.() == :called
  end

  test "a term that shares its parts, and is larger than any memory when it is copied" do
    halves = Enum.reduce(1..60, [], fn _, half -> [half | half] end)
    instance = guest(nil)
    assert {:error, %Error{reason: :limit}} = Instance.call(instance, "push", [halves])
    {:ok, global} = Instance.export(instance, :global, "g")
    assert {:error, %Error{reason: :limit}} = Global.set(global, halves)
    assert Instance.call(instance, "push", [1]) == {:ok, [1]}
  end

  test "terms that guests keep count with the memory limit of their store, as long as they keep them" do
    {:ok, store} = Store.new(%Wasmex.StoreLimits{memory_size: 4_000_000})
    {:ok, module} = Module.compile(store, @wat)

    imports = %{
      env: %{
        give: {:fn, [], [:externref], fn _ -> 1 end},
        take: {:fn, [:externref, :externref], [:i32], fn _, _, _ -> 1 end}
      }
    }

    {:ok, instance} = Instance.new(store, module, imports)
    {:ok, table} = Instance.export(instance, :table, "t")
    term = Enum.to_list(1..60_000)

    kept = for index <- 0..9, do: Table.set(table, index, term)
    assert [:ok, :ok, :ok | _] = kept
    assert {:error, %Error{reason: :limit} = error} = List.last(kept)
    assert Exception.message(error) =~ "memory_size"

    # Atoms and small numbers are references, too, which take little.
    assert :ok = Table.set(table, 9, :small)
    assert {:error, %Error{reason: :limit}} = Instance.call(instance, "same", [term])
    Store.close(store)

    {:ok, instance} = {:ok, guest(nil)}
    {:ok, table} = Instance.export(instance, :table, "t")
    for index <- 0..9, do: assert(:ok = Table.set(table, index, term))
  end

  @dumped """
  (module (memory (export "memory") 100) (func (export "f") unreachable))
  """

  test "a core dump up to its size" do
    for {size, dumped?} <- [{100 * 65_536, true}, {100 * 65_536 - 1, false}] do
      {:ok, engine} = Engine.new(%EngineConfig{core_dump: true, core_dump_size: size})
      {:ok, store} = Store.new(nil, engine)
      {:ok, module} = Module.compile(store, @dumped)
      {:ok, instance} = Instance.instantiate(store, module, %{})
      assert {:error, %Wasmex.Trap{code: :unreachable}} = Instance.call(instance, "f", [])
      assert {:ok, dump} = Wasmex.Native.core_dump_take(store.resource)
      assert is_binary(dump) == dumped?
    end
  end

  test "guests with debug information run on dirty schedulers, with imports and timeouts" do
    {:ok, engine} = Engine.new(%EngineConfig{wasm_backtrace_details: true})

    wat = """
    (module (import "env" "f" (func $f (param i32) (result i32)))
      (func (export "f") (param i32) (result i32) (call $f (local.get 0)))
      (func (export "spin") (loop br 0)))
    """

    import = {:fn, [:i32], [:i32], fn _, n -> n + 1 end}
    {:ok, store} = Store.new(nil, engine)
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, %{env: %{f: import}})
    for n <- 1..100, do: assert(Instance.call(instance, "f", [n]) == {:ok, [n + 1]})

    assert {:error, %Error{reason: :timeout}} = Instance.call(instance, "spin", [], timeout: 50)
    assert Instance.call(instance, "f", [1]) == {:ok, [2]}
  end
end
