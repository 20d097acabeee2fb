defmodule Wasmex.Native.Inspect do
  @moduledoc false
  # Inspects handles readably: `#Wasmex.Memory<17 pages>`. Never waits for a store or raises: properties that are
  # unavailable (the store is in use, the handle belongs to another node) are omitted, and the reference identifies the
  # handle.

  alias Wasmex.{Native, Printable, Quantity}
  alias Wasmex.Call.Turn

  # Maximum length of a name, and number of exports shown.
  @longest 60
  @shown 3

  @doc "The text between the angle brackets; nil if unavailable."
  @spec words(struct()) :: String.t() | nil
  def words(handle) do
    describe(handle)
  rescue
    # Of another node, empty, or used before the library is loaded.
    _ in [ArgumentError, ErlangError, FunctionClauseError, MatchError] -> nil
  end

  @doc "What identifies a handle without words."
  @spec reference(struct()) :: reference() | nil
  def reference(%{reference: reference}), do: reference
  def reference(_value), do: nil

  defp describe(%Wasmex.Module{resource: resource}) do
    join([
      name(Native.module_name(resource)),
      count(Native.module_exports(resource), "export"),
      wasi(for({namespace, _, _} <- Native.module_imports(resource), do: namespace))
    ])
  end

  defp describe(%Wasmex.Template{resource: resource}),
    do: describe(%Wasmex.Module{resource: Native.template_module(resource)})

  defp describe(%Wasmex.Instance{resource: resource}) do
    exports = Native.instance_exports(resource)
    functions = for {name, {:fn, _, _}} <- exports, do: Printable.name(name)
    others = for {_, type} <- exports, elem(type, 0) != :fn, do: type
    join([some("functions", functions), others != [] && count(others, "other export")])
  end

  defp describe(%Wasmex.Memory{resource: resource}) do
    {:ok, bytes} =
      quick(&Native.memory_size(resource, &1), fn -> Native.memory_store(resource) end)

    plural(div(bytes, 0x1_0000), "page")
  end

  defp describe(%Wasmex.Table{resource: resource}) do
    store = fn -> Native.table_store(resource) end
    {:ok, size} = quick(&Native.table_size(resource, &1), store)
    {:ok, {:table, %{type: type}}} = quick(&Native.table_type(resource, &1), store)
    "#{plural(size, "element")} of #{type(type)}"
  end

  defp describe(%Wasmex.Global{resource: resource}) do
    {:ok, {:global, %{mutability: mutability, type: type}}} =
      quick(&Native.global_type(resource, &1), fn -> Native.global_store(resource) end)

    if(mutability == :var, do: "mutable ", else: "") <> type(type)
  end

  defp describe(%Wasmex.Func{resource: resource}) do
    {:fn, params, results} = Native.func_type(resource)
    "(#{Enum.map_join(params, ", ", &type/1)})" <> returns(results)
  end

  defp describe(%Wasmex.Pipe{resource: resource}),
    do: plural(Native.pipe_size(resource), "byte")

  defp describe(%Wasmex.Components.Component{resource: resource}) do
    {_imports, exports} = Native.component_describe(resource)
    some("exports", for({name, _} <- exports, do: Printable.name(name))) || "no exports"
  end

  defp describe(%Wasmex.Components.Template{resource: resource}) do
    resource = Native.component_template_component(resource)
    describe(%Wasmex.Components.Component{resource: resource})
  end

  defp describe(%Wasmex.Components.Instance{instance_resource: resource}) do
    resource = Native.component_instance_component(resource)
    describe(%Wasmex.Components.Component{resource: resource})
  end

  defp describe(%Wasmex.Components.GuestResource{} = handle) do
    {_instance, interface, name} = Wasmex.Components.GuestResource.origin(handle)
    Printable.name("#{interface}/#{name}")
  end

  defp describe(%Wasmex.StoreOrCaller{resource: {_store, _serial}}), do: "caller"

  defp describe(%Wasmex.Plugin{name: name, compiled: compiled}),
    do: join([name(name), plugin(compiled)])

  defp describe(%Wasmex.Plugin.Compiled{} = compiled), do: plugin(compiled)

  defp describe(%Wasmex.Linker{imports: imports, wasi: wasi}) do
    names =
      for {namespace, definitions} <- Enum.sort(imports),
          name <- definitions |> Map.keys() |> Enum.sort(),
          do: Printable.name("#{namespace}.#{name}")

    join([some("imports", names), if(wasi, do: "wasi")]) || "no imports"
  end

  defp describe(%Wasmex.Snapshot{bytes: bytes, kind: kind, memory: memory}) do
    "#{kind} of #{Quantity.bytes(byte_size(bytes))}, #{Quantity.bytes(memory)} of memory"
  end

  defp describe(%Wasmex.HTTP.Function{name: name, convention: convention, size: size}),
    do: join([name(name), to_string(convention), Quantity.bytes(size)])

  defp describe(%Wasmex.Profile{name: name, stacks: stacks}) do
    samples = for {_frames, count} <- stacks, reduce: 0, do: (sum -> sum + count)
    join([name(name), plural(samples, "sample")])
  end

  defp describe(_handle), do: nil

  defp plugin(compiled),
    do: some("functions", compiled |> Wasmex.Plugin.functions() |> Enum.map(&Printable.name/1))

  # Does not wait for a store that another process uses.
  defp quick(ask, store) do
    with {:busy, ref} <- ask.(nil) do
      Turn.leave(store.(), ref)
      :busy
    end
  end

  defp name(nil), do: nil
  defp name(name), do: name |> Printable.name() |> String.slice(0, @longest) |> Kernel.inspect()

  defp count(list, what), do: plural(length(list), what)
  defp plural(1, what), do: "1 #{what}"
  defp plural(n, what), do: "#{n} #{what}s"

  defp wasi(namespaces),
    do: if(Enum.any?(namespaces, &String.starts_with?(&1, "wasi")), do: "wasi")

  defp some(_what, []), do: nil

  defp some(what, names) do
    more = length(names) - @shown
    shown = names |> Enum.take(@shown) |> Enum.map_join(", ", &String.slice(&1, 0, @longest))
    "#{what} #{shown}" <> if(more > 0, do: " and #{more} more", else: "")
  end

  defp join(parts) do
    case Enum.filter(parts, & &1) do
      [] -> nil
      parts -> Enum.join(parts, ", ")
    end
  end

  defp type({:reference, "(ref null func)"}), do: "funcref"
  defp type({:reference, "(ref null extern)"}), do: "externref"
  defp type({:reference, text}), do: text
  defp type(type), do: Atom.to_string(type)

  defp returns([]), do: ""
  defp returns([result]), do: " -> #{type(result)}"
  defp returns(results), do: " -> (#{Enum.map_join(results, ", ", &type/1)})"
end

for module <- [
      Wasmex.StoreOrCaller,
      Wasmex.Engine,
      Wasmex.Module,
      Wasmex.Instance,
      Wasmex.Template,
      Wasmex.Memory,
      Wasmex.Table,
      Wasmex.Global,
      Wasmex.Tag,
      Wasmex.Func,
      Wasmex.Reference,
      Wasmex.Pipe,
      Wasmex.Plugin,
      Wasmex.Plugin.Compiled,
      Wasmex.Linker,
      Wasmex.Snapshot,
      Wasmex.Profile,
      Wasmex.HTTP.Function,
      Wasmex.Components.Component,
      Wasmex.Components.Template,
      Wasmex.Components.Instance,
      Wasmex.Components.Store,
      Wasmex.Components.GuestResource
    ] do
  defimpl Inspect, for: module do
    import Inspect.Algebra

    def inspect(%module{} = handle, opts) do
      inside =
        Wasmex.Native.Inspect.words(handle) ||
          to_doc(Wasmex.Native.Inspect.reference(handle), opts)

      concat(["#", Kernel.inspect(module), "<", inside, ">"])
    end
  end
end
