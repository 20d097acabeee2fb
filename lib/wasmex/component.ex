defmodule Wasmex.Component do
  @moduledoc """
  Generates an Elixir module from a component: one function per export, with docs, types and specs taken
  from the component.

      defmodule Calc do
        use Wasmex.Component, path: "priv/calc.wasm"
      end

      {:ok, pid} = Calc.start_link()
      Calc.add(pid, 40, 2)                  #=> {:ok, 42}
      Calc.add!(pid, 40, 2)                 #=> 42

  Options:

  - `path:`: the component's file, relative to the project. Its bytes are embedded in the module, so a
    release does not need the file. With `otp_app: :my_app` the file is read from that application's
    directory at run time instead. It may be an artefact of `mix wasmex.compile`, with `wit:` for its types.
  - `wit:`: a WIT file or folder (with `world:`) that defines the types. Pass the component itself to
    `start_link/1` as `path:` or `bytes:`; `path:` is then optional here.
  - `snapshot: true`: instances start from a snapshot taken when the module is compiled, after the start functions have run. A
    keyword list has the options of `Wasmex.Snapshot.take/2`, such as `[init: "wizer-initialize"]`; see there for the state that all
    instances share. Not with `otp_app:`, whose file is read at run time: snapshot that file with `mix wasmex.snapshot`
  - `structs: true`: records of exported interfaces become structs, each in its own module. Records of
    imported interfaces and of the world stay maps.

  `mix compile` also compiles the component, into a file beside the module's own in `_build`, which releases include. A
  start loads that file and compiles nothing. It depends on the version of the library, the machine and the default
  engine; a start with another engine (`engine:`) or on another kind of machine compiles the component, and keeps the
  result in the disk cache (see `Wasmex.Compiler`).

  The generated module defines:

  - `start_link/1`: starts a process around an instance. It takes the options of
    `Wasmex.Components.start_link/1`, and `host:`, the module that implements the component's imports. With `path:`,
    `bytes:` or `component:` it uses another file, other bytes, or a compiled component
  - `instantiate/2`: creates an instance in an existing store, for calls without a process
  - one function per exported function, in snake case. It takes the process or instance, the arguments,
    and optionally `timeout:` in ms (5,000 by default for a process). It returns `{:ok, value}` or `{:error,
    exception}`; its `!` twin returns the value or raises
  - one module per exported interface with its functions, and inside it one per resource (`new`, methods,
    static functions, and `drop`, which returns `:ok` or `{:error, text | :timeout}`). Types are `t:name/0`

  Conflicting names get a suffix: a method `drop`, a method `new` beside a constructor, or a function `when`
  gets an underscore (`drop_`); a type with the name of an Elixir type gets `_t` (`node_t`). Interfaces with
  the same name also get the name of their package.

  A world with more than some 2,000 functions or 1,000 interfaces and resources is refused, since the Elixir compiler would take
  minutes and gigabytes for its modules. `Wasmex.Components` calls the functions of any component by name.

  Names in values are atoms in snake case (`%{first_name: "Ada"}`, `:deep_blue`). They are created when the
  module is compiled; a component never creates atoms at run time.

  ## Imports

  Each imported interface except WASI becomes a behaviour, such as `Calc.Imports.Log`, so that the compiler
  warns about missing functions:

      defmodule MyLog do
        @behaviour Calc.Imports.Log
        @impl true
        def write(text), do: IO.puts(text)
      end

      Calc.start_link(host: MyLog)

  `host:` takes a module or a list of modules. The first module with all functions of an interface
  implements it. Functions imported without an interface belong to the behaviour `Calc.Imports`. Pass
  resources of imported interfaces as `imports:` of `Wasmex.Components.start_link/1` (see
  `Wasmex.Components.HostResource`).
  """

  alias Wasmex.{Artefact, Cache, Compiler, Engine, Error, Native, Options, Snapshot, WIT}
  alias Wasmex.Compiler.Loader
  alias Wasmex.Call.Timeout
  alias Wasmex.Components.Bindgen.{Definition, Precompiled, Structs}
  alias Wasmex.Components
  alias Wasmex.Components.{Component, GuestResource, Instance}

  @options Options.table(
             [
               path: [type: {:or, [nil], :string}, doc: "the component's file"],
               wit: [type: {:or, [nil], :string}, doc: "a WIT file or folder"],
               world: [
                 type: {:or, [nil], :text},
                 doc: "the name of the world, if there are several"
               ],
               otp_app: [
                 type: :atom,
                 doc: "the application that contains `:path`"
               ],
               snapshot: [
                 type: {:or, [false, true], :keyword},
                 default: false,
                 doc: "whether instances begin in a snapshot, or the options of one"
               ],
               structs: [type: :boolean, default: false, doc: "records as structs"]
             ],
             "use Wasmex.Component"
           )
  @call_options Options.table(
                  Keyword.take(Options.Call.limits(5_000), [:timeout]),
                  "a function of a component"
                )

  @doc false
  defmacro __using__(opts) do
    {opts, _} = Code.eval_quoted(opts, [], __CALLER__)
    opts = Options.new!(opts, @options)
    world = world!(opts)
    snapshot = snapshot!(opts)

    precompiled =
      if opts[:path],
        do: Precompiled.make(__CALLER__.module, opts[:path], snapshot, __CALLER__)

    opts = Map.merge(opts, %{precompiled: precompiled, snapshot: snapshot})
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

  # Its bytes, or nil.
  defp snapshot!(%{snapshot: false}), do: nil

  defp snapshot!(%{path: path, otp_app: nil, snapshot: opts}) when path != nil do
    opts = if opts == true, do: [], else: opts
    # `mix compile` has not. The helper that rewrites the code is the application's.
    {:ok, _} = Application.ensure_all_started(:wasmex)

    case Snapshot.take({:bytes, component!(path)}, opts) do
      {:ok, snapshot} -> snapshot.bytes
      {:error, error} -> raise CompileError, description: "#{path}: #{Exception.message(error)}"
    end
  end

  defp snapshot!(_opts) do
    raise ArgumentError,
          "snapshot: needs path:, and no otp_app:, whose file is read at run time; see mix wasmex.snapshot"
  end

  defp component!(path) do
    with {:ok, bytes} <- File.read(path),
         :ok <- not_compiled(path, bytes),
         {:ok, bytes} <- Component.to_component(bytes, %Wasmex.Limits{}) do
      bytes
    else
      {:error, reason} when is_atom(reason) ->
        raise CompileError, description: "could not read #{path}: #{:file.format_error(reason)}"

      {:error, error} ->
        raise CompileError, description: "#{path}: #{Exception.message(error)}"
    end
  end

  defp not_compiled(path, bytes) do
    if Artefact.artefact?(bytes),
      do:
        raise(CompileError,
          description: "#{path} is compiled, so it has no type names: add the option wit:"
        ),
      else: :ok
  end

  @doc false
  # The compiled component of a generated module: its own, identified by the module's version, or another one.
  @spec compiled(module(), {atom(), term()}, Wasmex.Engine.t() | nil, term()) ::
          {:ok, Component.t()} | {:error, Exception.t() | String.t()}
  def compiled(module, {:own, nil}, engine, options) do
    engine = Engine.resource(engine)

    Cache.remember({__MODULE__, module, engine, module.module_info(:md5)}, fn ->
      with nil <- Precompiled.load(module, module.__precompiled__(), engine, module.__names__()),
           do: Loader.component_of(module.__bytes__(), engine, module.__names__(), options),
           else: (component -> {:ok, component})
    end)
  end

  # Its own, from a file that may have changed.
  def compiled(module, {:own, path}, engine, options) do
    engine = Engine.resource(engine)

    load = fn bytes ->
      with {_name, digest} = precompiled <- module.__precompiled__(),
           true <- :crypto.hash(:sha256, bytes) == digest,
           %Component{} = component <-
             Precompiled.load(module, precompiled, engine, module.__names__()) do
        {:ok, component}
      else
        _ -> Loader.component_of(bytes, engine, module.__names__(), options)
      end
    end

    Loader.load({:path, path}, {__MODULE__, module}, engine, load)
  end

  # Registers atoms for names, however it was compiled.
  def compiled(module, {:component, component}, _engine, _options) do
    names = Map.to_list(module.__names__())

    with {:error, native} <- Native.component_named(component.resource, names),
         do: {:error, Error.from_native(native)},
         else: ({:ok, resource} -> {:ok, Component.__wrap_resource__(resource)})
  end

  def compiled(module, {:path, _} = source, engine, options) do
    engine = Engine.resource(engine)
    make = &Loader.component_of(&1, engine, module.__names__(), options)
    Loader.load(source, {__MODULE__, module}, engine, make)
  end

  def compiled(module, {:bytes, bytes}, engine, options) do
    engine = Engine.resource(engine)

    Cache.remember({__MODULE__, module, engine, :crypto.hash(:sha256, bytes)}, fn ->
      Loader.component_of(bytes, engine, module.__names__(), options)
    end)
  end

  @doc false
  @spec start_link(module(), keyword()) :: GenServer.on_start()
  def start_link(module, opts) do
    {host, opts} = Keyword.pop(opts, :host, [])
    {source, opts} = source(module, opts)
    imports = imports(module, host, Keyword.get(opts, :imports, %{}))

    {compile, opts} = Keyword.split(opts, Compiler.Options.keys())

    with {:ok, component} <- compiled(module, source, opts[:engine], compile_options(compile)) do
      opts
      |> Keyword.merge(component: component, imports: imports, value_format: :direct)
      |> Components.start_link()
    end
  end

  @doc false
  @spec instantiate(module(), Components.Store.t(), keyword()) ::
          {:ok, Instance.t()} | {:error, Exception.t() | String.t()}
  def instantiate(module, store, opts) do
    {host, opts} = Keyword.pop(opts, :host, [])
    {source, opts} = source(module, opts)
    {imports, opts} = Keyword.pop(opts, :imports, %{})
    {engine, opts} = Keyword.pop(opts, :engine)
    {compile, opts} = Keyword.split(opts, Compiler.Options.keys())

    with {:ok, component} <- compiled(module, source, engine, compile_options(compile)),
         do: Instance.instantiate(store, component, imports(module, host, imports), opts)
  end

  defp compile_options(opts), do: opts |> Map.new() |> Loader.options()

  defp source(module, opts) do
    case Keyword.split(opts, [:path, :bytes, :component]) do
      {[], opts} -> {{:own, module.__path__()}, opts}
      {[{:bytes, bytes}], opts} when is_binary(bytes) -> {{:bytes, bytes}, opts}
      {[{:path, path}], opts} when is_binary(path) -> {{:path, path}, opts}
      {[{:component, %Component{} = component}], opts} -> {{:component, component}, opts}
      {other, _} -> Options.misuse!("the component as path:, bytes: or component:", other)
    end
  end

  # Functions of host modules by interface. `imports:` takes precedence.
  defp imports(module, hosts, imports) do
    hosts = List.wrap(hosts)

    host_imports =
      for {interface, functions} <- module.__imports__(),
          host = Enum.find(hosts, &implements?(&1, functions)),
          do: implementation(interface, host, functions)

    Components.HostResource.merge_imports(host_imports ++ [imports])
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
  # All generated functions call this.
  @spec call(Instance.t() | GenServer.server(), Instance.path(), [term()], keyword(), term()) ::
          {:ok, term()} | {:error, Exception.t()}
  def call(target, path, params, opts, structs) do
    with {:ok, value} <- call(target, path, params, opts),
         do: {:ok, Structs.to(value, structs)}
  end

  defp call(%Instance{} = instance, path, params, opts),
    do: Instance.call(instance, path, params, opts)

  defp call(server, path, params, opts) do
    %{timeout: timeout} = Options.new!(opts, @call_options)
    # Wait longer than the process does, so that the caller gets its error instead of an exit.
    margin = if timeout == :infinity, do: :infinity, else: Timeout.capped(timeout + 1000)
    GenServer.call(server, {:call_function, path, params, timeout}, margin)
  end

  @doc false
  @spec call!(Instance.t() | GenServer.server(), Instance.path(), [term()], keyword(), term()) ::
          term()
  def call!(target, path, params, opts, structs),
    do: target |> call(path, params, opts, structs) |> value!()

  @doc false
  @spec value!({:ok, value} | {:error, Exception.t()}) :: value when value: term()
  def value!({:ok, value}), do: value
  def value!({:error, %{__exception__: true} = exception}), do: raise(exception)

  @doc false
  # Calls a method through a handle, whichever function returned it.
  @spec method(term(), String.t(), String.t(), [term()], keyword(), term()) ::
          {:ok, term()} | {:error, Exception.t()}
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
    do:
      {:error,
       %Error{reason: :params, details: %{message: "expected a handle of the resource #{type}"}}}
end
