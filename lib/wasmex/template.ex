defmodule Wasmex.Template do
  @moduledoc """
  A module with all its imports resolved (wasmtime's `InstancePre`), made by
  `Wasmex.Linker.instantiate_pre/3`. Processes can share it and create instances in any store of the same
  engine.

  ## Example

      iex> {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), "(module)")
      iex> {:ok, template} = Wasmex.Linker.instantiate_pre(Wasmex.Linker.new(), module)
      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, %Wasmex.Instance{}} = Wasmex.Template.instantiate(template, store)

  ## Lifetime

  Keeps the module and the imported functions alive. Freed with its last handle.
  """

  alias Wasmex.{Call, Instance, Native, Options, StoreOrCaller, Telemetry}
  alias Wasmex.Call.Context

  # `program?`: whether its module is known to be a WASI program, so that runs need not look at its exports again.
  defstruct resource: nil, reference: nil, program?: false

  @type t :: %__MODULE__{resource: reference(), reference: reference(), program?: boolean()}

  @options Options.table(Options.Call.limits(), "Wasmex.Template.instantiate/3")

  @doc """
  Creates an instance and runs its `start` function, and `_initialize` of a reactor.

  Options: `:timeout` in ms and `:fuel`, both for the start functions, as in
  `Wasmex.Instance.call/4`.
  """
  @spec instantiate(t(), StoreOrCaller.t(), keyword()) ::
          {:ok, Instance.t()} | {:error, Exception.t()}
  def instantiate(template, store_or_caller, opts \\ [])

  def instantiate(%__MODULE__{resource: template}, store_or_caller, opts) do
    {store, via} = StoreOrCaller.split(store_or_caller)
    %{fuel: fuel, timeout: timeout} = Options.new!(opts, @options)

    observed? = Telemetry.names?()
    instance = Instance.of(store_or_caller, if(observed?, do: name(template)))
    span = if observed?, do: Telemetry.start(:instantiate, Instance.metadata(instance))

    case Native.instance_from_template(store, template, fuel, via) do
      {:ok, resource} ->
        Telemetry.stop(span, made(instance, resource))

      step ->
        made = drive(step, store, template, fuel, via, timeout)
        made = with {:ok, resource} <- made, do: made(instance, resource)
        Telemetry.stop(span, made)
    end
  end

  defp made(instance, resource),
    do: {:ok, %{instance | resource: resource, reference: make_ref()}}

  defp name(template), do: template |> Native.template_module() |> Native.module_name()

  @doc false
  @spec module(t()) :: Wasmex.Module.t()
  def module(%__MODULE__{resource: template}),
    do: Wasmex.Module.__wrap_resource__(Native.template_module(template))

  defp drive(step, store, template, fuel, via, timeout) do
    again = fn -> Native.instance_from_template(store, template, fuel, via) end
    call = Call.new(store, timeout, Context.of(), again)
    Call.run(step, call)
  end
end
