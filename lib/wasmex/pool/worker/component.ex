defmodule Wasmex.Pool.Worker.Component do
  @moduledoc false
  # Instances of components, each in its own store. The worker is a `Wasmex.Components.Instance`.

  @behaviour Wasmex.Pool.Worker

  alias Wasmex.{Components, Engine, Native, Store, StoreLimits}
  alias Wasmex.Components.{Instance, Template}
  alias Wasmex.Pool.Worker
  alias Wasmex.Pool.Worker.Meter
  alias Wasmex.Wasi.WasiP2Options

  @enforce_keys [:template, :engine, :wasi, :limits, :fuel?]
  defstruct [:template, :engine, :wasi, :limits, :fuel?, prepare: nil, tags: %{}]

  @type t :: %__MODULE__{}

  @spec new(Template.t(), WasiP2Options.t(), StoreLimits.t() | nil, boolean()) :: t()
  def new(template, wasi, limits, fuel?) do
    component = Template.component(template)
    engine = %Engine{resource: Native.component_engine(component.resource)}

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
    with {:ok, store} <- Store.make(made.wasi, made.limits, made.engine, []) do
      instantiate = fn ->
        store = Components.Store.__wrap_resource__(store.resource)
        Template.instantiate(made.template, Components.Store.tag(store, made.tags))
      end

      Worker.Store.instance(store, made.fuel?, instantiate, &prepared(&1, made.prepare))
    end
  end

  defp prepared(_instance, nil), do: {:ok, nil}
  defp prepared(instance, function), do: Instance.call(instance, function, [])

  @impl true
  def reset(_instance), do: :replace

  @impl true
  def call(%Instance{} = instance, path, params, opts),
    do: Instance.call(instance, path, params, opts)

  @impl true
  def close(%Instance{store_resource: store}), do: Meter.close(store)

  @impl true
  def meter(%Instance{store_resource: store}), do: Meter.read(store)

  @impl true
  def grant(%Instance{store_resource: store}, fuel), do: Meter.grant(store, fuel)
end
