defmodule Wasmex.Plugin.Generated do
  @moduledoc false
  # Generates the code of `use Wasmex.Plugin` from a schema: structs, functions and a behaviour. The generated functions
  # call the functions of this module.

  alias Wasmex.Components.Bindgen.Names
  alias Wasmex.Plugin
  alias Wasmex.Plugin.Schema
  alias Wasmex.Plugin.Schema.Value

  @doc "The quoted code of a module with these options."
  @spec definitions(Schema.t(), module(), keyword()) :: Macro.t()
  def definitions(schema, module, opts) do
    structs = structs(schema, module)

    [
      for(
        {name, {:struct, fields}} <- Enum.sort(schema.types),
        do: struct_module(structs[name], fields, structs)
      ),
      if(schema.imports != [], do: behaviour(Names.module(module, "Imports"), schema, structs)),
      shared(module, opts, schema, structs),
      Enum.map(schema.exports, &export(&1, schema, structs))
    ]
  end

  defp structs(schema, module) do
    for {name, {:struct, _}} <- schema.types,
        into: %{},
        do: {name, Names.module(module, name)}
  end

  defp struct_module(module, fields, structs) do
    required = for {name, _type, true} <- fields, do: atom(name)
    names = for {name, _type, _required} <- fields, do: atom(name)

    types =
      for {name, type, required?} <- fields,
          do: {atom(name), spec(if(required?, do: type, else: {:nullable, type}), structs)}

    quote do
      defmodule unquote(module) do
        @moduledoc "An object of the plug-in's schema."
        @enforce_keys unquote(required)
        defstruct unquote(names)
        @type t :: %__MODULE__{unquote_splicing(types)}
      end
    end
  end

  defp behaviour(module, schema, structs) do
    callbacks =
      for function <- schema.imports do
        args =
          [quote(do: Wasmex.Plugin.Context.t())] ++
            if(function.input, do: [spec(elem(function.input, 0), structs)], else: [])

        result =
          if function.output, do: spec(elem(function.output, 0), structs), else: quote(do: any())

        quote do
          @doc unquote(function.description || "The host function #{function.name}.")
          @callback unquote(name(function))(unquote_splicing(args)) ::
                      unquote(result) | {:error, String.t()}
        end
      end

    quote do
      defmodule unquote(module) do
        @moduledoc "The host functions that the plug-in imports. Their first argument is a `Wasmex.Plugin.Context`."
        unquote_splicing(callbacks)
      end
    end
  end

  defp shared(module, opts, schema, structs) do
    quote do
      @plugin_schema unquote(Macro.escape(schema))
      @plugin_structs unquote(Macro.escape(structs))

      @doc "Compiles the plug-in. Options: see `Wasmex.Plugin.compile/2`."
      @spec compile(keyword()) :: {:ok, Wasmex.Plugin.Compiled.t()} | {:error, Exception.t()}
      def compile(opts \\ []),
        do: Wasmex.Plugin.Generated.compile(unquote(opts), @plugin_schema, @plugin_structs, opts)

      @doc "Creates a plug-in. Options: see `Wasmex.Plugin.compile/2` and `Wasmex.Plugin.new/2`."
      @spec new(keyword()) :: {:ok, Wasmex.Plugin.t()} | {:error, Exception.t()}
      def new(opts \\ []),
        do: Wasmex.Plugin.Generated.new(unquote(opts), @plugin_schema, @plugin_structs, opts)

      @doc "Starts a process that owns a plug-in, see `Wasmex.Plugin.start_link/1`."
      @spec start_link(keyword()) :: GenServer.on_start()
      def start_link(opts \\ []),
        do:
          Wasmex.Plugin.Generated.start_link(unquote(opts), @plugin_schema, @plugin_structs, opts)

      @doc false
      @spec child_spec(keyword()) :: Supervisor.child_spec()
      def child_spec(opts),
        do: %{id: unquote(module), start: {unquote(module), :start_link, [opts]}}
    end
  end

  defp export(function, _schema, structs) do
    name = name(function)
    wasm = function.name
    doc = function.description || "Calls `#{wasm}` of the plug-in."
    result = if function.output, do: spec(elem(function.output, 0), structs), else: nil
    meta = Macro.escape(function)

    if function.input do
      quote do
        @doc unquote(doc <> "\n\nOptions: see `Wasmex.Plugin.call/4`.")
        @spec unquote(name)(
                Wasmex.Plugin.t() | GenServer.server(),
                unquote(spec(elem(function.input, 0), structs)),
                keyword()
              ) ::
                {:ok, unquote(result)} | {:error, Exception.t()}
        def unquote(name)(plugin, input, opts \\ []) do
          Wasmex.Plugin.Generated.call(
            plugin,
            unquote(meta),
            input,
            opts,
            @plugin_schema,
            @plugin_structs
          )
        end
      end
    else
      quote do
        @doc unquote(doc <> "\n\nOptions: see `Wasmex.Plugin.call/4`.")
        @spec unquote(name)(Wasmex.Plugin.t() | GenServer.server(), keyword()) ::
                {:ok, unquote(result)} | {:error, Exception.t()}
        def unquote(name)(plugin, opts \\ []) do
          Wasmex.Plugin.Generated.call(
            plugin,
            unquote(meta),
            nil,
            opts,
            @plugin_schema,
            @plugin_structs
          )
        end
      end
    end
  end

  # Atoms are only created at compile time, from the developer's schema.
  defp atom(name), do: name |> Macro.underscore() |> Names.identifier()

  # A function is not called `when`, `unquote` and the like: those get an underscore.
  defp name(function), do: function.name |> spelled() |> Names.identifier()
  defp spelled(name), do: name |> Macro.underscore() |> Names.function()

  # The atoms of callbacks exist since compile time.
  defp callback(name), do: name |> spelled() |> String.to_existing_atom()

  defp spec({:nullable, type}, structs), do: quote(do: unquote(spec(type, structs)) | nil)
  defp spec({:array, type}, structs), do: quote(do: [unquote(spec(type, structs))])
  defp spec({:map, type}, structs), do: quote(do: %{String.t() => unquote(spec(type, structs))})

  defp spec({:ref, name}, structs) do
    case structs do
      %{^name => module} -> quote(do: unquote(module).t())
      _ -> quote(do: String.t())
    end
  end

  defp spec(:string, _structs), do: quote(do: String.t())
  defp spec(:buffer, _structs), do: quote(do: binary())
  defp spec(:object, _structs), do: quote(do: map())
  defp spec(:date_time, _structs), do: quote(do: DateTime.t())
  defp spec(type, _structs) when type in [:integer, :number, :boolean], do: {type, [], []}

  @doc false
  @spec compile(keyword(), Wasmex.Plugin.Schema.t(), map(), keyword()) ::
          {:ok, Wasmex.Plugin.Compiled.t()} | {:error, Exception.t()}
  def compile(opts, schema, structs, more) do
    {source, opts} = source(opts, schema, structs, more)
    Plugin.compile(source, opts)
  end

  @doc false
  @spec new(keyword(), Wasmex.Plugin.Schema.t(), map(), keyword()) ::
          {:ok, Wasmex.Plugin.t()} | {:error, Exception.t()}
  def new(opts, schema, structs, more) do
    {source, opts} = source(opts, schema, structs, more)
    Plugin.new(source, opts)
  end

  @doc false
  @spec start_link(keyword(), Wasmex.Plugin.Schema.t(), map(), keyword()) :: GenServer.on_start()
  def start_link(opts, schema, structs, more) do
    {source, opts} = source(opts, schema, structs, more)
    Plugin.start_link([source: source] ++ opts)
  end

  # Adds the functions of the module that implements the behaviour.
  defp source(opts, schema, structs, more) do
    {imports, opts} = opts |> Keyword.merge(more) |> Keyword.pop(:imports)
    {source, opts} = Keyword.pop(opts, :source)
    own = if imports, do: [functions(imports, schema, structs)], else: []
    {source, Keyword.update(opts, :functions, own, &(own ++ List.wrap(&1)))}
  end

  defp functions(module, schema, structs) do
    definitions =
      for function <- schema.imports, into: %{} do
        {function.name,
         {:fn, if(function.input, do: [:bytes], else: []),
          if(function.output, do: [:bytes], else: []), host(module, function, schema, structs)}}
      end

    %{"extism:host/user" => definitions}
  end

  defp host(module, %{input: nil} = function, schema, structs),
    do: fn context ->
      module
      |> apply(callback(function.name), [context])
      |> encode_result(function, schema, structs)
    end

  defp host(module, function, schema, structs) do
    fn context, bytes ->
      with {:ok, input} <-
             Value.decode(bytes, function.input, schema, structs, "input of #{function.name}") do
        module
        |> apply(callback(function.name), [context, input])
        |> encode_result(function, schema, structs)
      end
    end
  end

  defp encode_result({:error, _} = error, _function, _schema, _structs), do: error
  defp encode_result(_value, %{output: nil}, _schema, _structs), do: nil

  defp encode_result(value, function, schema, structs) do
    case Value.encode(value, function.output, schema, structs, "output of #{function.name}") do
      {:ok, bytes} -> bytes
      {:error, error} -> raise error
    end
  end

  @doc false
  @spec call(
          Wasmex.Plugin.t() | GenServer.server(),
          map(),
          term(),
          keyword(),
          Wasmex.Plugin.Schema.t(),
          map()
        ) :: {:ok, term()} | {:error, Exception.t()}
  def call(plugin, function, input, opts, schema, structs) do
    with {:ok, bytes} <-
           Value.encode(input, function.input, schema, structs, "input of #{function.name}"),
         {:ok, output} <- Plugin.call(plugin, function.name, bytes, opts),
         do: Value.decode(output, function.output, schema, structs, "output of #{function.name}")
  end
end
