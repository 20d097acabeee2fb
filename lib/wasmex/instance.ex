defmodule Wasmex.Instance do
  @moduledoc """
  An instance of a module in a store: its functions, memories, globals and tables.

  `call/4` runs a guest function in the calling process, in slices of a millisecond (a quarter of one while guests
  keep all schedulers busy), so that the VM can schedule other processes in between. Imported Elixir functions run
  in the same process.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> Wasmex.Instance.call(instance, "add", [40, 2])
      {:ok, [42]}

  ## Values

  | wasm | Elixir |
  |---|---|
  | `i32`, `i64` | integer; signed as a result, signed or unsigned as an argument |
  | `f32`, `f64` | float (an integer is accepted), `:nan`, `:infinity`, `:neg_infinity`; as an argument also `{:bits, n}`, the bits as an unsigned integer |
  | `v128` | integer from 0 to 2^128 - 1 |
  | `externref` | any term; `nil` is the null reference |
  | `funcref` | `%Wasmex.Func{}` or `nil` |
  | other references | `%Wasmex.Reference{}`, `{:i31, n}` or `nil`; `{:extern, term}` as an argument for an `anyref` |

  ## Bytes, strings and terms

  | argument of `call/4` | what is copied into the guest's memory |
  |---|---|
  | `{:bytes, iodata}` | the bytes |
  | `{:string, string}` | the same, checked to be UTF-8 |
  | `{:json, term}` | the term as JSON |

  The memory comes from the guest's own allocator and is freed after the call. The function gets pointer and length as
  two parameters, or as one i64 with the pointer in the high half. `returns: :bytes`, `:string` or `:json` reads the
  bytes that the function's result refers to: pointer and length as two results or as one such i64, or, for strings and
  JSON, an i32 pointer to NUL-terminated text.

      {:ok, "HELLO"} = Wasmex.Instance.call(instance, "upcase", [{:string, "hello"}], returns: :string)

  ## Lifetime

  An instance lives as long as its store, and a store as long as any of its handles.
  """

  alias Wasmex.{Call, Compat, Error, Memory, Native, Options, StoreOrCaller}
  alias Wasmex.Call.{Access, Context, Imports, Signed, Terms, Timeout}

  alias Wasmex.Telemetry

  # `tags` are those of its store, `module` the name of its module; both are for telemetry.
  defstruct resource: nil, reference: nil, tags: %{}, module: nil

  @type t :: %__MODULE__{
          resource: reference() | nil,
          reference: reference() | nil,
          tags: map(),
          module: String.t() | nil
        }

  @doc """
  Instantiates a module.

  Imports are `%{namespace => %{name => {:fn, param_types, result_types, function}}}`; the function
  receives a context map (`:memory`, `:caller`, `:pid`, `:instance`) followed by the arguments. Instead of
  a function, an import may be a `%Wasmex.Memory{}`, `Global`, `Table`, `Func` or `Tag` of the same
  store.
  `links` are modules whose exports are imported by name: `[%{name: "lib", module: module}]`.

  The module's `start` function, and a reactor's exported `_initialize`, run before this returns. The
  caller waits while another process uses the store.
  """
  @spec new(StoreOrCaller.t(), Wasmex.Module.t(), map(), [map()], keyword()) ::
          {:ok, t()} | {:error, String.t()}
  def new(store_or_caller, module, imports, links \\ [], opts \\ []) do
    prepared = Imports.prepare(imports, :any_arity)
    Compat.result(instantiate_prepared(store_or_caller, module, prepared, links, opts))
  end

  @start_options Options.table(
                   Keyword.take(Options.Call.limits(), [:timeout]),
                   "Wasmex.Instance.new/5"
                 )

  @doc "Like `new/5`, but returns an exception struct as the error. Option: `:timeout` in ms."
  @spec instantiate(StoreOrCaller.t(), Wasmex.Module.t(), map(), [map()], keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def instantiate(store_or_caller, module, imports, links \\ [], opts \\ []),
    do: instantiate_prepared(store_or_caller, module, Imports.prepare(imports), links, opts)

  defp instantiate_prepared(store_or_caller, %Wasmex.Module{} = module, imports, links, opts) do
    {store, via} = StoreOrCaller.split(store_or_caller)
    {declarations, functions} = imports
    links = Enum.map(links, &link!/1)
    opts = Options.new!(opts, @start_options)

    again = fn ->
      Native.instance_new(store, module.resource, declarations, functions, links, via)
    end

    call = Call.new(store, opts.timeout, Context.of(), again)
    name = if Telemetry.names?(), do: Native.module_name(module.resource)
    instance = of(store_or_caller, name)
    span = Telemetry.start(:instantiate, metadata(instance))

    case Telemetry.stop(span, Call.run(call)) do
      {:ok, resource} -> {:ok, %{instance | resource: resource, reference: make_ref()}}
      {:error, error} -> {:error, Imports.given(error, declarations)}
    end
  end

  @doc false
  # Prepares an instance in this store, of a module with this name.
  @spec of(StoreOrCaller.t(), String.t() | nil) :: t()
  def of(%{tags: tags}, name), do: %__MODULE__{tags: tags, module: name}

  @doc false
  # Its metadata for telemetry.
  @spec metadata(t()) :: map()
  def metadata(%__MODULE__{tags: tags, module: module}), do: %{tags: tags, module: module}

  defp link!(%{name: name, module: %Wasmex.Module{resource: resource}}) when is_binary(name),
    do: {name, resource}

  defp link!(other),
    do: Options.misuse!("a link %{name: string, module: %Wasmex.Module{}}", other)

  @call_options Options.table(
                  Options.Call.limits() ++ Options.Call.core(),
                  "Wasmex.Instance.call/4"
                )

  @doc """
  Calls an exported function in this process.

  #{Options.Docs.table(@call_options)}

  Returns `{:ok, results}`, a list (with `:returns` the one value), or `{:error, exception}`: `Wasmex.Trap`, `Wasmex.Exit` or
  `Wasmex.Error`. After an error the instance can be called again.

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (func (export "spin") (loop br 0)))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:error, error} = Wasmex.Instance.call(instance, "spin", [], timeout: 5)
      iex> error.reason
      :timeout
  """
  @spec call(t(), String.t() | atom(), [term()], keyword()) ::
          {:ok, [term()] | term()} | {:error, Exception.t()}
  def call(instance, name, params, opts \\ [])

  # The fast path: no options to check, and most calls finish in their first slice.
  def call(%__MODULE__{resource: resource} = instance, name, params, [])
      when is_binary(name) and is_list(params) do
    case Native.instance_call(resource, name, params, nil, :unobserved) do
      {:ok, _} = ok -> ok
      {:error, {:value, _}} = error -> terms_or_error(error, instance, name, params)
      {:error, {:arity, _}} = error -> terms_or_error(error, instance, name, params)
      :observed -> spanned(instance, name, params, timeout: :infinity)
      step -> drive(step, instance, name, params, nil, :infinity)
    end
  end

  def call(%__MODULE__{} = instance, name, params, opts) when is_list(params),
    do: spanned(instance, Wasmex.Utils.stringify(name), params, opts)

  def call(%__MODULE__{}, _name, params, _opts),
    do: Options.misuse!("a list of params", params)

  defp spanned(instance, name, params, opts) do
    span = Telemetry.start(:call, call_metadata(instance, name))
    Telemetry.stop(span, full_call(instance, name, params, opts))
  end

  @doc false
  @spec call_metadata(t(), String.t()) :: map()
  def call_metadata(instance, name),
    do: %{instance: instance, function: name, tags: instance.tags, module: instance.module}

  defp full_call(%__MODULE__{resource: resource} = instance, name, params, opts) do
    opts = Options.new!(opts, @call_options)
    terms = Terms.new(params, opts)

    again =
      if terms,
        do: Terms.begin(resource, name, terms, opts.fuel),
        else: again(opts.floats, resource, name, params, opts.fuel)

    store = Native.instance_store(resource)
    result = Call.run(again.(), Call.new(store, opts.timeout, Context.of(instance), again))
    if terms, do: Terms.result(result, terms), else: result
  end

  defp terms_or_error({:error, native}, instance, name, params) do
    if Terms.any?(params),
      do: full_call(instance, name, params, []),
      else: {:error, Error.from_native(native)}
  end

  defp drive(step, %{resource: resource} = instance, name, params, fuel, timeout) do
    again = fn -> Native.instance_call(resource, name, params, fuel, nil) end

    Call.run(
      step,
      Call.new(Native.instance_store(resource), timeout, Context.of(instance), again)
    )
  end

  defp again(:values, resource, name, params, fuel),
    do: fn -> Native.instance_call(resource, name, params, fuel, nil) end

  defp again(:bits, resource, name, params, fuel),
    do: fn -> Native.instance_call_bits(resource, name, params, fuel, nil) end

  @doc "Like `call/4`, but returns the results (with `:returns` the value) or raises the exception."
  @spec call!(t(), String.t() | atom(), [term()], keyword()) :: [term()] | term()
  def call!(instance, name, params, opts \\ []) do
    case call(instance, name, params, opts) do
      {:ok, results} -> results
      {:error, exception} -> raise exception
    end
  end

  @doc "Whether the instance exports a function of this name."
  @spec function_export_exists(StoreOrCaller.t(), t(), String.t()) :: boolean()
  def function_export_exists(store_or_caller, %__MODULE__{resource: resource}, name)
      when is_binary(name) do
    _via = StoreOrCaller.via(store_or_caller)
    match?({:fn, _, _}, Native.instance_export_type(resource, name))
  end

  @doc """
  Calls an exported function asynchronously and sends `{tag, result}` to `pid`, where `from` is
  `{pid, tag}`. Returns `:ok` immediately. Nothing is sent if the call takes longer than `timeout_ms`.

  The call runs in a new process. Inside an imported function, with its `caller`, it runs in the calling
  process instead and the message is sent before this returns.
  """
  @spec call_exported_function(
          StoreOrCaller.t(),
          t(),
          String.t(),
          [term()],
          {pid(), term()},
          timeout() | nil
        ) :: :ok
  def call_exported_function(store_or_caller, instance, name, params, from, timeout_ms \\ nil)

  def call_exported_function(store_or_caller, instance, name, params, {pid, tag}, timeout_ms)
      when is_binary(name) and is_pid(pid) do
    {store, _via} = StoreOrCaller.split(store_or_caller)
    # Raises here, and not in the new process, if the handle can't be used.
    _store = Native.instance_store(instance.resource)
    timeout = Timeout.check!(timeout_ms || :infinity)

    reply = fn ->
      case call_compat(instance, name, params, timeout) do
        {:error, %Error{reason: :timeout}} -> :ok
        result -> send(pid, {tag, Compat.call(result, instance, name)})
      end
    end

    if Native.store_driver(store) == self() do
      reply.()
    else
      callers = [self() | Process.get(:"$callers", [])]

      spawn(fn ->
        Process.put(:"$callers", callers)
        reply.()
      end)
    end

    :ok
  end

  @doc false
  # On the process's own instance: `params` may be `Wasmex.Call.Terms`.
  @spec call_compat(t(), String.t() | atom(), term(), timeout()) ::
          {:ok, [term()]} | {:error, Exception.t()}
  def call_compat(%__MODULE__{resource: resource} = instance, name, %Terms{} = terms, timeout) do
    again = Terms.begin(resource, name, terms, nil)
    store = Native.instance_store(resource)
    Call.run(again.(), Call.new(store, timeout, Context.of(instance), again))
  end

  def call_compat(_instance, _name, params, _timeout) when not is_list(params),
    do: {:error, %Error{reason: :params, details: %{message: "could not load 'function params'"}}}

  def call_compat(instance, name, params, timeout) do
    params = Compat.signed(instance, name, params)
    call(instance, name, params, timeout: timeout)
  end

  @doc false
  # The first step of a call, for the server, which drives it itself. With the integers of Wasmex 0.15. `caller` is the
  # process that the call is for. With `:unobserved` it returns `:observed`, and does nothing, if telemetry wants a span.
  @spec begin_compat(t(), String.t(), list() | Terms.t(), timeout(), pid(), :unobserved | nil) ::
          Call.outcome() | :observed
  def begin_compat(
        %__MODULE__{resource: resource} = instance,
        name,
        %Terms{} = terms,
        timeout,
        caller,
        via
      ) do
    if via == :unobserved and Telemetry.on?(:call) do
      :observed
    else
      again = Terms.begin(resource, name, terms, nil)
      advance(again.(), again, instance, timeout, caller)
    end
  end

  def begin_compat(%__MODULE__{resource: resource} = instance, name, params, timeout, caller, via) do
    params = Compat.signed(instance, name, params)

    case Native.instance_call(resource, name, params, nil, via) do
      {:ok, _} = ok ->
        {:done, ok}

      :observed ->
        :observed

      step ->
        again = fn -> Native.instance_call(resource, name, params, nil, nil) end
        advance(step, again, instance, timeout, caller)
    end
  end

  defp advance(step, again, %{resource: resource} = instance, timeout, caller) do
    Process.put(:"$callers", [caller])
    call = Call.new(Native.instance_store(resource), timeout, Context.of(instance), again)
    Call.advance(step, call)
  end

  @doc "Returns the first exported memory, whatever its name."
  @spec memory(StoreOrCaller.t(), t()) :: {:ok, Memory.t()} | {:error, String.t()}
  def memory(store_or_caller, instance), do: Memory.from_instance(store_or_caller, instance)

  @doc """
  Returns a handle to an export. `kind` is `:memory`, `:global`, `:table`, `:func` or `:tag`.

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (global (export "g") i32 i32.const 7))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:ok, global} = Wasmex.Instance.export(instance, :global, "g")
      iex> Wasmex.Global.get(global)
      {:ok, 7}
  """
  @spec export(t(), :memory | :global | :table | :func | :tag, String.t() | atom()) ::
          {:ok, struct()} | {:error, Exception.t()}
  def export(%__MODULE__{} = instance, kind, name) do
    with {:ok, resource} <- native_export(instance, kind, Wasmex.Utils.stringify(name), nil),
         do: {:ok, wrap(kind, resource)}
  end

  defp wrap(:memory, resource), do: Memory.__wrap_resource__(resource)
  defp wrap(:tag, resource), do: %Wasmex.Tag{resource: resource, reference: make_ref()}
  defp wrap(:global, resource), do: %Wasmex.Global{resource: resource, reference: make_ref()}
  defp wrap(:table, resource), do: %Wasmex.Table{resource: resource, reference: make_ref()}
  defp wrap(:func, resource), do: %Wasmex.Func{resource: resource, reference: make_ref()}

  @doc "The value of an exported global, a number. `Wasmex.Global.get/1` also returns references."
  @spec get_global_value(StoreOrCaller.t(), t(), String.t()) ::
          {:ok, term()} | {:error, String.t()}
  def get_global_value(store_or_caller, %__MODULE__{} = instance, name) when is_binary(name) do
    via = StoreOrCaller.via(store_or_caller)

    with {:ok, global} <- native_export(instance, :global, name, via) do
      value = access(instance, fn -> Native.global_get(global, via) end)
      Compat.global(value, global_type(instance, name))
    else
      {:error, error} -> {:error, Compat.text(error)}
    end
  end

  @doc "Sets an exported mutable global."
  @spec set_global_value(StoreOrCaller.t(), t(), String.t(), term()) :: :ok | {:error, String.t()}
  def set_global_value(store_or_caller, %__MODULE__{} = instance, name, value)
      when is_binary(name) do
    via = StoreOrCaller.via(store_or_caller)

    with {:ok, global} <- native_export(instance, :global, name, via),
         value = Signed.value(value, global_type(instance, name)[:type]),
         {:ok, _} <- access(instance, fn -> Native.global_set(global, value, via) end) do
      :ok
    else
      {:error, error} -> {:error, Compat.text(error)}
    end
  end

  defp global_type(%{resource: resource}, name) do
    with {:global, type} <- Native.instance_export_type(resource, name),
         do: type,
         else: (_ -> %{})
  end

  defp native_export(%{resource: resource} = instance, kind, name, via),
    do: access(instance, fn -> Native.instance_export(resource, kind, name, via) end)

  defp access(%{resource: resource}, operation),
    do: Access.run(operation, fn -> Native.instance_store(resource) end)

  @doc """
  Reads bytes that a guest returned as pointer and length: either `{pointer, length}` or an i64 with the
  pointer in the high and the length in the low 32 bits. Option: `:memory`, the name of the exported
  memory (default: the first one).
  """
  @spec read_bytes(t(), {integer(), integer()} | integer(), keyword()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def read_bytes(%__MODULE__{} = instance, result, opts \\ []),
    do: Terms.read(instance, result, opts)

  @doc false
  @spec __wrap_resource__(reference()) :: t()
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}
end
