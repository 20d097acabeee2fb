defmodule Wasmex.Global do
  @moduledoc """
  A guest's global variable (core specification, section 2.5.10).

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (global (export "g") (mut i64) i64.const 7))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:ok, global} = Wasmex.Instance.export(instance, :global, "g")
      iex> Wasmex.Global.set(global, 8)
      :ok
      iex> Wasmex.Global.get(global)
      {:ok, 8}
  """

  alias Wasmex.{Native, Options, StoreOrCaller}
  alias Wasmex.Call.Access

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  @types [:i32, :i64, :f32, :f64, :v128, :externref, :funcref, :anyref, :eqref, :i31ref] ++
           [:structref, :arrayref, :exnref]
  @options Options.table(
             [mutable: [type: :boolean, default: false, doc: "whether it can be set"]],
             "Wasmex.Global.new/4"
           )

  @doc """
  Creates a global variable with a value. Modules of the store can import it:

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, global} = Wasmex.Global.new(store, :i32, 7, mutable: true)
      iex> Wasmex.Global.set(global, 8)
      iex> Wasmex.Global.get(global)
      {:ok, 8}

  #{Options.Docs.table(@options)}

  Types: #{Enum.map_join(@types, ", ", &"`#{inspect(&1)}`")}.
  """
  @spec new(StoreOrCaller.t(), atom(), term(), keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def new(store_or_caller, type, value, opts \\ []) do
    {store, via} = StoreOrCaller.split(store_or_caller)
    type = Options.argument!(type, :type, {:one_of, @types}, "Wasmex.Global.new/4")
    %{mutable: mutable?} = Options.new!(opts, @options)
    make = fn -> Native.global_new(store, type, value, mutable?, via) end

    with {:ok, resource} <- Access.run(make, fn -> store end),
         do: {:ok, %__MODULE__{resource: resource, reference: make_ref()}}
  end

  @doc "The value of the global."
  @spec get(t()) :: {:ok, term()} | {:error, Exception.t()}
  def get(%__MODULE__{resource: global}),
    do: run(global, fn -> Native.global_get(global, nil) end)

  @doc "Sets the value of a mutable global."
  @spec set(t(), term()) :: :ok | {:error, Exception.t()}
  def set(%__MODULE__{resource: global}, value) do
    with {:ok, _} <- run(global, fn -> Native.global_set(global, value, nil) end), do: :ok
  end

  @doc "The type of the global, as in `Wasmex.Module.exports/1`."
  @spec type(t()) :: {:ok, tuple()} | {:error, Exception.t()}
  def type(%__MODULE__{resource: global}),
    do: run(global, fn -> Native.global_type(global, nil) end)

  defp run(global, operation), do: Access.run(operation, fn -> Native.global_store(global) end)
end
