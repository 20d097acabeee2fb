defmodule Wasmex.Components.Instance do
  @moduledoc """
  An instance of a component, whose functions are called with Elixir values.

  `call/4` runs the guest in the calling process, as `Wasmex.Instance.call/4` does for modules. Imported
  Elixir functions run in the same process.

  ## Example

      iex> bytes = File.read!("test/guests/component_types/component_types.wasm")
      iex> {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), bytes)
      iex> {:ok, store} = Wasmex.Components.Store.new()
      iex> imports = Map.new(Wasmex.Components.Component.imports(component), fn
      ...>   {name, {:instance, items}} -> {name, for({f, {:func, _, _}} <- items, into: %{}, do: {f, {:fn, fn _ -> 0 end}})}
      ...>   {name, _} -> {name, {:fn, fn _question -> 42 end}}
      ...> end) |> Map.take(["ask", "test:types/host@1.0.0"])
      iex> {:ok, instance} = Wasmex.Components.Instance.instantiate(store, component, imports)
      iex> Wasmex.Components.Instance.call(instance, "greet", ["Wasm"])
      {:ok, "Hello, Wasm!"}
      iex> Wasmex.Components.Instance.call(instance, {"test:types/calls@1.2.0", "ask"}, ["what?"])
      {:ok, 42}

  ## Values

  | WIT | Elixir |
  |---|---|
  | `bool` | boolean |
  | `u8` … `s64` | integer in range |
  | `f32`, `f64` | float (an integer is accepted), `:nan`, `:infinity`, `:neg_infinity` |
  | `char` | string of one character; a code point is accepted |
  | `string` | binary of valid UTF-8 |
  | `list<u8>` | binary (a list is accepted; `bytes: :list` returns one) |
  | `list<T>`, `list<T, N>` | list; of numbers also `{:u32, binary}`, with the type's name and the numbers little-endian (`lists: :binary` returns one) |
  | `map<K, V>` | map |
  | `tuple<…>` | tuple |
  | `record` | map with all fields; keys are strings as in WIT (`"first-name"`), or the atoms from `names:`; as an argument also a struct, atoms, and atoms with underscores |
  | `option<T>` | `:none`, `{:some, value}` |
  | `result<T, E>` | `{:ok, value}`, `{:error, value}`; `:ok`, `:error` without a payload |
  | `variant` | `"case"` or `{"case", value}`; as an argument also atoms |
  | `enum` | `"case"`; as an argument also an atom |
  | `flags` | map of the flags that are set, `%{"read" => true}`; as an argument also a list of names |
  | `own<R>`, `borrow<R>` | `%Wasmex.Components.GuestResource{}`; any term if Elixir implements the resource |

  A component must not create atoms, so names in results are strings unless Elixir code provided the atoms
  (`names:` of `Wasmex.Components.Component.compile/3`, or a generated module).

  ## Errors

  A `Wasmex.Error` with reason `:conversion` says which value is wrong: ``param 1 ("order"), field
  "lines", item 3, field "qty": expected u32, got -1``. The guest does not run in this case. After a trap
  or a timeout, no component of the store can be called again (reason `:spent`): the component model does
  not allow calls into an instance whose call ended in the middle.
  """

  alias Wasmex.{Call, Compat, Error, Native, Telemetry, Options}
  alias Wasmex.Call.Timeout
  alias Wasmex.Components.{Component, Path, Store, ValueFormat, Template}

  defstruct store_resource: nil, instance_resource: nil, reference: nil, tags: %{}

  @type t :: %__MODULE__{
          store_resource: reference(),
          instance_resource: reference(),
          reference: reference(),
          tags: map()
        }
  @type path :: String.t() | atom() | tuple() | [String.t() | atom()]

  @doc "Like `instantiate/4`, with the values and error texts of Wasmex 0.15."
  @spec new(Store.t(), Component.t(), map()) :: {:ok, t()} | {:error, String.t()}
  def new(store, component, imports) do
    store
    |> instantiate(component, imports, value_format: :compat)
    |> Compat.result()
  end

  @options Options.table(
             Options.Call.limits() ++ Options.Call.value_format(),
             "Wasmex.Components.Instance.instantiate/4"
           )

  @doc """
  Instantiates a component.

  Imports are `%{"name" => {:fn, function}}` for functions of the world and
  `%{"ns:pkg/iface@1.0.0" => %{"name" => {:fn, function}, "res" => {:resource, drop}}}` for interfaces;
  semver-compatible versions match. A function receives the arguments and returns the result; `drop`
  receives the term of a resource that the guest drops. WASI is defined automatically; imports with the
  name of a WASI interface replace it.

  Options: `:timeout` in ms and `:fuel` for the guest's start code; `:bytes`, `:binary` or `:list`, for
  arguments of imported functions.
  """
  @spec instantiate(Store.t(), Component.t(), map(), keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def instantiate(store, component, imports, opts \\ []) do
    {limits, format} = opts |> Options.explicit!(@options) |> Map.split([:timeout, :fuel])
    {limits, format} = {Map.to_list(limits), Map.to_list(format)}

    with {:ok, template} <- Template.new(component, imports, format),
         do: Template.instantiate(template, store, limits)
  end

  @doc false
  @spec wrap(reference(), reference()) :: t()
  def wrap(store, resource),
    do: %__MODULE__{
      store_resource: store,
      instance_resource: resource,
      reference: make_ref()
    }

  @call_options Options.table(
                  Options.Call.limits() ++ Options.Call.value_format(),
                  "Wasmex.Components.Instance.call/4"
                )

  @doc """
  Calls an exported function in the calling process. `path` is its name, or an interface and a name:
  `{"ns:pkg/iface@1.0.0", "fun"}` (or a list, or a string with a dot in between).

  Returns `{:ok, value}`, `{:ok, nil}` for a function without a result, or `{:error, exception}`.

  #{Options.Docs.table(@call_options)}
  """
  @spec call(t(), path(), [term()], keyword()) :: {:ok, term()} | {:error, Exception.t()}
  def call(instance, path, params, opts \\ [])

  # The fast path: no options to check, and most calls finish in their first slice.
  def call(%__MODULE__{instance_resource: resource} = instance, name, params, [])
      when is_binary(name) and is_list(params) do
    if Telemetry.on?(:call) do
      spanned(instance, Path.parse(name), params, ValueFormat.direct(), nil, :infinity)
    else
      case Native.component_call(resource, name, params, ValueFormat.direct(), nil, nil) do
        {:ok, [value]} ->
          {:ok, value}

        {:ok, []} ->
          {:ok, nil}

        # The string may contain both an interface and a function.
        {:error, {:unknown_path, _}} ->
          run(instance, Path.parse(name), params, ValueFormat.direct(), nil, :infinity)

        step ->
          drive(step, instance, name, params, ValueFormat.direct(), nil, :infinity)
      end
    end
  end

  def call(%__MODULE__{} = instance, [interface, name] = path, params, [])
      when is_binary(interface) and is_binary(name) and is_list(params),
      do: spanned(instance, path, params, ValueFormat.direct(), nil, :infinity)

  def call(%__MODULE__{} = instance, {interface, name}, params, [])
      when is_binary(interface) and is_binary(name) and is_list(params),
      do: spanned(instance, [interface, name], params, ValueFormat.direct(), nil, :infinity)

  def call(%__MODULE__{} = instance, path, params, []) when is_list(params),
    do: spanned(instance, Path.parse(path), params, ValueFormat.direct(), nil, :infinity)

  def call(%__MODULE__{} = instance, path, params, opts) when is_list(params) do
    opts = Options.new!(opts, @call_options)
    spanned(instance, Path.parse(path), params, ValueFormat.bits(opts), opts.fuel, opts.timeout)
  end

  def call(%__MODULE__{}, _path, params, _opts),
    do: Options.misuse!("a list of params", params)

  @doc "Like `call/4`, but returns the value or raises the exception."
  @spec call!(t(), path(), [term()], keyword()) :: term()
  def call!(instance, path, params, opts \\ []) do
    case call(instance, path, params, opts) do
      {:ok, value} -> value
      {:error, exception} -> raise exception
    end
  end

  defp spanned(instance, path, params, format, fuel, timeout) do
    if Telemetry.on?(:call) do
      metadata = %{instance: instance, function: Enum.join(path, "#"), tags: instance.tags}
      span = Telemetry.start(:call, metadata)
      Telemetry.stop(span, run(instance, path, params, format, fuel, timeout))
    else
      run(instance, path, params, format, fuel, timeout)
    end
  end

  defp run(%{instance_resource: resource} = instance, path, params, format, fuel, timeout) do
    case Native.component_call(resource, path, params, format, fuel, nil) do
      {:ok, [value]} -> {:ok, value}
      {:ok, []} -> {:ok, nil}
      step -> drive(step, instance, path, params, format, fuel, timeout)
    end
  end

  defp drive(step, instance, path, params, format, fuel, timeout) do
    %{instance_resource: resource, store_resource: store} = instance
    again = fn -> Native.component_call(resource, path, params, format, fuel, nil) end

    case Call.run(step, Call.new(store, timeout, nil, again)) do
      {:ok, [value]} -> {:ok, value}
      {:ok, []} -> {:ok, nil}
      error -> error
    end
  end

  @doc false
  # The first step of a call, for processes that drive it themselves (the server).
  # An `extensible?` call continues when an imported function outlasts its deadline.
  @spec begin(t(), [String.t()], term(), timeout(), non_neg_integer(), boolean()) ::
          Call.outcome()
  def begin(%__MODULE__{} = instance, path, params, timeout, format, extensible?) do
    %{instance_resource: resource, store_resource: store} = instance

    case Native.component_call(resource, path, params, format, nil, nil) do
      {:ok, _} = ok ->
        {:done, ok}

      step ->
        again = fn -> Native.component_call(resource, path, params, format, nil, nil) end
        call = Call.new(store, timeout, nil, again)
        Call.advance(step, if(extensible?, do: Call.extensible(call), else: call))
    end
  end

  @doc """
  Calls an exported function asynchronously, in a new process, and sends `{tag, result}` to the pid of
  `from`. Returns `:ok` immediately. Nothing is sent if the call takes longer than `timeout`.
  """
  @spec call_function(t(), path(), [term()], {pid(), term()}, timeout() | nil) :: :ok
  def call_function(%__MODULE__{} = instance, path, params, {pid, tag}, timeout \\ nil)
      when is_pid(pid) do
    timeout = Timeout.check!(timeout || :infinity)
    path = Path.parse(path)
    # Raises here, and not in the new process, if the handle can't be used.
    _component = Native.component_instance_component(instance.instance_resource)

    unless is_list(params) and not List.improper?(params),
      do: Options.misuse!("a list of params", params)

    callers = [self() | Process.get(:"$callers", [])]

    spawn(fn ->
      Process.put(:"$callers", callers)

      case call(instance, path, params, timeout: timeout, value_format: :compat) do
        {:error, %Error{reason: :timeout}} -> :ok
        result -> send(pid, {tag, compat_result(result)})
      end
    end)

    :ok
  end

  @doc false
  # In Wasmex 0.15 a function without a result returns `{:ok, []}`.
  @spec compat_result({:ok, term()} | {:error, Exception.t()}) ::
          {:ok, term()} | {:error, String.t()}
  def compat_result({:ok, nil}), do: {:ok, []}
  def compat_result(result), do: Compat.call(result)
end
