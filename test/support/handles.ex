defmodule Wasmex.Handles do
  @moduledoc """
  One handle of each kind, and all public functions that take one: each is called with a handle of the test's choice, and
  with good values for all other arguments, which come from its `@spec`.
  """

  alias Wasmex.{ComponentGuests, Components}

  @wat """
  (module
    (memory (export "memory") 1)
    (table (export "t") 2 funcref)
    (global (export "g") (mut i32) (i32.const 1))
    (tag (export "e") (param i32))
    (func (export "f") (param i32) (result i32) local.get 0)
    (func (export "callback") (param funcref))
    (func (export "take") (param anyref))
    (func (export "i31") (result anyref) (ref.i31 (i32.const 1)))
    (type $s (struct))
    (func (export "struct") (result anyref) (struct.new $s)))
  """

  @kinds [Wasmex.StoreOrCaller, Wasmex.Engine, Wasmex.Module, Wasmex.Instance, Wasmex.Template] ++
           [Wasmex.Memory, Wasmex.Table, Wasmex.Global, Wasmex.Tag, Wasmex.Func, Wasmex.Reference] ++
           [Wasmex.Pipe, Wasmex.Socket.Listener, Wasmex.Plugin, Wasmex.Plugin.Compiled] ++
           [Components.Store, Components.Component, Components.Template, Components.Instance] ++
           [Components.GuestResource]

  @counter ["test:resources/counters@1.0.0", "counter"]

  @doc "A handle of each kind, by the module of its struct."
  @spec make() :: %{module() => struct()}
  def make do
    {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{})
    {:ok, store} = Wasmex.Store.new()
    {:ok, module} = Wasmex.Module.compile(store, @wat)
    {:ok, instance} = Wasmex.Instance.new(store, module, %{})

    [memory, table, global, tag, func] =
      for {kind, name} <- [memory: "memory", table: "t", global: "g", tag: "e", func: "f"] do
        {:ok, handle} = Wasmex.Instance.export(instance, kind, name)
        handle
      end

    {:ok, template} = Wasmex.Linker.instantiate_pre(Wasmex.Linker.new(), module)
    {:ok, [reference]} = Wasmex.Instance.call(instance, "struct", [])
    {:ok, pipe} = Wasmex.Pipe.new()
    {:ok, listener} = Wasmex.Socket.listen(:pipe)
    {:ok, compiled} = Wasmex.Plugin.compile({:bytes, ~s|(module (func (export "f")))|})
    {:ok, plugin} = Wasmex.Plugin.new(compiled)

    handles = [engine, store, module, instance, memory, table, global, tag, func, template]
    handles = handles ++ [reference, pipe, listener, compiled, plugin] ++ components()
    Map.new(handles, &{&1.__struct__, &1})
  end

  @doc "The same, kept alive by a process of its own."
  @spec keep() :: %{module() => struct()}
  def keep do
    caller = self()

    pid =
      spawn(fn ->
        send(caller, {self(), make()})
        Process.sleep(:infinity)
      end)

    receive do
      {^pid, handles} -> handles
    end
  end

  defp components do
    imports = ComponentGuests.resources_imports()
    {instance, store} = ComponentGuests.instance("resources", imports)
    component = ComponentGuests.component("resources")
    {:ok, template} = Components.Template.new(component, imports)
    {:ok, resource} = Components.GuestResource.new(instance, @counter, [1])
    [store, component, template, instance, resource]
  end

  @typedoc "A function, its arity, and which of its arguments is the handle."
  @type use :: {module(), atom(), arity(), non_neg_integer(), module()}

  @doc "Each public function and argument of it that is a handle."
  @spec uses() :: [use()]
  def uses do
    Enum.uniq(
      for {module, name, args} <- specs(),
          {arg, index} <- Enum.with_index(args),
          handle <- handles_in(arg, module),
          do: {module, name, length(args), index, handle}
    )
  end

  @doc "Calls the function with `handle` there, and good arguments elsewhere."
  @spec call(use(), struct(), %{module() => struct()}) :: term()
  def call({module, name, arity, index, _kind}, handle, good) do
    {_, _, args} =
      Enum.find(specs(), fn {m, n, args} -> {m, n, length(args)} == {module, name, arity} end)

    args = special({module, name}, good) || Enum.map(args, &value(&1, module, good))
    apply(module, name, List.replace_at(args, index, handle))
  end

  # Arguments that a type does not tell enough about.
  defp special({Components.Component, :deserialize}, good) do
    {:ok, artefact} = Components.Component.serialize(good[Components.Component])
    [artefact, nil, []]
  end

  defp special({Wasmex.Module, :deserialize}, good) do
    {:ok, artefact} = Wasmex.Module.serialize(good[Wasmex.Module])
    [artefact, nil, []]
  end

  defp special({Components.Component, name}, _good) when name in [:compile, :new],
    do: [nil, "(component)", []]

  defp special({Wasmex.Engine, :precompile_component}, _good), do: [nil, "(component)", []]
  defp special({Wasmex.Engine, _precompile}, _good), do: [nil, "(module)", []]
  defp special({Wasmex.Module, :compile}, _good), do: [nil, "(module)", []]
  defp special({Wasmex.Global, :new}, good), do: [good[Wasmex.StoreOrCaller], :i32, 1, []]
  defp special({Wasmex.Table, :new}, good), do: [good[Wasmex.StoreOrCaller], :funcref, 1, []]
  defp special({Wasmex.Linker, _}, good), do: [Wasmex.Linker.new(), good[Wasmex.Module], []]
  defp special({Wasmex.Func, :call}, _good), do: [nil, [1], []]
  defp special({Wasmex.Instance, :read_bytes}, good), do: [good[Wasmex.Instance], {0, 1}, []]
  defp special({Components.GuestResource, :new}, _good), do: [nil, @counter, [1], 1_000]

  defp special({Components.GuestResource, :call_static}, _good),
    do: [nil, @counter, :static, :live, [], 1_000]

  defp special({Components.Instance, :call_function}, _good),
    do: [nil, "f", [], {self(), make_ref()}, 1_000]

  defp special({Wasmex.Instance, :call_exported_function}, good),
    do: [good[Wasmex.StoreOrCaller], good[Wasmex.Instance], "f", [1], {self(), make_ref()}, 1_000]

  defp special({Components.Instance, name}, good) when name in [:instantiate, :new] do
    imports = ComponentGuests.resources_imports()
    args = [good[Components.Store], good[Components.Component], imports]
    if name == :new, do: args, else: args ++ [[]]
  end

  defp special(_function, _good), do: nil

  # Of functions with docs, in modules with docs: `{module, name, types of arguments}`.
  defp specs do
    case :persistent_term.get(__MODULE__, nil) do
      nil -> tap(read_specs(), &:persistent_term.put(__MODULE__, &1))
      specs -> specs
    end
  end

  defp read_specs do
    {:ok, modules} = :application.get_key(:wasmex, :modules)

    # Those of `Wasmex.Case` belong to a test.
    for module <- modules -- [Wasmex.Case],
        {:docs_v1, _, _, _, %{}, _, docs} <- [Code.fetch_docs(module)],
        {:ok, specs} = Code.Typespec.fetch_specs(module),
        {{:function, name, arity}, _, _, %{}, _} <- docs,
        {{^name, ^arity}, [spec | _]} <- specs,
        do: {module, name, arguments(spec)}
  end

  defp arguments({:type, _, :fun, [{:type, _, :product, args}, _]}), do: args
  defp arguments({:type, _, :bounded_fun, [fun, _]}), do: arguments(fun)

  defp handles_in(type, module), do: for(kind <- types(type, module), kind in @kinds, do: kind)

  # The modules whose `t()` is the type, or part of it.
  defp types({:remote_type, _, [{:atom, _, module}, {:atom, _, :t}, []]}, _module),
    do: structs(module)

  defp types({:user_type, _, :t, []}, module), do: structs(module)
  defp types({:type, _, :union, types}, module), do: Enum.flat_map(types, &types(&1, module))
  defp types({:ann_type, _, [_, type]}, module), do: types(type, module)
  defp types(_type, _module), do: []

  # A module that is not loaded exports nothing yet.
  defp structs(module) do
    struct? = Code.ensure_loaded?(module) and function_exported?(module, :__struct__, 0)
    if struct?, do: [module], else: []
  end

  defp value({:ann_type, _, [_, type]}, module, good), do: value(type, module, good)

  defp value({:type, _, :union, types} = union, module, good) do
    case types(union, module) do
      [handle | _] -> Map.get(good, handle)
      [] -> value(hd(types), module, good)
    end
  end

  defp value({:user_type, _, :address, []}, _module, _good), do: 1
  defp value({:type, _, :list, _}, _module, _good), do: []
  defp value({:type, _, :map, _}, _module, _good), do: %{}
  defp value({:type, _, :binary, _}, _module, _good), do: "f"
  defp value({:type, _, :iodata, _}, _module, _good), do: "f"
  defp value({:type, _, :pid, _}, _module, _good), do: self()
  defp value({:type, _, :timeout, _}, _module, _good), do: 1_000
  defp value({:type, _, :term, _}, _module, _good), do: 1
  defp value({:type, _, :any, _}, _module, _good), do: 1
  defp value({:atom, _, atom}, _module, _good), do: atom

  defp value({:type, _, number, _}, _module, _good)
       when number in [:non_neg_integer, :pos_integer, :integer, :number],
       do: 1

  defp value({:remote_type, _, [{:atom, _, String}, {:atom, _, :t}, []]}, _module, _good), do: "f"

  defp value({:remote_type, _, [{:atom, _, module}, {:atom, _, :t}, []]}, _module, good),
    do: Map.get_lazy(good, module, fn -> struct(module) end)

  defp value({:user_type, _, :t, []}, module, good), do: Map.get(good, module)
  defp value(_other, _module, _good), do: []
end
