defmodule Wasmex.Hostile.MappingsTest do
  # Guests that nest calls or hold many memories: the kernel allows a process only so many mappings.
  use ExUnit.Case, async: true

  alias Wasmex.{ChildVM, Engine, EngineConfig, Error, Instance, Module, Store, StoreLimits}

  @nest """
  (module
    (import "e" "up" (func $up (param i32) (result i32)))
    (func (export "f") (param i32) (result i32)
      (if (result i32) (i32.eqz (local.get 0))
        (then (i32.const 0))
        (else (i32.add (i32.const 1) (call $up (i32.sub (local.get 0) (i32.const 1))))))))
  """

  # Calls itself through Elixir: the deepest call that failed goes up as the exception.
  defp nesting(limits, engine \\ nil) do
    {:ok, store} = Store.new(limits, engine)
    {:ok, module} = Module.compile(store, @nest)

    up = fn _context, left ->
      case Instance.call(Process.get(:nesting), "f", [left]) do
        {:ok, [depth]} -> depth
        {:error, error} -> throw(error)
      end
    end

    {:ok, instance} = Instance.new(store, module, %{"e" => %{"up" => {:fn, [:i32], [:i32], up}}})

    Process.put(:nesting, instance)
    instance
  end

  defp root(%Error{reason: :import_raised, details: %{exception: error}}), do: root(error)
  defp root(error), do: error

  test "calls may be nested 64 deep, and no deeper" do
    instance = nesting(nil)
    assert {:ok, [63]} = Instance.call(instance, "f", [63])
    assert {:error, error} = Instance.call(instance, "f", [64])
    assert %Error{reason: :call_depth, details: %{limit: 64}} = root(error)
    assert Exception.message(root(error)) =~ "call_depth"
    assert {:ok, [1]} = Instance.call(instance, "f", [1])
  end

  test "the limit is the store's" do
    instance = nesting(%StoreLimits{call_depth: 3})
    assert {:ok, [2]} = Instance.call(instance, "f", [2])
    assert {:error, error} = Instance.call(instance, "f", [3])
    assert %Error{reason: :call_depth, details: %{limit: 3}} = root(error)
  end

  test "a store has 500 instances at most where its limits say nothing" do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, "(module (memory 0))")
    for _ <- 1..500, do: assert({:ok, _} = Instance.new(store, module, %{}))
    assert {:error, text} = Instance.new(store, module, %{})
    assert text =~ "too high at 501"

    {:ok, store} = Store.new(%StoreLimits{instances: 600, memories: 600})
    for _ <- 1..600, do: assert({:ok, _} = Instance.new(store, module, %{}))
  end

  test "a dense engine grows a memory without copying it" do
    {:ok, engine} = Engine.new(%EngineConfig{density: true})
    {:ok, store} = Store.new(%StoreLimits{memory_size: 64 * 1024 * 1024}, engine)

    {:ok, module} =
      Module.compile(store, """
      (module (memory (export "m") 0)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "set") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
        (func (export "get") (param i32) (result i32) (i32.load (local.get 0))))
      """)

    {:ok, instance} = Instance.new(store, module, %{})
    assert {:error, %Wasmex.Trap{}} = Instance.call(instance, "get", [0])

    for pages <- 0..1023 do
      assert {:ok, [^pages]} = Instance.call(instance, "grow", [1])
      assert {:ok, []} = Instance.call(instance, "set", [pages * 65_536, pages])
    end

    assert {:ok, [-1]} = Instance.call(instance, "grow", [1])

    for pages <- 0..1023,
        do: assert({:ok, [^pages]} = Instance.call(instance, "get", [pages * 65_536]))

    assert {:ok, [0]} = Instance.call(instance, "get", [1023 * 65_536 + 4])
    assert {:error, %Wasmex.Trap{}} = Instance.call(instance, "get", [1024 * 65_536 - 3])
  end

  # In a VM of its own: the count is the VM's.
  test "the guests of a VM leave it half of the mappings that it may have" do
    {output, status} =
      ChildVM.run("""
      alias Wasmex.{Instance, Module, Store}
      engine = Wasmex.Engine.default()
      {:ok, module} = Module.compile(engine, ~s|(module (memory 1) (func (export "f") (i32.store (i32.const 0) (i32.const 1))))|)

      make = fn ->
        {:ok, store} = Store.new(nil, engine)
        with {:ok, instance} <- Instance.instantiate(store, module, %{}),
             {:ok, []} <- Instance.call(instance, "f", []), do: {:ok, store}
      end

      fill = fn fill, stores ->
        case make.() do
          {:ok, store} -> fill.(fill, [store | stores])
          {:error, error} -> {error, stores}
        end
      end

      {error, stores} = fill.(fill, [])
      [most] = File.read!("/proc/sys/vm/max_map_count") |> String.split() |> Enum.map(&String.to_integer/1)
      maps = File.stream!("/proc/self/maps") |> Enum.count()
      IO.puts("reason \#{error.reason}, half \#{error.details.limit == div(most, 2)}, left \#{maps < most * 3 / 4}")

      # The VM has mappings for itself.
      for _ <- 1..50, do: :binary.copy("x", 5_000_000)
      Enum.each(stores, &Store.close/1)
      {:ok, _} = make.()
      IO.puts("goes on, many \#{length(stores) > 5_000 or most < 65_530}")
      """)

    assert {output, status} ==
             {"reason mapping_limit, half true, left true\ngoes on, many true\n", 0}
  end
end
