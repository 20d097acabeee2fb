defmodule Wasmex.Components.Template do
  @moduledoc """
  A component with all its imports resolved. Processes can share it and create instances from it in any
  store of the same engine.

  ## Example

      iex> {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), "(component)")
      iex> {:ok, template} = Wasmex.Components.Template.new(component, %{})
      iex> {:ok, store} = Wasmex.Components.Store.new()
      iex> {:ok, %Wasmex.Components.Instance{}} = Wasmex.Components.Template.instantiate(template, store)

  ## Lifetime

  Keeps the component and the imported functions alive. Freed with its last handle.
  """

  alias Wasmex.{Call, Error, Native, Options, Telemetry}
  alias Wasmex.Components.{Component, Imports, Instance, Store, ValueFormat}

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  @format_options Options.table(Options.Call.value_format(), "Wasmex.Components.Template.new/3")
  @options Options.table(Options.Call.limits(), "Wasmex.Components.Template.instantiate/3")

  @doc """
  Resolves the imports (see `Wasmex.Components.Instance.instantiate/4` for their form). The error lists
  all missing imports with their types.
  """
  @spec new(Component.t(), map(), keyword()) :: {:ok, t()} | {:error, Exception.t()}
  def new(%Component{resource: component}, imports, opts \\ []) do
    {declarations, functions} = Imports.prepare(imports)
    format = ValueFormat.bits(Options.new!(opts, @format_options))

    case Native.component_template_new(component, declarations, functions, format) do
      {:ok, resource} -> {:ok, %__MODULE__{resource: resource, reference: make_ref()}}
      {:error, native} -> {:error, Error.from_native(native)}
    end
  end

  @doc false
  @spec component(t()) :: Component.t()
  def component(%__MODULE__{resource: template}),
    do: Component.__wrap_resource__(Native.component_template_component(template))

  @doc "Creates an instance. Options: `:timeout` in ms and `:fuel`, for the guest's start code."
  @spec instantiate(t(), Store.t(), keyword()) :: {:ok, Instance.t()} | {:error, Exception.t()}
  def instantiate(%__MODULE__{resource: template}, store, opts \\ []) do
    {store, tags} = {Store.resource!(store), store.tags}
    opts = Options.new!(opts, @options)
    again = fn -> Native.component_instantiate(store, template, opts.fuel, nil) end
    call = Call.new(store, opts.timeout, nil, again)
    span = Telemetry.start(:instantiate, %{tags: tags})

    case Telemetry.stop(span, Call.run(call)) do
      {:ok, resource} -> {:ok, %{Instance.wrap(store, resource) | tags: tags}}
      error -> error
    end
  end
end
