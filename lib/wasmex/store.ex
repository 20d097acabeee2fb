defmodule Wasmex.Store do
  @moduledoc """
  Makes stores: each holds instances, their memories and all else that guests own.

  A store is used by one process at a time; others that ask wait for their turn, first come first
  served. A guest is called in the process that asks, see `Wasmex.Instance.call/4`.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (func (export "one") (result i32) i32.const 1))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> Wasmex.Instance.call(instance, "one", [])
      {:ok, [1]}
      iex> Wasmex.Store.close(store)
      :ok
      iex> {:error, error} = Wasmex.Instance.call(instance, "one", [])
      iex> error.reason
      :closed

  ## Lifetime

  Freed with its last handle (any instance, memory, table, global or function of it), or by `close/1`.
  What a store holds of Elixir, imported functions and terms given as references or resources, may hold the
  store in turn (a closure over `store`, say): then nothing but `close/1` frees it. Imported functions
  have their store in `context.caller`.
  A process that dies while it drives a guest leaves the store idle for others.
  """

  alias Wasmex.{Compat, Engine, Error, Native, StoreLimits, StoreOrCaller}
  alias Wasmex.Call.Access
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  @doc """
  A store without WASI. `nil` limits are none, a `nil` engine is `Wasmex.Engine.default/0`.
  """
  @spec new(StoreLimits.t() | nil, Engine.t() | nil) ::
          {:ok, StoreOrCaller.t()} | {:error, String.t()}
  def new(limits \\ nil, engine \\ nil) do
    limits = StoreLimits.validate!(limits || %StoreLimits{})
    wrap(Native.store_new(Engine.resource(engine), limits, nil, []))
  end

  @doc """
  A store whose guests may use WASI preview 1 as far as the options grant it.

  `{:error, text}` when a preopened directory can't be opened.
  """
  @spec new_wasi(WasiOptions.t(), StoreLimits.t() | nil, Engine.t() | nil) ::
          {:ok, StoreOrCaller.t()} | {:error, String.t()}
  def new_wasi(%WasiOptions{} = options, limits \\ nil, engine \\ nil) do
    case make(options, limits, engine, []) do
      {:error, error} -> {:error, Compat.text(error)}
      ok -> ok
    end
  end

  @doc false
  # With what is to be observed: `:trace` for instances of traced templates, `:profile`.
  def make(%kind{} = options, limits, engine, observe)
      when kind in [WasiOptions, WasiP2Options] do
    limits = StoreLimits.validate!(limits || %StoreLimits{})
    native = kind.to_native!(options)
    engine = Engine.resource(engine)

    # Opening directories may touch a disk.
    made =
      if native.preopen == [],
        do: Native.store_new(engine, limits, native, observe),
        else: Native.store_new_with_dirs(engine, limits, native, observe)

    case made do
      {:ok, resource} -> {:ok, StoreOrCaller.__wrap_resource__(resource)}
      {:error, native} -> {:error, Error.from_native(native)}
    end
  end

  defp wrap({:ok, resource}), do: {:ok, StoreOrCaller.__wrap_resource__(resource)}
  defp wrap({:error, native}), do: {:error, native |> Error.from_native() |> Compat.text()}

  @doc """
  Frees the store at once, or as soon as the process that is using it lets go. A call that this very
  process has under way between two slices ends. Every later use of a handle is an error.
  """
  @spec close(StoreOrCaller.t()) :: :ok
  def close(store) do
    {resource, _via} = StoreOrCaller.split(store)
    Native.store_close(resource)
  end

  @doc "The most bytes that all memories of the store had together so far."
  @spec memory_peak(StoreOrCaller.t()) :: {:ok, non_neg_integer()} | {:error, Exception.t()}
  def memory_peak(store) do
    {resource, via} = StoreOrCaller.split(store)
    Access.run(fn -> Native.store_memory_peak(resource, via) end, fn -> resource end)
  end

  @doc "Collects the garbage of guests that use the GC proposal or hold Elixir terms as externrefs."
  @spec gc(StoreOrCaller.t()) :: :ok | {:error, Exception.t()}
  def gc(store) do
    {resource, via} = StoreOrCaller.split(store)

    with {:ok, _} <- Access.run(fn -> Native.store_gc(resource, via) end, fn -> resource end),
         do: :ok
  end
end
