defmodule Wasmex.WIT do
  @moduledoc """
  Reads WIT worlds from text, a file or folder, or a component.

  The result is plain data. A world is a map with `:name`, `:docs`, `:imports` and `:exports`, lists of

  - `{:func, name, function}`
  - `{:interface, name, %{name:, docs:, types: [{name, %{docs:, type:}}], functions: [function]}}`
  - `{:type, name, %{docs:, type:}}`

  A function is a map with `:name` (as in a component: `"[method]counter.add"`), `:docs`, `:kind` (`:func`, `:method`,
  `:static`, `:constructor`), `:resource`, `:async`, `:params` (`[{name, type}]`) and `:result` (a type or `nil`). Types are those
  of `Wasmex.Components.Component`, plus `{:named, interface | nil, name}` for named types. Each field and case has its
  docs after its type.

  ## Example

      iex> {:ok, world} = Wasmex.WIT.world({:text, "package a:b; world w { export add: func(a: s32, b: s32) -> s32; }"})
      iex> [{:func, "add", function}] = world.exports
      iex> {function.params, function.result}
      {[{"a", :s32}, {"b", :s32}], :s32}

  Source: [WIT](https://github.com/WebAssembly/component-model/blob/main/design/mvp/WIT.md).
  """

  alias Wasmex.{Error, Limits, Native, Options}

  @type source ::
          {:text, String.t()}
          | {:text, String.t(), String.t()}
          | {:path, Path.t()}
          | {:component, binary()}
  @type world :: %{name: String.t(), docs: String.t() | nil, imports: list(), exports: list()}

  @options Options.table(
             [
               world: [
                 type: {:or, [nil], :text},
                 doc: "the name of the world, if there are several"
               ],
               limits: [
                 type: {:options, Limits},
                 default: struct(Limits),
                 default_doc: "`%Wasmex.Limits{}`",
                 doc: "limits for the text or the component"
               ]
             ],
             "Wasmex.WIT.world/2"
           )

  @doc """
  Reads a world. In `{:text, label, text}`, the label is used in error messages.

  #{Options.Docs.table(@options)}
  """
  @spec world(source(), keyword()) :: {:ok, world()} | {:error, Exception.t()}
  def world(source, opts \\ []) do
    %{world: world, limits: limits} = Options.new!(opts, @options)
    read(source(source), world, limits)
  end

  # As `Wasmex.Components.Component.compile/2` has it. The parser would allocate what the module's sections claim.
  defp read({:component, <<0, "asm", 1, 0, 0, 0, _::binary>>}, _world, _limits) do
    message = "expected a component, got a core module (see Wasmex.Module)"
    {:error, %Error{reason: :module, details: %{message: message}}}
  end

  defp read(source, world, limits) do
    case Native.wit_world(source, world, Limits.native(limits)) do
      {:ok, world} -> {:ok, world}
      {:error, native} -> {:error, Error.from_native(native)}
    end
  end

  @doc """
  Formats a world as WIT text. WASI interfaces are named but not included.

      iex> {:ok, world} = Wasmex.WIT.world({:text, "package a:b; world w { export add: func(a: s32, b: s32) -> s32; }"})
      iex> Wasmex.WIT.print(world) =~ "  export add: func(a: s32, b: s32) -> s32;"
      true
  """
  @spec print(world()) :: String.t()
  def print(%{name: _, docs: _, imports: imports, exports: exports} = world)
      when is_list(imports) and is_list(exports),
      do: Wasmex.WIT.Printer.print(world)

  def print(other), do: Wasmex.Options.misuse!("a world, as Wasmex.WIT.world/2 returns it", other)

  defp source({:text, text}), do: source({:text, "text.wit", text})

  defp source({:text, label, text}) do
    unless is_binary(label) and String.valid?(label) and is_binary(text) and String.valid?(text),
      do: Options.misuse!("WIT as text (UTF-8)", text)

    {:text, label, text}
  end

  defp source({kind, bytes}) when kind in [:path, :component], do: {kind, bytes}

  @doc "The Elixir spelling of a WIT name: `\"first-name\"` is `\"first_name\"`."
  @spec elixir_name(String.t()) :: String.t()
  def elixir_name(name), do: String.replace(name, "-", "_")

  @doc "The last part of a function's name: `add` for `[method]counter.add`, `new` for a constructor."
  @spec function_name(map()) :: String.t()
  def function_name(%{kind: :constructor}), do: "new"
  def function_name(%{kind: :func, name: name}), do: elixir_name(name)

  def function_name(%{name: name}),
    do: name |> String.split(".", parts: 2) |> List.last() |> elixir_name()

  @doc "All names of fields, cases and flags in the world."
  @spec value_names(world()) :: [String.t()]
  def value_names(world) do
    (world.imports ++ world.exports)
    |> Enum.flat_map(&item_types/1)
    |> Enum.flat_map(&names/1)
    |> Enum.uniq()
  end

  defp item_types({:func, _name, function}), do: function_types(function)
  defp item_types({:type, _name, %{type: type}}), do: [type]

  defp item_types({:interface, _name, interface}) do
    Enum.map(interface.types, fn {_name, %{type: type}} -> type end) ++
      Enum.flat_map(interface.functions, &function_types/1)
  end

  defp function_types(function),
    do: Enum.map(function.params, &elem(&1, 1)) ++ List.wrap(function.result)

  defp names({:record, fields}),
    do: Enum.flat_map(fields, fn {name, type, _docs} -> [name | names(type)] end)

  defp names({:variant, cases}),
    do: Enum.flat_map(cases, fn {name, type, _docs} -> [name | names(type)] end)

  defp names({kind, names}) when kind in [:enum, :flags], do: names
  defp names({:tuple, types}), do: Enum.flat_map(types, &names/1)
  defp names({:named, _interface, _name}), do: []
  defp names({_kind, type}), do: names(type)
  defp names({:list, type, _length}), do: names(type)
  defp names({_kind, one, other}), do: names(one) ++ names(other)
  defp names(_atom), do: []
end
