defmodule Wasmex.Module do
  @moduledoc """
  A compiled module: code and types without state. Compile it once and instantiate it many times.

  Compiling takes from under a millisecond to seconds (a Go program of 2.5 MB: about one second). The calling process waits
  for it like for any message; `Wasmex.Compiler` says where it happens.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (func (export "f") (param i32)))|)
      iex> Wasmex.Module.exports(module)
      %{"f" => {:fn, [:i32], []}}

  ## Lifetime

  Freed with its last handle. Instances keep the code they need alive.
  """

  alias Wasmex.{Artefact, Compat, Compiler, Engine, Error, Native, Options}
  alias Wasmex.{StoreOrCaller, Telemetry, Utils}

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}
  @type value_type :: :i32 | :i64 | :f32 | :f64 | :v128 | {:reference, String.t()}
  @type extern_type ::
          {:fn, [value_type()], [value_type()]}
          | {:global, map()}
          | {:table, map()}
          | {:memory, map()}
          | {:tag, [value_type()], [value_type()]}

  @doc """
  Compiles wasm bytes or WAT for the engine of a store (or for an engine).

  The error message contains the position of the problem. Components are rejected.

  Options: `:compile`, `:compile_memory`, `:compile_timeout` and `:compile_reuse`, see `Wasmex.Compiler`.
  """
  @spec compile(StoreOrCaller.t() | Engine.t(), binary(), keyword()) ::
          {:ok, t()} | {:error, String.t()}
  def compile(store_or_engine, bytes, opts \\ []) when is_binary(bytes) do
    case make(engine(store_or_engine), bytes, Compiler.Options.new!(opts)) do
      {:error, error} -> {:error, Compat.text(error)}
      ok -> ok
    end
  end

  @doc false
  # Like `compile/3`, but takes the engine's resource and returns an exception as the error.
  @spec make(reference(), binary(), Compiler.Options.t()) :: {:ok, t()} | {:error, Exception.t()}
  def make(engine, bytes, options \\ Compiler.Options.default()) do
    with {:ok, code} <- Compiler.code(:module, engine, bytes, options) do
      span = Telemetry.start(:compile, %{size: byte_size(code)})

      case Telemetry.stop(span, Compiler.module(engine, code, options)) do
        {:ok, resource} -> {:ok, __wrap_resource__(resource)}
        error -> error
      end
    end
  end

  defp engine(%Engine{} = engine), do: Engine.resource(engine)

  defp engine(store) do
    {resource, _via} = StoreOrCaller.split(store)
    Native.store_engine(resource)
  end

  defp native({:error, native}), do: {:error, Error.from_native(native)}
  defp native(ok), do: ok

  @doc "The module's name from its name section, or `nil`."
  @spec name(t()) :: String.t() | nil
  def name(%__MODULE__{resource: resource}), do: Native.module_name(resource)

  @doc """
  The module's exports, as a map of name to type.

  Types are `{:fn, params, results}`, `{:global, %{mutability:, type:}}`, `{:table, %{minimum:, type:}}`,
  `{:memory, %{minimum:, shared:, memory64:}}` (tables and memories have `:maximum` if they declare one)
  and `{:tag, params, results}`; sizes are in pages and elements.
  """
  @spec exports(t()) :: %{String.t() => extern_type()}
  def exports(%__MODULE__{resource: resource}), do: Utils.map(Native.module_exports(resource))

  @doc "The module's imports: a map of namespace to a map of name to type. Types are those of `exports/1`."
  @spec imports(t()) :: %{String.t() => %{String.t() => extern_type()}}
  def imports(%__MODULE__{resource: resource}) do
    resource
    |> Native.module_imports()
    |> Enum.group_by(&elem(&1, 0), fn {_, name, type} -> {name, type} end)
    |> Enum.map(fn {namespace, imports} -> {namespace, Utils.map(imports)} end)
    |> Utils.map()
  end

  @doc """
  A summary of the module: `:name`, `:imports` and `:exports` in the module's order (lists of
  `{namespace, name, type}` and `{name, type}`), `:code_size` (bytes of machine code), `:wasi?`.
  """
  @spec info(t()) :: map()
  def info(%__MODULE__{resource: resource}) do
    imports = Native.module_imports(resource)

    %{
      name: Native.module_name(resource),
      imports: imports,
      exports: Native.module_exports(resource),
      code_size: Native.module_code_size(resource),
      wasi?: Enum.any?(imports, fn {namespace, _, _} -> namespace == "wasi_snapshot_preview1" end)
    }
  end

  @serialize Options.table(Artefact.options(), "Wasmex.Module.serialize/2")
  @deserialize Options.table(Artefact.options(), "Wasmex.Module.deserialize/3")

  @doc """
  Returns the compiled module as bytes for `deserialize/2`. With `key:` the artefact is signed (HMAC):
  only artefacts made with the same key are accepted.
  """
  @spec serialize(t(), keyword()) :: {:ok, binary()} | {:error, Exception.t()}
  def serialize(%__MODULE__{resource: resource}, opts \\ []) do
    %{key: key} = Options.new!(opts, @serialize)

    with {:ok, artefact} <- native(Native.module_serialize(resource)),
         do:
           {:ok,
            IO.iodata_to_binary(Artefact.pack(Native.module_engine(resource), artefact, key))}
  end

  @doc """
  Loads an artefact of `serialize/2` or `Wasmex.Engine.precompile_module/2`. It first verifies that the
  bytes are unmodified and come from the same version of this library and of wasmtime, with the same
  engine settings.

  The digest detects damage, not tampering. If others could have written the bytes, use `key:`.
  """
  @spec deserialize(binary(), Engine.t() | nil, keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def deserialize(bytes, engine \\ nil, opts \\ []) when is_binary(bytes) do
    engine = Engine.resource(engine)
    %{key: key} = Options.new!(opts, @deserialize)

    with {:ok, artefact} <- Artefact.unpack(engine, bytes, key),
         {:ok, resource} <- native(Native.module_deserialize(engine, artefact)),
         do: {:ok, __wrap_resource__(resource)}
  end

  @doc """
  Loads an artefact without verifying it. Its machine code runs as it is, so bytes from an untrusted
  source can take over the VM. Prefer `deserialize/2`.
  """
  @spec unsafe_deserialize(binary(), Engine.t() | nil) :: {:ok, t()} | {:error, String.t()}
  def unsafe_deserialize(bytes, engine \\ nil) when is_binary(bytes) do
    case native(Native.module_deserialize(Engine.resource(engine), Artefact.payload(bytes))) do
      {:ok, resource} -> {:ok, __wrap_resource__(resource)}
      {:error, error} -> {:error, "Could not deserialize module: #{Exception.message(error)}"}
    end
  end

  @doc false
  @spec __wrap_resource__(reference()) :: t()
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}
end
