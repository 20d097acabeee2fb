defmodule Wasmex.Components.Bindgen.Functions do
  @moduledoc false
  # Generates functions with docs and specs.

  import Wasmex.Components.Bindgen.Context

  alias Wasmex.Components.Bindgen.{Names, Spec}
  alias Wasmex.WIT

  @doc "The quoted function and its `!` variant. Names in `taken` get an underscore."
  @spec function(map(), String.t() | nil, Wasmex.Components.Bindgen.Context.t(), [String.t()]) ::
          Macro.t()
  def function(function, interface, context, taken \\ [])

  def function(%{kind: :method} = function, _interface, context, taken) do
    [_self | params] = function.params
    {args, arg_types} = args(params, context)
    name = function |> WIT.function_name() |> Names.function(taken) |> Names.identifier()
    structs = structs_of(function.result, context)
    bang = Names.identifier("#{name}!")

    # Not by name: a name such as `spawn` also exists in Kernel.
    call =
      quote do
        Wasmex.Component.method(
          handle,
          unquote(function.resource),
          unquote(function.name),
          unquote(args),
          opts,
          unquote(structs)
        )
      end

    quote do
      @doc unquote(
             "Like `#{name}/#{length(args) + 2}`, but returns the value or raises the exception."
           )
      @spec unquote(bang)(
              Wasmex.Components.GuestResource.t(),
              unquote_splicing(arg_types),
              keyword()
            ) :: unquote(result(function, context))
      def unquote(bang)(handle, unquote_splicing(args), opts \\ []),
        do: Wasmex.Component.value!(unquote(call))

      @doc unquote(doc(function))
      @spec unquote(name)(
              Wasmex.Components.GuestResource.t(),
              unquote_splicing(arg_types),
              keyword()
            ) :: {:ok, unquote(result(function, context))} | {:error, Exception.t()}
      def unquote(name)(handle, unquote_splicing(args), opts \\ []), do: unquote(call)
    end
  end

  def function(function, interface, context, taken) do
    {args, arg_types} = args(function.params, context)
    name = function |> WIT.function_name() |> Names.function(taken)
    path = if interface, do: [interface, function.name], else: [function.name]
    result = result(function, context)
    structs = structs_of(function.result, context)
    {plain, bang} = {Names.identifier(name), Names.identifier(name <> "!")}

    quote do
      @doc unquote(doc(function))
      @spec unquote(plain)(
              GenServer.server() | Wasmex.Components.Instance.t(),
              unquote_splicing(arg_types),
              keyword()
            ) :: {:ok, unquote(result)} | {:error, Exception.t()}
      def unquote(plain)(target, unquote_splicing(args), opts \\ []),
        do:
          Wasmex.Component.call(
            target,
            unquote(path),
            unquote(args),
            opts,
            unquote(structs)
          )

      @doc unquote(
             "Like `#{name}/#{length(args) + 2}`, but returns the value or raises the exception."
           )
      @spec unquote(bang)(
              GenServer.server() | Wasmex.Components.Instance.t(),
              unquote_splicing(arg_types),
              keyword()
            ) :: unquote(result)
      def unquote(bang)(target, unquote_splicing(args), opts \\ []),
        do:
          Wasmex.Component.call!(
            target,
            unquote(path),
            unquote(args),
            opts,
            unquote(structs)
          )
    end
  end

  @doc false
  @spec args([{String.t(), term()}], Wasmex.Components.Bindgen.Context.t()) ::
          {[Macro.t()], [Macro.t()]}
  def args(params, context) do
    args =
      for {{name, _type}, index} <- Enum.with_index(params),
          do: Macro.var(argument(name, index), __MODULE__)

    {args, Enum.map(params, fn {_name, type} -> Spec.type(type, &place(&1, &2, context)) end)}
  end

  # Parameters may have the name of an Elixir keyword, or of the generated parameters beside them.
  defp argument(name, index) do
    name = WIT.elixir_name(name)

    if name in ["target", "opts", "handle"] or Names.word?(name) or name =~ ~r/\A\d/,
      do: Names.identifier("arg#{index + 1}"),
      else: Names.identifier(name)
  end

  defp result(%{kind: :constructor}, _context),
    do: quote(do: Wasmex.Components.GuestResource.t())

  defp result(%{result: nil}, _context), do: nil
  defp result(%{result: type}, context), do: Spec.type(type, &place(&1, &2, context))

  defp doc(function) do
    text = function.docs || "Calls `#{function.name}` of the component."
    params = Enum.map_join(function.params, ", ", fn {name, _} -> name end)
    if params == "", do: text, else: text <> "\n\nParameters: #{params}."
  end

  # What is needed to convert a result to structs: its type, and those of all names; nil if there are none.
  defp structs_of(nil, _context), do: nil
  defp structs_of(_type, %{structs?: false}), do: nil

  defp structs_of(type, context),
    do: quote(do: {unquote(Macro.escape(atoms(type))), unquote(context.module).__structs__()})

  @doc "The named types of a world, with the modules of those that are structs: the table for `Structs.to/2`."
  @spec structs(Wasmex.Components.Bindgen.Context.t()) :: map()
  def structs(%{structs?: false}), do: %{}

  def structs(context) do
    table =
      for {:interface, interface, %{types: types}} <-
            context.world.exports ++ context.world.imports,
          {name, %{type: type}} <- types,
          into: %{} do
        module =
          if struct?(type, context) and exported?(interface, context),
            do: struct_module(interface, name, context)

        {{interface, name}, {module, atoms(type)}}
      end

    roots =
      for {name, %{type: type}} <- root_types(context.world),
          into: %{},
          do: {{nil, name}, {nil, atoms(type)}}

    Map.merge(table, roots)
  end

  # Names of fields and cases as atoms, as in results.
  defp atoms({kind, list}) when kind in [:record, :variant],
    do: {kind, for({name, type, docs} <- list, do: {Names.atom(name), atoms(type), docs})}

  defp atoms({:tuple, types}), do: {:tuple, Enum.map(types, &atoms/1)}
  defp atoms({kind, names}) when kind in [:enum, :flags], do: {kind, names}
  defp atoms({:named, _, _} = named), do: named
  defp atoms({:list, type, length}), do: {:list, atoms(type), length}
  defp atoms({kind, one, other}), do: {kind, atoms(one), atoms(other)}
  defp atoms({kind, type}), do: {kind, atoms(type)}
  defp atoms(other), do: other
end
