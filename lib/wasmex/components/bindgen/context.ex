defmodule Wasmex.Components.Bindgen.Context do
  @moduledoc false
  # Shared by the parts of a generated module: the modules of interfaces, and where named types are defined.

  alias Wasmex.Components.Bindgen.Names

  defstruct [:module, :world, :structs?, :interfaces]

  @type t :: %__MODULE__{}

  @spec new(map(), module(), boolean()) :: t()
  def new(world, module, structs?),
    do: %__MODULE__{
      module: module,
      world: world,
      structs?: structs?,
      interfaces: interfaces(world, module)
    }

  # The modules of interfaces by name. Short names are used if they are unique.
  defp interfaces(world, module) do
    for side <- [:exports, :imports],
        items = for({:interface, name, _} <- world[side], do: name),
        name <- items,
        into: %{} do
      base = if side == :imports, do: Names.module(module, "imports"), else: module
      {{side, name}, Names.module(base, short(name, side, items))}
    end
  end

  # The package and the version are added only if needed to distinguish it from others, and from the imports.
  defp short(name, side, others) do
    forms = [&last/1, &unversioned/1, & &1]
    alone? = fn form -> Enum.count(others, &(camel(form.(&1)) == camel(form.(name)))) == 1 end
    free? = fn form -> side == :imports or camel(form.(name)) != "Imports" end

    case Enum.find(forms, &(alone?.(&1) and free?.(&1))) do
      nil ->
        Names.fail("no module name is left for the interface #{name} of the WIT")

      form ->
        form.(name)
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

  def struct_module(owner, name, context),
    do: Names.module(module_of(owner, context), name)

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
