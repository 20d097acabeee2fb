defmodule Wasmex.Plugin do
  alias Wasmex.Options

  @compile_options Options.table(Options.Plugin.compile(), "Wasmex.Plugin.compile/2")
  @new_options Options.table(Options.Plugin.new(), "Wasmex.Plugin.new/2")
  @call_options Options.table(Options.Plugin.call(), "Wasmex.Plugin.call/4")
  # For sources that are not compiled yet: fuel for the initialization implies counting fuel.
  @fuel [fuel: [type: {:or, [nil, true, false], :natural}, doc: false]]
  @both_options Options.table(
                  Options.Plugin.compile()
                  |> Keyword.merge(Options.Plugin.new())
                  |> Keyword.merge(@fuel),
                  "Wasmex.Plugin.new/2"
                )

  @moduledoc """
  Plug-ins with the ABI of [Extism](https://extism.org): bytes in, bytes out, in any language with an Extism PDK.

  A plug-in is third-party code in your application. It can access its input, configuration and variables, and what you
  grant: host functions, HTTP requests to listed hosts, and directories. It runs in the process that calls it, in slices,
  with a memory limit and optionally a time limit.

  ## Example

      iex> wat = ~S|(module
      ...>   (import "extism:host/env" "input_offset" (func $at (result i64)))
      ...>   (import "extism:host/env" "input_length" (func $length (result i64)))
      ...>   (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      ...>   (func (export "echo") (result i32)
      ...>     (call $output (call $at) (call $length))
      ...>     (i32.const 0)))|
      iex> {:ok, compiled} = Wasmex.Plugin.compile({:bytes, wat})
      iex> {:ok, plugin} = Wasmex.Plugin.new(compiled)
      iex> Wasmex.Plugin.call(plugin, "echo", "hello")
      {:ok, "hello"}

  Compile once, then create plug-ins in microseconds. A plug-in runs one call at a time; other processes wait for their
  turn. For concurrent calls, use `Wasmex.Plugin.Pool`.

  In a supervision tree:

      {Wasmex.Plugin, source: "priv/plugin.wasm", name: MyApp.Plugin, config: %{"language" => "en"}}

      Wasmex.Plugin.call(MyApp.Plugin, "greet", "Ada")

  The call runs in the calling process here, too.

  ## State between calls

  Memory, globals and variables are kept between calls, also after a failed call. Blocks, input, output and error are
  not. After `_start`, which ends a program, the next call uses a new instance without variables.

  ## Errors

  | failure | exception |
  |---|---|
  | the plug-in set an error or returned a non-zero code | `Wasmex.Plugin.Error` |
  | it trapped | `Wasmex.Trap` |
  | it exited (WASI) with a non-zero status | `Wasmex.Exit` |
  | timeout | `%Wasmex.Error{reason: :timeout}` |
  | it exceeded its memory limit | `%Wasmex.Error{reason: :oom}` |
  | it misused the ABI or a host function, or sent a request that is not allowed | `%Wasmex.Error{reason: :guest}` |
  | a host function raised | `%Wasmex.Error{reason: :import_raised}` |
  | the function does not exist or has the wrong type | `%Wasmex.Error{reason: :unknown_export}`, `:signature` |
  | the manifest, a module or an import is invalid | `%Wasmex.Error{reason: :manifest}`, `:compile`, `:missing_import`, … |

  Errors raised in the guest contain its backtrace (`backtrace`, in `details` of `Wasmex.Error`).

  ## Lifetime

  A plug-in is freed with its last handle. A supervised plug-in is freed when its process ends.
  """

  alias Wasmex.{Native, Telemetry, Utils}
  alias Wasmex.Call.{Access, Terms}
  alias Wasmex.Plugin.{Compiled, Component, Core, Log, Manifest, Server}

  @enforce_keys [:resource, :compiled, :options, :timeout, :name, :log_level]
  defstruct [:resource, :compiled, :options, :timeout, :name, :log_level, reference: nil]

  @typedoc "The input of a call."
  @type input :: iodata() | {:bytes, iodata()} | {:string, String.t()} | {:json, term()}

  @type t :: %__MODULE__{
          resource: reference(),
          compiled: Compiled.t(),
          options: map(),
          timeout: timeout(),
          name: term(),
          log_level: Log.level(),
          reference: reference()
        }

  @typedoc "The source of a plug-in. Bytes are wasm, WAT or an artefact."
  @type source ::
          Path.t() | {:bytes, binary()} | {:manifest, Path.t()} | map() | Manifest.t()

  @doc """
  Generates a module for a plug-in from its schema: functions, structs, specs, and a behaviour for its imports. See
  `Wasmex.Plugin.Schema`.

  - `:path` or `:source`: the source of the plug-in
  - `:schema`: the path of the schema; the module is recompiled when the file changes
  - `:imports`: the module that implements the behaviour
  - any other option of `compile/2` and `new/2`
  """
  defmacro __using__(opts) do
    {path, opts} = Keyword.pop(opts, :schema)
    {file, _} = Code.eval_quoted(path, [], __CALLER__)

    unless is_binary(file) do
      Options.misuse!("use Wasmex.Plugin with schema:, the path of an XTP schema", file)
    end

    schema =
      case file |> File.read!() |> Wasmex.Plugin.Schema.parse() do
        {:ok, schema} -> schema
        {:error, error} -> raise CompileError, file: file, description: Exception.message(error)
      end

    opts =
      if opts[:path],
        do: Keyword.put(Keyword.delete(opts, :path), :source, opts[:path]),
        else: opts

    [
      quote(do: @external_resource(unquote(file))),
      Wasmex.Plugin.Generated.definitions(schema, __CALLER__.module, opts)
    ]
  end

  @doc """
  Compiles a plug-in and links its modules, host functions and WASI.

  #{Options.Docs.table(@compile_options)}

  A file is compiled once until it changes.
  """
  @spec compile(source(), keyword()) :: {:ok, Compiled.t()} | {:error, Exception.t()}
  def compile(source, opts \\ []) do
    opts = Options.new!(opts, @compile_options)
    Compiled.make(source, opts)
  end

  @doc """
  Creates a plug-in: instantiates it and runs its initialization (`hs_init`, `__wasm_call_ctors`, `_initialize`) once.

  #{Options.Docs.table(@new_options)}

  A source is compiled first. Then the options of `compile/2` are accepted, too.
  """
  @spec new(Compiled.t() | source(), keyword()) :: {:ok, t()} | {:error, Exception.t()}
  def new(compiled_or_source, opts \\ [])

  def new(%Compiled{} = compiled, opts), do: make(compiled, options!(opts))

  def new(source, opts) do
    {compile, new} = split_options!(opts)
    with {:ok, compiled} <- compile(source, compile), do: new(compiled, new)
  end

  @doc false
  # Splits options into those of `compile/2` and of `new/2`. `:config` belongs to the latter. Fuel for the initialization
  # implies counting fuel.
  @spec split_options!(keyword()) :: {keyword(), keyword()}
  def split_options!(opts) do
    explicit = Options.explicit!(opts, @both_options)

    {compile, new} =
      Map.split(explicit, Keyword.keys(Options.Plugin.compile()) -- [:config, :fuel])

    {compile, new} =
      case Map.pop(new, :fuel, false) do
        {counted, new} when is_boolean(counted) -> {Map.put(compile, :fuel, counted), new}
        {fuel, new} -> {Map.put(compile, :fuel, true), Map.put(new, :fuel, fuel)}
      end

    {Map.to_list(compile), Map.to_list(new)}
  end

  defp options!(opts), do: Options.new!(opts, @new_options)

  defp make(%Compiled{kind: :component} = compiled, options) do
    with {:ok, held} <- Component.new(compiled, options),
         do: {:ok, plugin(compiled, held, options)}
  end

  defp make(%Compiled{} = compiled, options), do: compiled |> plugin(nil, options) |> Core.new()

  defp plugin(compiled, resource, options) do
    %__MODULE__{
      resource: resource,
      compiled: compiled,
      options: options,
      timeout: options.timeout || compiled.manifest.timeout_ms || :infinity,
      name: options.name || compiled.options.name,
      log_level: options.log_level,
      reference: make_ref()
    }
  end

  @doc """
  Calls a function of the plug-in in this process. Returns `{:ok, output}` or `{:error, exception}`.

  Input and output are any bytes. `plugin` is a plug-in or the process of one.

  #{Options.Docs.table(@call_options)}

  The input is bytes, or `{:string, string}`, checked to be UTF-8, or `{:json, term}`.

  A host function may call its plug-in again. The nested call has its own input, output and error.
  """
  @spec call(t() | GenServer.server(), String.t() | atom(), input(), keyword()) ::
          {:ok, binary() | term()} | {:error, Exception.t()}
  def call(plugin, function, input \\ "", opts \\ [])

  def call(plugin, function, {kind, _} = input, opts) when kind in [:bytes, :string, :json],
    do: call(plugin, function, Terms.bytes!(input), opts)

  def call(%__MODULE__{compiled: %{kind: :component}} = plugin, function, input, opts)
      when is_binary(input) or is_list(input) do
    opts = Options.new!(opts, @call_options)
    call = [fuel: opts.fuel, timeout: opts.timeout || plugin.timeout]

    plugin
    |> Component.call(Utils.stringify(function), IO.iodata_to_binary(input), call)
    |> decoded(opts)
  end

  # The fast path: no options, and most calls finish in their first slice.
  def call(%__MODULE__{resource: resource, timeout: :infinity} = plugin, function, input, [])
      when is_binary(function) and is_binary(input) do
    if Telemetry.on?(:call) do
      Core.call(plugin, function, input, Options.new!([], @call_options))
    else
      case Native.plugin_call(resource, function, input, nil) do
        {:ok, output} when is_binary(output) -> {:ok, output}
        step -> Core.finish(step, plugin, function, input, nil, nil, :infinity)
      end
    end
  end

  def call(%__MODULE__{} = plugin, function, input, opts)
      when is_binary(input) or is_list(input) do
    opts = Options.new!(opts, @call_options)

    plugin
    |> Core.call(Utils.stringify(function), IO.iodata_to_binary(input), opts)
    |> decoded(opts)
  end

  def call(%__MODULE__{}, _function, input, _opts),
    do: Options.misuse!("bytes as the input", input)

  def call(server, function, input, opts),
    do: server |> plugin() |> call(function, input, opts)

  defp decoded({:ok, output}, %{returns: returns}), do: Terms.decode(output, returns)
  defp decoded(result, _opts), do: result

  @doc "Like `call/4`, but returns the output or raises the exception."
  @spec call!(t() | GenServer.server(), String.t() | atom(), iodata(), keyword()) :: binary()
  def call!(plugin, function, input \\ "", opts \\ []) do
    case call(plugin, function, input, opts) do
      {:ok, output} -> output
      {:error, exception} -> raise exception
    end
  end

  @doc "Whether the plug-in exports a callable function with this name."
  @spec function_exists?(t() | Compiled.t() | GenServer.server(), String.t()) :: boolean()
  def function_exists?(plugin, name) when is_binary(name), do: name in functions(plugin)

  @doc "The names of the callable functions, which have the type `() -> i32` or `() -> ()`."
  @spec functions(t() | Compiled.t() | GenServer.server()) :: [String.t()]
  def functions(%Compiled{kind: :component, resource: {_template, functions}}),
    do: Map.keys(functions)

  def functions(%Compiled{resource: resource}), do: Native.plugin_template_functions(resource)
  def functions(%__MODULE__{compiled: compiled}), do: functions(compiled)
  def functions(server), do: server |> plugin() |> functions()

  @doc "Changes configuration values, effective from the next `config_get`. A nil value removes a key."
  @spec put_config(t() | GenServer.server(), %{(String.t() | atom()) => String.t() | nil}) ::
          :ok | {:error, Exception.t()}
  def put_config(plugin, config) when is_map(config) do
    {gone, kept} = Enum.split_with(config, fn {_key, value} -> value == nil end)
    entries = Map.to_list(Manifest.config!(Map.new(kept)))
    gone = for {key, nil} <- gone, do: {Utils.stringify(key), nil}
    done(access(plugin, &Native.plugin_put_config(&1, entries ++ gone, nil)))
  end

  @doc "The variables of the plug-in."
  @spec vars(t() | GenServer.server()) ::
          {:ok, %{String.t() => binary()}} | {:error, Exception.t()}
  def vars(plugin), do: access(plugin, &Native.plugin_vars(&1, nil))

  @doc """
  Frees all blocks, including input, output and error, as each call does when it starts. Memory and variables are kept; to
  start over, create a new plug-in.
  """
  @spec reset(t() | GenServer.server()) :: :ok | {:error, Exception.t()}
  def reset(plugin) do
    %{resource: resource} = module!(plugin)
    operation = fn -> Native.plugin_reset(resource) end
    done(Access.run(operation, fn -> Native.plugin_store(resource) end))
  end

  @doc "Frees the plug-in immediately. A running call is stopped, and later calls return an error."
  @spec close(t()) :: :ok
  def close(%__MODULE__{compiled: %{kind: :component}} = plugin), do: Component.close(plugin)

  def close(%__MODULE__{} = plugin), do: Core.close(plugin)

  defp access(plugin, operation) do
    store = Native.plugin_store(module!(plugin).resource)
    Access.run(fn -> operation.(store) end, fn -> store end)
  end

  defp done({:ok, _}), do: :ok
  defp done(error), do: error

  defp module!(plugin) do
    with %{compiled: %{kind: :component}} <- plugin(plugin) do
      raise ArgumentError, "a component does not support blocks, variables or configuration"
    end
  end

  defp plugin(%__MODULE__{} = plugin), do: plugin

  defp plugin(server) do
    case server |> Utils.server!() |> GenServer.call(:plugin) do
      %__MODULE__{} = plugin -> plugin
      _other -> Options.misuse!("a plug-in or the process of one", server)
    end
  end

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts), do: %{id: __MODULE__, start: {__MODULE__, :start_link, [opts]}}

  @doc """
  Starts a process that owns a plug-in. Options: `:source`, `:name` (registers the process), and those of `new/2`. The
  plug-in is freed when the process ends.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    {source, opts} = Keyword.pop(opts, :source)

    unless source,
      do: raise(ArgumentError, "missing option source: of Wasmex.Plugin")

    server = if opts[:name], do: [name: opts[:name]], else: []
    Server.start_link(fn -> new(source, opts) end, &close/1, server)
  end
end
