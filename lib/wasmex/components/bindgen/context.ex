defmodule Wasmex.Components.Bindgen.Context do
  @moduledoc false
  # Shared by the parts of a generated module: the modules of interfaces, and where named types are defined.

  alias Wasmex.Components.Bindgen.Names

  defstruct [:module, :world, :structs?, :interfaces, types: %{}]

  @type t :: %__MODULE__{}

  @spec new(map(), module(), boolean()) :: t()
  def new(world, module, structs?) do
    context = %__MODULE__{
      module: module,
      world: world,
      structs?: structs?,
      interfaces: interfaces(world, module)
    }

    %{context | types: types(context)}
  end

  # The modules of records and resources within interfaces.
  defp types(context) do
    for {:interface, interface, %{types: types}} <-
          context.world.imports ++ context.world.exports,
        own = for({name, %{type: type}} <- types, own_module?(type), do: name),
        {name, module} <- interface |> module_of(context) |> Names.modules(own),
        into: %{},
        do: {{interface, name}, module}
  end

  defp own_module?(type), do: type == :resource or match?({:record, _}, type)

  # The modules of interfaces by name. Short names are used if they are unique.
  defp interfaces(world, module) do
    for side <- [:exports, :imports],
        items = for({:interface, name, _} <- world[side], do: name),
        base = if(side == :imports, do: Names.module(module, "imports"), else: module),
        shorts = shorts(items, side),
        modules = Names.modules(base, shorts),
        {name, short} <- Enum.zip(items, shorts),
        into: %{},
        do: {{side, name}, modules[short]}
  end

  # The package and the version are added only if needed to distinguish it from others, and from the imports.
  defp shorts(names, side) do
    forms =
      for form <- [&last/1, &unversioned/1, & &1],
          do: {form, Enum.frequencies_by(names, &camel(form.(&1)))}

    Enum.map(names, &short(&1, side, forms))
  end

  defp short(name, side, forms) do
    alone? = fn {form, counts} -> counts[camel(form.(name))] == 1 end
    free? = fn {form, _} -> side == :imports or camel(form.(name)) != "Imports" end
    whole = if side == :exports and camel(name) == "Imports", do: name <> "-interface", else: name

    case Enum.find(forms, &(alone?.(&1) and free?.(&1))) do
      nil -> whole
      {form, _counts} -> form.(name)
    end
  end

  defp last(name), do: name |> unversioned() |> String.split("/") |> List.last()
  defp unversioned(name), do: String.replace(name, ~r/@.*/, "")
  defp camel(name), do: Names.camel(name)

  @spec root_types(map()) :: [{String.t(), map()}]
  def root_types(world),
    do: for({:type, name, type} <- world.imports ++ world.exports, do: {name, type})

  @spec struct?(term(), t()) :: boolean()
  def struct?({:record, _}, %{structs?: true}), do: true
  def struct?(_type, _context), do: false

  @spec struct_module(String.t() | nil, String.t(), t()) :: module()
  def struct_module(nil, name, context), do: Names.module(context.module, name)

  def struct_module(owner, name, context), do: within(owner, name, context)

  @doc "The module of a record or a resource of an interface."
  @spec within(String.t(), String.t(), t()) :: module()
  def within(interface, name, context), do: Map.fetch!(context.types, {interface, name})

  # A named type is defined in the module of its interface, exported or imported.
  @spec place(String.t() | nil, String.t(), t()) :: Macro.t()
  def place(nil, name, context), do: remote(context.module, name)

  def place(interface, name, context) do
    case module_of(interface, context) do
      nil -> quote(do: term())
      module -> remote(module, name)
    end
  end

  defp remote(module, name), do: quote(do: unquote(module).unquote(Names.type(name))())

  @spec module_of(String.t(), t()) :: module()
  def module_of(interface, context) do
    Map.get(context.interfaces, {:exports, interface}) ||
      Map.get(context.interfaces, {:imports, interface})
  end

  @spec exported?(String.t(), t()) :: boolean()
  def exported?(interface, context), do: Map.has_key?(context.interfaces, {:exports, interface})
end
