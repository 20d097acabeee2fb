defmodule Wasmex.Pool.Worker.Instance do
  @moduledoc false
  # Instances of modules, each in its own store. The worker is a `Wasmex.Instance`.

  @behaviour Wasmex.Pool.Worker

  alias Wasmex.{Engine, Error, Instance, Native, Store, StoreLimits, Template}
  alias Wasmex.Pool.Worker
  alias Wasmex.Pool.Worker.Meter
  alias Wasmex.Wasi.WasiOptions

  @enforce_keys [:template, :engine, :wasi, :limits, :fuel?]
  defstruct [:template, :engine, :wasi, :limits, :fuel?, prepare: nil, tags: %{}]

  @type t :: %__MODULE__{}

  @spec new(Template.t(), WasiOptions.t() | nil, StoreLimits.t() | nil, boolean()) :: t()
  def new(template, wasi, limits, fuel?) do
    module = Template.module(template)
    engine = %Engine{resource: Native.module_engine(module.resource)}

    %__MODULE__{
      template: template,
      engine: engine,
      wasi: wasi,
      limits: limits || %StoreLimits{},
      fuel?: fuel?
    }
  end

  @impl true
  def make(%__MODULE__{} = made) do
    with {:ok, store} <- store(made) do
      store = Store.tag(store, made.tags)
      instantiate = fn -> Template.instantiate(made.template, store) end
      Worker.Store.instance(store, made.fuel?, instantiate, &prepared(&1, made.prepare))
    end
  end

  defp prepared(_instance, nil), do: {:ok, nil}
  defp prepared(instance, function), do: Instance.call(instance, function, [])

  defp store(%{wasi: nil, engine: engine, limits: limits}) do
    case Native.store_new(engine.resource, limits, nil, []) do
      {:ok, resource} -> {:ok, Wasmex.StoreOrCaller.__wrap_resource__(resource)}
      {:error, native} -> {:error, Error.from_native(native)}
    end
  end

  defp store(%{wasi: wasi, engine: engine, limits: limits}),
    do: Store.make(wasi, limits, engine, [])

  # Another instance in the same place: the engine has reset its memory.
  @impl true
  def reset(_instance), do: :replace

  @impl true
  def call(%Instance{} = instance, function, params, opts),
    do: Instance.call(instance, function, params, opts)

  @impl true
  def close(%Instance{resource: resource}),
    do: resource |> Native.instance_store() |> Meter.close()

  @impl true
  def meter(%Instance{resource: resource}),
    do: resource |> Native.instance_store() |> Meter.read()

  @impl true
  def grant(%Instance{resource: resource}, fuel),
    do: resource |> Native.instance_store() |> Meter.grant(fuel)
end
