defmodule Wasmex.Engine do
  @moduledoc """
  An engine: the compiler's settings, and what modules and stores made with it share.

  A module can be instantiated in every store of its engine. Stores and modules made without an
  engine use the default one, which all of them share: wasmtime's own defaults (`:speed`, all
  standard proposals).

  ## Example

      iex> {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{consume_fuel: true})
      iex> {:ok, _store} = Wasmex.Store.new(nil, engine)
      iex> inspect(engine) =~ "#Wasmex.Engine<"
      true

  ## Lifetime

  Freed with the last handle to it or to anything made with it.
  """

  alias Wasmex.{Artefact, Compat, EngineConfig, Error, Native}

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  # What wasmtime does by default; the struct's own defaults are the contract's.
  @default %EngineConfig{cranelift_opt_level: :speed, memory64: true}

  @doc "An engine with these settings; `{:error, text}` says which of them don't go together."
  @spec new(EngineConfig.t()) :: {:ok, t()} | {:error, String.t()}
  def new(config) do
    case config |> EngineConfig.validate!() |> Native.engine_new() do
      {:ok, resource} -> {:ok, __wrap_resource__(resource)}
      {:error, native} -> {:error, native |> Error.from_native() |> Compat.text()}
    end
  end

  @doc "The engine that everything uses for which none is named."
  @spec default() :: t()
  def default, do: __wrap_resource__(resource(nil))

  @doc """
  Compiles wasm bytes or WAT ahead of time, for `Wasmex.Module.deserialize/2` on an engine with the
  same settings.
  """
  @spec precompile_module(t(), binary()) :: {:ok, binary()} | {:error, String.t()}
  def precompile_module(%__MODULE__{resource: engine}, bytes) when is_binary(bytes) do
    with {:ok, wasm} <- Wasmex.Module.to_wasm(bytes),
         {:ok, artefact} <- native(Native.engine_precompile_module(engine, wasm)) do
      {:ok, Artefact.pack(engine, artefact)}
    else
      {:error, %Error{details: %{message: message}}} ->
        {:error, "Could not precompile module: #{message}"}
    end
  end

  defp native({:error, native}), do: {:error, Error.from_native(native)}
  defp native(ok), do: ok

  @doc false
  # The default engine with some settings changed: made once, shared by all that ask for the same.
  # Only for settings of which there are few: such an engine is never freed.
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
  def resource(nil) do
    # Asked for with every store that names no engine; the NIF that makes it is a dirty one.
    with nil <- :persistent_term.get(__MODULE__, nil) do
      case Native.engine_default(@default) do
        {:ok, resource} -> tap(resource, &:persistent_term.put(__MODULE__, &1))
        {:error, native} -> raise Error.from_native(native)
      end
    end
  end

  def resource(%__MODULE__{resource: resource}) when is_reference(resource), do: resource

  def resource(other),
    do: raise(ArgumentError, "expected %Wasmex.Engine{} or nil, got: #{inspect(other)}")

  @doc false
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}
end
