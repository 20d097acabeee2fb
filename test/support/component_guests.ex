defmodule Wasmex.ComponentGuests do
  @moduledoc false
  # The components under test/guests, compiled once for all tests, and what they import.

  alias Wasmex.Components.{Component, Instance, Store}

  @doc "The compiled component of this name."
  def component(name) do
    key = {__MODULE__, name}

    with nil <- :persistent_term.get(key, nil) do
      bytes = File.read!(path(name))
      {:ok, component} = Component.compile(Wasmex.Engine.default(), bytes)
      :persistent_term.put(key, component)
      component
    end
  end

  def path(name), do: "test/guests/component_#{name}/component_#{name}.wasm"

  @doc "A fresh instance in a store of its own, `{instance, store}`."
  def instance(name, imports, opts \\ []) do
    {:ok, store} = Store.new(opts[:limits])

    {:ok, instance} =
      Instance.instantiate(store, component(name), imports, Keyword.take(opts, [:value_format]))

    {instance, store}
  end

  @doc "What `component_types` imports; `calls` replaces some of it."
  def types_imports(calls \\ %{}) do
    host = %{
      "log" => fn _ -> nil end,
      "upcase" => &String.upcase/1,
      "double-all" => fn numbers -> Enum.map(numbers, &(&1 * 2)) end,
      "reverse-bytes" => fn bytes -> bytes |> :binary.bin_to_list() |> Enum.reverse() end,
      "move-by" => fn a, b -> %{x: a["x"] + b["x"], y: a["y"] + b["y"]} end,
      "find" => fn key -> if key == "a", do: {:some, "A"}, else: :none end,
      "check" => fn n -> if n >= 0, do: {:ok, n}, else: {:error, "negative"} end,
      "confirm" => fn text -> if text == "yes", do: :ok, else: :error end,
      "price" => fn order -> {:ok, %{order | "id" => order["id"] + 1}} end
    }

    {root, calls} = Map.split(calls, ["ask"])
    functions = Map.new(Map.merge(host, calls), fn {name, f} -> {name, {:fn, f}} end)

    %{
      "test:types/host@1.0.0" => functions,
      "ask" => {:fn, Map.get(root, "ask", fn _ -> 42 end)}
    }
  end

  @doc "What `component_resources` imports: buckets that are `{:bucket, name, table}`."
  def resources_imports(drop \\ fn _bucket -> :ok end) do
    new = fn name -> {:bucket, name, :ets.new(:bucket, [:public])} end
    name = fn {:bucket, name, _} -> name end

    copy = fn {:bucket, _, from}, {:bucket, _, to} ->
      entries = :ets.tab2list(from)
      :ets.insert(to, entries)
      length(entries)
    end

    get = fn {:bucket, _, table}, key ->
      case :ets.lookup(table, key) do
        [{_, value}] -> {:some, value}
        [] -> :none
      end
    end

    functions = %{
      "[constructor]bucket" => new,
      "[method]bucket.name" => name,
      "[method]bucket.put" => fn {:bucket, _, table}, key, value ->
        :ets.insert(table, {key, value})
      end,
      "[method]bucket.get" => get,
      "[static]bucket.open" => fn name ->
        if name == "", do: {:error, "no name"}, else: {:ok, new.(name)}
      end,
      "copy" => copy,
      "close" => name,
      "open-all" => fn names -> Enum.map(names, new) end,
      "close-all" => &length/1,
      "names" => fn buckets -> Enum.map(buckets, name) end,
      "find" => fn name -> if name == "there", do: {:some, new.(name)}, else: :none end
    }

    functions = Map.new(functions, fn {name, f} -> {name, {:fn, f}} end)
    %{"test:resources/hosted@1.0.0" => Map.put(functions, "bucket", {:resource, drop})}
  end

  @doc "What `component_bench` imports."
  def bench_imports,
    do: %{"tick" => {:fn, fn n -> n end}, "shout" => {:fn, &String.upcase/1}}
end
