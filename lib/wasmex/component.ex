defmodule Wasmex.Component do
  @moduledoc """
  Makes an Elixir module of a component: a function for each that it exports, with docs, types and specs
  from the component itself.

      defmodule Calc do
        use Wasmex.Component, path: "priv/calc.wasm"
      end

      {:ok, pid} = Calc.start_link()
      Calc.add(pid, 40, 2)                  #=> {:ok, 42}
      Calc.add!(pid, 40, 2)                 #=> 42

  Options:

  - `path:`, the component's file, relative to the project. Its bytes go into the module, so a release needs
    no file; with `otp_app: :my_app` they are read from that application's folder at run time instead.
  - `wit:`, a WIT file or folder (with `world:`) to take the types from; the component is then given to
    `start_link/1` with `path:` or `bytes:`, and `path:` here is optional.
  - `structs: true`, records that an exported interface defines as structs, each in a module of its own; others, of imported interfaces
    and of the world itself, stay maps.

  What it defines:

  - `start_link/1`: a process around an instance, with the options of `Wasmex.Components.start_link/1` and
    `host:`, the module that implements what the component imports (see below)
  - `instantiate/2`: an instance in a store of yours, for calls without a process
  - a function per exported function, with underscores, of the process or instance and the arguments; as
    a last argument `timeout:` in ms (5,000 by default for a process). It returns `{:ok, value}` or `{:error,
    exception}`, and its twin with a `!` the value
  - a module per exported interface with its functions, and in it one per resource (`new`, methods, static
    functions, `drop`, which returns `:ok` or `{:error, text | :timeout}`); types as `t:name/0`

  Names that are taken get something more: a method `drop`, or `new` beside a constructor, and a function `when` an underscore (`drop_`),
  a type that Elixir has itself `_t` (`node_t`), an interface the name of its package where its own is another's too.

  Names in values are atoms with underscores (`%{first_name: "Ada"}`, `:deep_blue`), made when the module
  is compiled: no component ever makes one.

  ## What the component imports

  For each imported interface that is not WASI's there is a behaviour, `Calc.Imports.Log` say, so that the
  compiler tells what is missing, and a function that makes imports of a module that implements it:

      defmodule MyLog do
        @behaviour Calc.Imports.Log
        @impl true
        def write(text), do: IO.puts(text)
      end

      Calc.start_link(host: MyLog)

  `host:` takes one module or a list; each interface is taken from the first that has its functions. What is
  imported without an interface is in the behaviour `Calc.Imports`. Resources of imported interfaces need
  `imports:` as for `Wasmex.Components.start_link/1` (`Wasmex.Components.HostResource` makes them).
  """

  alias Wasmex.{Error, WIT}
  alias Wasmex.Call.Timeout
  alias Wasmex.Components.Bindgen.{Definition, Structs}
  alias Wasmex.Components
  alias Wasmex.Components.{Component, GuestResource, Instance}

  @doc false
  defmacro __using__(opts) do
    {opts, _} = Code.eval_quoted(opts, [], __CALLER__)
    opts = Wasmex.Utils.options!(opts, [:path, :wit, :world, :otp_app, structs: false])
    world = world!(opts)
    Definition.module(world, opts, __CALLER__.module)
  end

  defp world!(opts) do
    source =
      cond do
        opts[:wit] -> {:path, opts[:wit]}
        opts[:path] -> {:component, component!(opts[:path])}
        true -> raise ArgumentError, "use Wasmex.Component needs path: or wit:"
      end

    case WIT.world(source, world: opts[:world]) do
      {:ok, world} -> world
      {:error, error} -> raise CompileError, description: Exception.message(error)
    end
  end

  defp component!(path) do
    with {:ok, bytes} <- File.read(path),
         {:ok, bytes} <- Component.to_component(bytes) do
      bytes
    else
      {:error, reason} when is_atom(reason) ->
        raise CompileError, description: "could not read #{path}: #{:file.format_error(reason)}"

      {:error, error} ->
        raise CompileError, description: "#{path}: #{Exception.message(error)}"
    end
  end

  @doc false
  # The compiled component of a generated module, once per engine while it is remembered.
  def compiled(module, engine, bytes) do
    engine = engine || Wasmex.Engine.default()
    key = {__MODULE__, module, Wasmex.Engine.resource(engine), :crypto.hash(:sha256, bytes)}

    Wasmex.Cache.remember(key, fn ->
      Component.compile(engine, bytes, names: module.__names__())
    end)
  end

  @doc false
  def start_link(module, opts) do
    {host, opts} = Keyword.pop(opts, :host, [])
    {bytes, opts} = bytes(module, opts)
    imports = imports(module, host, Keyword.get(opts, :imports, %{}))

    with {:ok, component} <- compiled(module, opts[:engine], bytes) do
      opts
      |> Keyword.merge(component: component, imports: imports, style: :direct)
      |> Components.start_link()
    end
  end

  @doc false
  def instantiate(module, store, opts) do
    {host, opts} = Keyword.pop(opts, :host, [])
    {bytes, opts} = bytes(module, opts)
    {imports, opts} = Keyword.pop(opts, :imports, %{})
    {engine, opts} = Keyword.pop(opts, :engine)

    with {:ok, component} <- compiled(module, engine, bytes),
         do: Instance.instantiate(store, component, imports(module, host, imports), opts)
  end

  defp bytes(module, opts) do
    case Keyword.split(opts, [:path, :bytes]) do
      {[], opts} ->
        {module.__bytes__(), opts}

      {[{:bytes, bytes}], opts} when is_binary(bytes) ->
        {bytes, opts}

      {[{:path, path}], opts} ->
        {File.read!(path), opts}

      {given, _} ->
        raise ArgumentError,
              "path: or bytes: says where the component is, got: #{inspect(given, limit: 5)}"
    end
  end

  # Functions of host modules by interface; what is named in `imports:` comes first.
  defp imports(module, hosts, imports) do
    hosts = List.wrap(hosts)

    given =
      for {interface, functions} <- module.__imports__(),
          host = Enum.find(hosts, &implements?(&1, functions)),
          do: implementation(interface, host, functions)

    Components.HostResource.merge_imports(given ++ [imports])
  end

  defp implements?(host, functions) do
    Code.ensure_loaded?(host) and
      Enum.all?(functions, fn {_wit, name, arity} -> function_exported?(host, name, arity) end)
  end

  defp implementation(nil, host, functions), do: functions(host, functions)
  defp implementation(interface, host, functions), do: %{interface => functions(host, functions)}

  defp functions(host, functions) do
    Map.new(functions, fn {wit, name, arity} ->
      {wit, {:fn, Function.capture(host, name, arity)}}
    end)
  end

  @doc false
  # Every generated function comes here.
  def call(target, path, params, opts, structs) do
    with {:ok, value} <- call(target, path, params, opts),
         do: {:ok, Structs.to(value, structs)}
  end

  defp call(%Instance{} = instance, path, params, opts),
    do: Instance.call(instance, path, params, opts)

  defp call(server, path, params, opts) do
    timeout = Timeout.check!(Wasmex.Utils.options!(opts, timeout: 5000)[:timeout])
    # A process answers in its own time, so that its error says what took so long.
    margin = if timeout == :infinity, do: :infinity, else: Timeout.capped(timeout + 1000)
    GenServer.call(server, {:call_function, path, params, timeout}, margin)
  end

  @doc false
  def call!(target, path, params, opts, structs) do
    case call(target, path, params, opts, structs) do
      {:ok, value} -> value
      {:error, %{__exception__: true} = exception} -> raise exception
    end
  end

  @doc false
  # A method, through its handle: wherever that came from.
  def method(%GuestResource{} = handle, type, name, params, opts, structs) do
    case GuestResource.origin(handle) do
      {instance, interface, ^type} ->
        call(instance, [interface, name], [handle | params], opts, structs)

      _ ->
        no_handle(type)
    end
  end

  def method(_other, type, _name, _params, _opts, _structs), do: no_handle(type)

  defp no_handle(type),
    do: {:error, %Error{reason: :guest, details: %{message: "this is no handle of a #{type}"}}}
end
