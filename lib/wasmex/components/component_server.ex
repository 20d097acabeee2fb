defmodule Wasmex.Components.ComponentServer do
  @moduledoc """
  Generates a process module for a component, with one function per function that its world exports.

      defmodule Greeter do
        use Wasmex.Components.ComponentServer, wit: "priv/greeter.wit", imports: %{"now" => {:fn, &Greeter.now/0}}
      end

      {:ok, pid} = Greeter.start_link(path: "priv/greeter.wasm")
      Greeter.greet(pid, "Ada")

  Options: `wit:`, the path of a WIT file, relative to the project; `imports:`, evaluated when a process
  starts; `convert_field_names:` (default `true`) converts names like `"first-name"` to `:first_name`, at
  every level.

  `use Wasmex.Component` does more: it takes the types from the component and supports interfaces,
  resources and specs.
  """

  alias Wasmex.Components.Bindgen.{Extent, Names}

  @doc false
  defmacro __using__(opts) do
    wit = opts[:wit]
    functions = if wit, do: root_functions(wit), else: []
    convert? = Keyword.get(opts, :convert_field_names, true)
    imports = Keyword.get(opts, :imports, Macro.escape(%{}))

    # Creates the atoms at compile time, so that results can use them.
    names = if wit && convert?, do: value_atoms(wit), else: []

    [
      quote do
        if unquote(wit), do: @external_resource(unquote(wit))

        @doc "Starts the process; options as for `Wasmex.Components.start_link/1`."
        @spec start_link(keyword()) :: GenServer.on_start()
        def start_link(opts) when is_list(opts),
          do: Wasmex.Components.start_link(Keyword.put(opts, :imports, unquote(imports)))

        @doc false
        def child_spec(opts),
          do: %{id: __MODULE__, start: {__MODULE__, :start_link, [opts]}, type: :worker}

        @doc false
        def handle_call(request, from, state),
          do: Wasmex.Components.handle_call(request, from, state)

        @doc false
        def __wit_names__, do: unquote(names)

        defoverridable child_spec: 1
      end
      | Enum.map(functions, &define(&1, convert?))
    ]
  end

  defp root_functions(wit) do
    world = world(wit)
    exports = for {:func, _, _} = item <- world.exports, do: item
    :ok = Extent.check!(%{world | imports: [], exports: exports}, false)
    for {:func, name, function} <- exports, do: {name, function}
  end

  defp value_atoms(wit),
    do:
      wit
      |> world()
      |> Wasmex.WIT.value_names()
      |> Enum.map(&Names.atom/1)

  defp world(wit) do
    case Wasmex.WIT.world({:text, wit, File.read!(wit)}) do
      {:ok, world} -> world
      {:error, error} -> raise CompileError, description: Exception.message(error)
    end
  end

  defp define({name, function}, convert?) do
    args = Macro.generate_arguments(length(function.params), __MODULE__)

    quote do
      @doc unquote(function.docs || "Calls `#{name}` of the component.")
      def unquote(function_name(name))(pid, unquote_splicing(args)) do
        alias Wasmex.Components.FieldConverter

        params = FieldConverter.maybe_convert_args(unquote(args), unquote(convert?))

        pid
        |> Wasmex.Components.call_function(unquote(name), params)
        |> FieldConverter.maybe_convert_result(unquote(convert?))
      end
    end
  end

  # Names that no function can be defined with get an underscore. All others are as in Wasmex 0.15.
  defp function_name(name) when name in ["when", "unquote", "unquote-splicing"],
    do: Names.atom(name <> "_")

  defp function_name(name), do: Names.atom(name)
end
