defmodule Wasmex.Engine do
  @moduledoc """
  An engine holds the compiler settings that modules and stores share.

  A module can be instantiated in any store of the same engine. Stores and modules created without an
  engine share the default one, which uses wasmtime's defaults: `cranelift_opt_level: :speed` and all
  standard proposals.

  ## Example

      iex> {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{consume_fuel: true})
      iex> {:ok, _store} = Wasmex.Store.new(nil, engine)
      iex> inspect(engine) =~ "#Wasmex.Engine<"
      true

  ## Lifetime

  Freed with the last handle to the engine or to anything created with it.
  """

  alias Wasmex.{Artefact, Compat, Compiler, EngineConfig, Error, Native}
  alias Wasmex.Cache.Disk

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference() | nil, reference: reference() | nil}

  # wasmtime's defaults. The struct's own defaults are those of Wasmex 0.15.
  @default %EngineConfig{cranelift_opt_level: :speed}

  @doc "Creates an engine. Returns `{:error, text}` when settings contradict each other."
  @spec new(EngineConfig.t()) :: {:ok, t()} | {:error, String.t()}
  def new(config) do
    config = EngineConfig.validate!(config)

    with :ok <- cache(config.cache),
         {:ok, resource} <- native(Native.engine_new(config)) do
      {:ok, __wrap_resource__(resource)}
    else
      {:error, error} -> {:error, Compat.text(error)}
    end
  end

  @doc "The engine used wherever none is given."
  @spec default() :: t()
  def default, do: __wrap_resource__(resource(nil))

  @doc """
  Compiles wasm bytes or WAT ahead of time. Load the result with `Wasmex.Module.deserialize/2` on an
  engine with the same settings. Options: see `Wasmex.Compiler`.
  """
  @spec precompile_module(t(), binary(), keyword()) :: {:ok, binary()} | {:error, String.t()}
  def precompile_module(%__MODULE__{resource: engine}, bytes, opts \\ []) when is_binary(bytes) do
    options = Compiler.Options.new!(opts)

    with {:ok, code} <- Compiler.code(:module, engine, bytes, options),
         {:ok, artefact} <- Compiler.artefact(:module, engine, code, options) do
      {:ok, IO.iodata_to_binary(Artefact.pack(engine, artefact))}
    else
      {:error, %Error{details: %{message: message}}} ->
        {:error, "Could not precompile module: #{message}"}

      {:error, error} ->
        {:error, "Could not precompile module: #{Exception.message(error)}"}
    end
  end

  @doc "The same for a component, with an exception as the error; for `Wasmex.Components.Component.deserialize/3`."
  @spec precompile_component(t(), binary(), keyword()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def precompile_component(%__MODULE__{resource: engine}, bytes, opts \\ [])
      when is_binary(bytes) do
    options = Compiler.Options.new!(opts)

    with {:ok, code} <- Compiler.code(:component, engine, bytes, options),
         {:ok, artefact} <- Compiler.artefact(:component, engine, code, options),
         do: {:ok, IO.iodata_to_binary(Artefact.pack(engine, artefact))}
  end

  defp cache(nil), do: :ok
  defp cache(directory), do: Disk.check(directory)

  defp native({:error, native}), do: {:error, Error.from_native(native)}
  defp native(ok), do: ok

  @doc false
  # The default engine with some settings changed, created once per combination of settings. Such an
  # engine is never freed, so use this only where few combinations are possible.
  @spec shared(keyword()) :: t()
  def shared([]), do: default()

  def shared(settings) do
    key = {__MODULE__, Enum.sort(settings)}

    with nil <- :persistent_term.get(key, nil) do
      case @default |> struct!(settings) |> Native.engine_new() do
        {:ok, resource} -> tap(__wrap_resource__(resource), &:persistent_term.put(key, &1))
        {:error, native} -> raise Error.from_native(native)
      end
    end
  end

  @doc false
  @spec resource(term()) :: reference()
  def resource(nil) do
    # Looked up for every store without an engine, while the NIF that creates it runs on a dirty scheduler.
    with nil <- :persistent_term.get(__MODULE__, nil) do
      case Native.engine_default(@default) do
        {:ok, resource} -> tap(resource, &:persistent_term.put(__MODULE__, &1))
        {:error, native} -> raise Error.from_native(native)
      end
    end
  end

  def resource(%__MODULE__{resource: resource}) when is_reference(resource), do: resource

  def resource(other),
    do: Wasmex.Options.misuse!("%Wasmex.Engine{} or nil", other)

  @doc false
  @spec __wrap_resource__(reference()) :: t()
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}
end
