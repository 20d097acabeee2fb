defmodule Wasmex.Components.Component do
  @moduledoc """
  A compiled component: code and types without state. Compile it once and instantiate it many times.

  The calling process waits while it is compiled, see `Wasmex.Compiler`: a Rust component takes tenths of
  a second, a JavaScript or Python component, which contains an interpreter, several seconds. `serialize/2`
  returns the compiled code as bytes, which `deserialize/3` loads in milliseconds.

  ## Example

      iex> {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), "(component)")
      iex> Wasmex.Components.Component.exports(component)
      %{}

  ## Lifetime

  Freed with its last handle. Instances and templates keep the code they need alive.
  """

  alias Wasmex.{Artefact, Compat, Compiler, Engine, Error, Native, Options, Telemetry}
  alias Wasmex.Utils
  alias Wasmex.Components.Store

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  @typedoc """
  A type of WIT: `:bool`, `:u8`, `:string`, …, `{:list, type}`, `{:list, type, length}`, `{:map, key, value}`,
  `{:record, [{name, type}]}`, `{:tuple, types}`, `{:variant, [{name, type | nil}]}`, `{:enum, names}`,
  `{:option, type}`, `{:result, ok | nil, error | nil}`, `{:flags, names}`, `:own`, `:borrow`.
  """
  @type wit_type :: atom() | tuple()
  @type item ::
          {:func, [{String.t(), wit_type()}], wit_type() | nil}
          | {:instance, %{String.t() => item()}}
          | {:type, wit_type()}
          | :resource
          | :module
          | :component

  @magic <<0, "asm">>

  @doc "Compiles a component (bytes or text) for the engine of a store. Options: as in `compile/3`."
  @spec new(Store.t() | Engine.t(), binary(), keyword()) :: {:ok, t()} | {:error, String.t()}
  def new(store_or_engine, bytes, opts \\ []) do
    case compile(store_or_engine, bytes, opts) do
      {:error, error} -> {:error, Compat.text(error)}
      ok -> ok
    end
  end

  @names [
    names: [
      type: Options.Type.Names,
      default: %{},
      doc:
        "a map from WIT names (of fields, cases and flags) to the atoms that represent them in results. Other names are strings, because a component must not create atoms",
      example: ~s|%{"first-name" => :first_name}|
    ]
  ]
  @options Options.table(
             @names ++ Options.Compile.rows(:auto, false),
             "Wasmex.Components.Component.compile/3"
           )

  @doc """
  Like `new/2`, but returns an exception as the error.

  Option `:names`: a map from WIT names (of fields, cases and flags) to the atoms that represent them in
  results. Other names are strings, because a component must not create atoms. `:compile`, `:compile_memory`,
  `:compile_timeout` and `:compile_reuse`: see `Wasmex.Compiler`.
  """
  @spec compile(Store.t() | Engine.t(), binary(), keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def compile(store_or_engine, bytes, opts \\ []) when is_binary(bytes) do
    opts = Options.new!(opts, @options)
    compiler = Compiler.Options.from!(opts)
    make(engine(store_or_engine), bytes, opts.names, compiler)
  end

  @doc false
  # Like `compile/3`, but takes the engine's resource.
  @spec make(reference(), binary(), map(), Compiler.Options.t()) ::
          {:ok, t()} | {:error, Exception.t()}
  def make(engine, bytes, names, options) do
    with {:ok, code} <- Compiler.code(:component, engine, bytes, options) do
      span = Telemetry.start(:compile, %{size: byte_size(code)})

      case Telemetry.stop(span, Compiler.component(engine, code, Map.to_list(names), options)) do
        {:ok, resource} -> {:ok, __wrap_resource__(resource)}
        error -> error
      end
    end
  end

  defp engine(%Engine{} = engine), do: Engine.resource(engine)
  defp engine(store), do: Native.store_engine(Store.resource!(store))

  defp wrap({:ok, resource}), do: {:ok, __wrap_resource__(resource)}
  defp wrap({:error, native}), do: {:error, Error.from_native(native)}

  @doc false
  # Component bytes from bytes or text.
  @spec to_component(binary(), reference() | Wasmex.Limits.t()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def to_component(bytes_or_text, limits)

  def to_component(@magic <> <<_version::16, layer::little-16, _::binary>> = wasm, _limits)
      when layer != 0,
      do: {:ok, wasm}

  def to_component(@magic <> _, _limits), do: {:error, not_a_component()}

  def to_component(text, limits) do
    with {:ok, wasm} <- Wasmex.Wat.parse(text, limits), do: to_component(wasm, limits)
  end

  @doc false
  # The error for a module where a component is expected.
  @spec not_a_component() :: Error.t()
  def not_a_component do
    message = "expected a component, got a core module (see Wasmex.Module)"

    %Error{reason: :module, details: %{message: message}}
  end

  @doc "The component's exports: a map of name to item. An interface is `{:instance, items}`."
  @spec exports(t()) :: %{String.t() => item()}
  def exports(%__MODULE__{resource: resource}),
    do: resource |> Native.component_describe() |> elem(1) |> items()

  @doc false
  # The first exported interface with this prefix, such as `"wasi:cli/run@0.2"`, or `nil`.
  @spec interface(t(), String.t()) :: String.t() | nil
  def interface(component, prefix),
    do: component |> exports() |> Map.keys() |> Enum.find(&String.starts_with?(&1, prefix))

  @doc "The component's imports, in the form of `exports/1`."
  @spec imports(t()) :: %{String.t() => item()}
  def imports(%__MODULE__{resource: resource}),
    do: resource |> Native.component_describe() |> elem(0) |> items()

  defp items(list), do: list |> Enum.map(fn {name, item} -> {name, item(item)} end) |> Utils.map()
  defp item({:instance, list}), do: {:instance, items(list)}
  defp item(other), do: other

  @doc "The size of the machine code in bytes."
  @spec code_size(t()) :: non_neg_integer()
  def code_size(%__MODULE__{resource: resource}), do: Native.component_code_size(resource)

  @serialize Options.table(Artefact.options(), "Wasmex.Components.Component.serialize/2")
  @deserialize Options.table(
                 Artefact.options() ++ @names,
                 "Wasmex.Components.Component.deserialize/3"
               )

  @doc "The compiled component as bytes, for `deserialize/3`; `key:` as in `Wasmex.Module.serialize/2`."
  @spec serialize(t(), keyword()) :: {:ok, binary()} | {:error, Exception.t()}
  def serialize(%__MODULE__{resource: resource}, opts \\ []) do
    %{key: key} = Options.new!(opts, @serialize)

    case Native.component_serialize(resource) do
      {:ok, artefact} ->
        {:ok,
         IO.iodata_to_binary(Artefact.pack(Native.component_engine(resource), artefact, key))}

      {:error, native} ->
        {:error, Error.from_native(native)}
    end
  end

  @doc """
  Loads an artefact of `serialize/2`, after verifying that it is unmodified and comes from the same version
  of this library and of wasmtime, with the same engine settings. Options: `:key`, and `:names` as in
  `compile/3`.
  """
  @spec deserialize(binary(), Engine.t() | nil, keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def deserialize(bytes, engine \\ nil, opts \\ []) when is_binary(bytes) do
    engine = Engine.resource(engine)
    opts = Options.new!(opts, @deserialize)

    with {:ok, artefact} <- Artefact.unpack(engine, bytes, opts.key),
         do: wrap(Native.component_deserialize(engine, artefact, Map.to_list(opts.names)))
  end

  @doc false
  @spec __wrap_resource__(reference()) :: t()
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}
end
