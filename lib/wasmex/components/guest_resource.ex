defmodule Wasmex.Components.GuestResource do
  @moduledoc """
  A handle to a resource that a guest owns. Its constructor or another function returns it; call its
  methods, pass it to functions, and drop it at the end.

  Passing a handle as `borrow` keeps it valid; passing it as `own` moves it to the guest and invalidates it.
  Handles can be used from any process; calls into one store take turns.

  ## Example

      iex> bytes = File.read!("test/guests/component_resources/component_resources.wasm")
      iex> alias Wasmex.Components.{Component, GuestResource, Instance, Store}
      iex> {:ok, component} = Component.compile(Wasmex.Engine.default(), bytes)
      iex> imports = Map.new(Component.imports(component), fn {name, {:instance, items}} ->
      ...>   {name, Map.new(items, fn
      ...>     {item, {:func, _, _}} -> {item, {:fn, fn _ -> nil end}}
      ...>     {item, :resource} -> {item, {:resource, fn _ -> :ok end}}
      ...>   end)} end)
      iex> {:ok, store} = Store.new()
      iex> {:ok, instance} = Instance.instantiate(store, component, imports)
      iex> {:ok, counter} = GuestResource.new(instance, ["test:resources/counters@1.0.0", "counter"], [40])
      iex> GuestResource.call(counter, :method, :add, [2])
      {:ok, 42}
      iex> GuestResource.drop(counter)
      :ok

  ## A module per resource

  `use Wasmex.Components.GuestResource, wit: wit, resource: "counter"` defines `new`, a function per method
  and static function (in snake case), and `drop`, from the text of a WIT file. All accept `timeout:` in a
  keyword list as the last argument.

  ## Lifetime

  `drop/2` runs the guest's destructor. If a handle is garbage collected instead, its resource is dropped
  before the next call into its store.
  """

  alias Wasmex.{Call, Compat, Error, Native}
  alias Wasmex.Call.Timeout
  alias Wasmex.Components
  alias Wasmex.Components.{Discovery, Instance, Path, Store}

  @enforce_keys [:resource]
  defstruct [:resource, :reference]

  @type t :: %__MODULE__{resource: reference(), reference: reference()}
  @type result :: :ok | {:ok, term()} | {:error, String.t() | :timeout}

  @doc "Calls a resource's constructor; `path` is `[interface, resource]`."
  @spec new(Instance.t() | GenServer.server(), tuple() | list(), [term()], timeout()) ::
          {:ok, t()} | {:error, String.t() | :timeout}
  def new(instance_or_server, path, params \\ [], timeout \\ 5000) do
    deadline = timeout |> Timeout.check!() |> Timeout.deadline()

    with {:ok, interface, name} <- path(path),
         {:ok, instance} <- Components.instance_within(instance_or_server, timeout),
         do: run(instance, interface, "[constructor]#{name}", params, Timeout.left(deadline))
  end

  @doc "Calls a method. Returns `:ok` if it has no result."
  @spec call(t(), :method | :async_method, String.t() | atom(), [term()], timeout()) :: result()
  def call(%__MODULE__{} = handle, kind, name, params \\ [], timeout \\ 5000)
      when kind in [:method, :async_method] do
    case origin(handle) do
      {instance, interface, type} ->
        function = "[method]#{type}.#{Discovery.wit_name(name)}"

        instance
        |> run(interface, function, [handle | params], timeout)
        |> plain()

      nil ->
        {:error, "the component does not export this resource, so it has no methods to call"}
    end
  end

  @doc "Calls a static function of a resource."
  @spec call_static(
          Instance.t() | GenServer.server(),
          tuple() | list(),
          :static | :async_static,
          String.t() | atom(),
          [term()],
          timeout()
        ) :: result()
  def call_static(instance_or_server, path, kind, name, params \\ [], timeout \\ 5000)
      when kind in [:static, :async_static] do
    deadline = timeout |> Timeout.check!() |> Timeout.deadline()

    with {:ok, interface, type} <- path(path),
         {:ok, instance} <- Components.instance_within(instance_or_server, timeout) do
      instance
      |> run(
        interface,
        "[static]#{type}.#{Discovery.wit_name(name)}",
        params,
        Timeout.left(deadline)
      )
      |> plain()
    end
  end

  @doc "Runs the guest's destructor. Does nothing if the handle was already dropped or moved."
  @spec drop(t(), timeout()) :: :ok | {:error, String.t() | :timeout}
  def drop(%__MODULE__{resource: resource}, timeout \\ 5000) do
    store = Native.component_resource_store(resource)
    again = fn -> Native.component_resource_drop(resource, nil) end

    case Call.run(Call.new(store, Timeout.check!(timeout), nil, again)) do
      {:ok, _} -> :ok
      {:error, error} -> {:error, text(error, "drop")}
    end
  end

  @doc "Whether the handle is valid: neither dropped nor moved."
  @spec alive?(t()) :: boolean()
  def alive?(%__MODULE__{resource: resource}), do: Native.component_resource_alive(resource)

  defp path(path) when is_tuple(path) or is_list(path) do
    case Path.parse(path) do
      [interface, name] -> {:ok, interface, name}
      _ -> no_path()
    end
  end

  defp path(_path), do: no_path()

  defp no_path,
    do: {:error, "Guest resource path must contain an exported interface and a resource name"}

  defp run(instance, interface, function, params, timeout) do
    opts = [timeout: timeout, value_format: :resource]

    case Instance.call(instance, Path.parse([interface, function]), params, opts) do
      {:ok, value} -> {:ok, value}
      {:error, error} -> {:error, text(error, function)}
    end
  end

  defp plain({:ok, nil}), do: :ok
  defp plain(result), do: result

  defp text(%Error{reason: :timeout}, _function), do: :timeout

  defp text(%Error{reason: :unknown_path, details: %{path: path, position: 0}}, _function),
    do: "Export path segment `#{hd(path)}` was not found"

  defp text(%Error{reason: :unknown_path, details: %{path: [interface, _]}}, function),
    do: "Guest resource function `#{function}` was not found in `#{interface}`"

  # For the guest the receiver is a method's first argument; users do not count it.
  defp text(%Error{reason: :arity, details: details}, function) do
    own = if String.starts_with?(function, "[method]"), do: 1, else: 0
    "Expected #{details.expected - own} guest resource arguments, got #{details.got - own}"
  end

  defp text(
         %Error{reason: :conversion, details: %{problem: :resource, message: message}},
         _function
       ),
       do: message

  defp text(%Error{reason: :conversion} = error, _function),
    do: "Could not convert guest resource arguments: #{Compat.text(error)}"

  defp text(error, function),
    do: "Error calling guest resource function `#{function}`: #{Compat.text(error)}"

  @doc false
  # The instance that exports the resource, the interface and the resource's name, or `nil`.
  @spec origin(t()) :: {Wasmex.Components.Instance.t(), String.t(), String.t()} | nil
  def origin(%__MODULE__{resource: resource}) do
    with {instance, interface, type} <- Native.component_resource_origin(resource),
         do: {Instance.wrap(Native.component_resource_store(resource), instance), interface, type}
  end

  @doc false
  @spec store(t()) :: Wasmex.Components.Store.t()
  def store(%__MODULE__{resource: resource}),
    do: resource |> Native.component_resource_store() |> Store.__wrap_resource__()

  defmacro __using__(opts), do: Wasmex.Components.GuestResource.Macro.define(opts, __CALLER__)
end
