defmodule Wasmex.Components.Store do
  @moduledoc """
  Creates stores for components. As with `Wasmex.Store`, one process uses a store at a time and others wait.

  Components may import all of WASI 0.2 in any store, but can only use what the store grants: see
  `Wasmex.Wasi.WasiP2Options`.

  ## Example

      iex> {:ok, store} = Wasmex.Components.Store.new()
      iex> {:ok, component} = Wasmex.Components.Component.new(store, "(component)")
      iex> {:ok, %Wasmex.Components.Instance{}} = Wasmex.Components.Instance.new(store, component, %{})

  ## Lifetime

  Freed with its last handle, or by `close/1`. If an imported function or the term of a resource refers back
  to the store, only `close/1` frees it. After a call that trapped, timed out or was stopped, the component
  model does not allow the store's components to run again; create a new store.
  """

  alias Wasmex.{Compat, Engine, StoreLimits}
  alias Wasmex.Wasi.WasiP2Options

  defstruct resource: nil, reference: nil, tags: %{}

  @type t :: %__MODULE__{resource: reference(), reference: reference(), tags: map()}

  @doc "Creates a store that grants nothing. `nil` means no limits, and the default engine."
  @spec new(StoreLimits.t() | nil, Engine.t() | nil) :: {:ok, t()} | {:error, String.t()}
  def new(limits \\ nil, engine \\ nil), do: make(WasiP2Options.nothing(), limits, engine)

  @doc "Creates a store with WASI options. Returns `{:error, text}` when a directory cannot be opened."
  @spec new_wasi(WasiP2Options.t(), StoreLimits.t() | nil, Engine.t() | nil) ::
          {:ok, t()} | {:error, String.t()}
  def new_wasi(options \\ %WasiP2Options{}, limits \\ nil, engine \\ nil),
    do: make(options, limits, engine)

  defp make(%WasiP2Options{} = options, limits, engine) do
    case Wasmex.Store.make(options, limits, engine, []) do
      {:ok, %{resource: resource}} -> {:ok, __wrap_resource__(resource)}
      {:error, error} -> {:error, Compat.text(error)}
    end
  end

  defp make(other, _limits, _engine),
    do: Wasmex.Options.misuse!("%Wasmex.Wasi.WasiP2Options{}", other)

  @doc "The store with tags for telemetry, like `Wasmex.Store.tag/2`."
  @spec tag(t(), map()) :: t()
  def tag(%__MODULE__{} = store, tags) when is_map(tags),
    do: %{store | tags: Map.merge(store.tags, tags)}

  @doc "Frees the store, like `Wasmex.Store.close/1`."
  @spec close(t()) :: :ok
  def close(%__MODULE__{resource: resource}), do: Wasmex.Native.store_close(resource)

  @doc "Whether a call ended in the middle, so that components of this store cannot run again."
  @spec spent?(t()) :: boolean()
  def spent?(%__MODULE__{resource: resource}), do: Wasmex.Native.component_store_spent(resource)

  @doc false
  @spec __wrap_resource__(reference()) :: t()
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}

  @doc false
  @spec resource!(term()) :: reference()
  def resource!(%__MODULE__{resource: resource}) when is_reference(resource), do: resource

  def resource!(other),
    do: Wasmex.Options.misuse!("a %Wasmex.Components.Store{}", other)
end
