defmodule Wasmex.Pool.Worker.Component do
  @moduledoc false
  # Instances of components, each in a store of its own. What is lent is a `Wasmex.Components.Instance`.

  @behaviour Wasmex.Pool.Worker

  alias Wasmex.{Components, Engine, Error, Native, Store, StoreLimits}
  alias Wasmex.Components.{Instance, Template}
  alias Wasmex.Pool.Worker.Meter
  alias Wasmex.Wasi.WasiP2Options

  @enforce_keys [:template, :engine, :wasi, :limits, :fuel?]
  defstruct [:template, :engine, :wasi, :limits, :fuel?, prepare: nil]

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
    with {:ok, store} <- Store.make(made.wasi, made.limits, made.engine, []),
         :ok <- filled(store, made.fuel?) do
      own = Components.Store.__wrap_resource__(store.resource)

      with {:ok, instance} <- Template.instantiate(made.template, own),
           :ok <- prepared(instance, made.prepare) do
        {:ok, instance}
      else
        error ->
          Store.close(store)
          error
      end
    end
  end

  defp prepared(_instance, nil), do: :ok

  defp prepared(instance, function) do
    with {:ok, _} <- Instance.call(instance, function, []), do: :ok
  end

  defp filled(_store, false), do: :ok

  defp filled(store, true) do
    with {:error, text} <- Meter.fill(store),
         do: {:error, %Error{reason: :fuel_disabled, details: %{message: text}}}
  end

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
