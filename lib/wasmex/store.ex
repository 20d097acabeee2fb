defmodule Wasmex.Store do
  @moduledoc """
  Creates stores. A store owns instances, their memories, and everything else that belongs to guests.

  One process uses a store at a time. Others wait for their turn, in the order in which they asked. A
  guest runs in the process that calls it, see `Wasmex.Instance.call/4`.

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

  Freed with its last handle (its instances, memories, tables, globals and functions are handles too),
  or by `close/1`. A store also keeps imported functions and externref terms alive. If one of these refers
  back to the store, such as a closure over `store`, only `close/1` frees it; use `context.caller` inside
  imported functions instead. When a process dies during a guest call, the call ends and the store
  becomes available to others.
  """

  alias Wasmex.{Compat, Engine, Error, Native, StoreLimits, StoreOrCaller}
  alias Wasmex.Call.Access
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  @doc """
  Creates a store without WASI. `nil` means no limits, and `Wasmex.Engine.default/0` as the engine.
  """
  @spec new(StoreLimits.t() | nil, Engine.t() | nil) ::
          {:ok, StoreOrCaller.t()} | {:error, String.t()}
  def new(limits \\ nil, engine \\ nil) do
    wrap(Native.store_new(Engine.resource(engine), limits!(limits), nil, []))
  end

  @doc """
  Creates a store whose guests may use what the options grant of WASI preview 1.

  Returns `{:error, text}` when a preopened directory cannot be opened.
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
  # `observe` is a list of `:trace` (for instances of traced templates) and `:profile`. `{:native, options}` are options of
  # preview 1 that were validated before.
  @spec make(
          WasiOptions.t() | WasiP2Options.t() | {:native, %{atom() => term()}},
          StoreLimits.t() | nil,
          Engine.t() | nil,
          [atom()]
        ) :: {:ok, StoreOrCaller.t()} | {:error, Error.t()}
  def make({:native, options}, limits, engine, observe),
    do: make_native(options, limits, engine, observe)

  def make(%kind{} = options, limits, engine, observe)
      when kind in [WasiOptions, WasiP2Options],
      do: make_native(native!(options), limits, engine, observe)

  defp make_native(options, limits, engine, observe) do
    case Engine.resource(engine) |> made(limits!(limits), options, observe) do
      {:ok, resource} -> {:ok, StoreOrCaller.__wrap_resource__(resource)}
      {:error, native} -> {:error, Error.from_native(native)}
    end
  end

  # Opening directories may touch a disk.
  defp made(engine, limits, %{preopen: [_ | _]} = options, observe),
    do: Native.store_new_with_dirs(engine, limits, options, observe)

  defp made(engine, limits, options, observe),
    do: Native.store_new(engine, limits, options, observe)

  # Most stores have neither limits nor options: nothing is validated, and all such stores share one copy.
  @no_limits %StoreLimits{}
  @no_options %WasiOptions{}
  @no_options_native {:shared, WasiOptions.to_native!(@no_options)}

  defp limits!(limits) when limits in [nil, @no_limits], do: nil
  defp limits!(limits), do: StoreLimits.validate!(limits)

  # Not a pattern match: an empty map matches any map.
  defp native!(options) when options === @no_options, do: @no_options_native
  defp native!(%kind{} = options), do: kind.to_native!(options)

  defp wrap({:ok, resource}), do: {:ok, StoreOrCaller.__wrap_resource__(resource)}
  defp wrap({:error, native}), do: {:error, native |> Error.from_native() |> Compat.text()}

  @doc """
  The store with tags: its instances carry them, and telemetry has them in the metadata of their calls.

      iex> {:ok, store} = Wasmex.Store.new()
      iex> Wasmex.Store.tag(store, %{tenant: "a"}).tags
      %{tenant: "a"}
  """
  @spec tag(StoreOrCaller.t(), map()) :: StoreOrCaller.t()
  def tag(%StoreOrCaller{} = store, tags) when is_map(tags),
    do: %{store | tags: Map.merge(store.tags, tags)}

  @doc """
  Frees the store now, or as soon as the process that is using it is done. A call of the calling process
  that is suspended between two slices ends. Any later use of a handle returns an error.
  """
  @spec close(StoreOrCaller.t()) :: :ok
  def close(store) do
    {resource, _via} = StoreOrCaller.split(store)
    Native.store_close(resource)
  end

  @doc "The peak size in bytes of all memories of the store together."
  @spec memory_peak(StoreOrCaller.t()) :: {:ok, non_neg_integer()} | {:error, Exception.t()}
  def memory_peak(store) do
    {resource, via} = StoreOrCaller.split(store)
    Access.run(fn -> Native.store_memory_peak(resource, via) end, fn -> resource end)
  end

  @doc "Runs the garbage collector for guests that use the GC proposal or hold Elixir terms as externrefs."
  @spec gc(StoreOrCaller.t()) :: :ok | {:error, Exception.t()}
  def gc(store) do
    {resource, via} = StoreOrCaller.split(store)

    with {:ok, _} <- Access.run(fn -> Native.store_gc(resource, via) end, fn -> resource end),
         do: :ok
  end
end
