defmodule Wasmex do
  @moduledoc """
  Runs WebAssembly inside BEAM processes: call guest functions from Elixir, and Elixir functions from guests.

  To run a WASI program, use `run/3` (like `System.cmd/3`), `stream!/3` (its output as a stream) or
  `Wasmex.Program` (a process).

  To call a guest library, this module is a process around one instance, for use under a supervisor:
  `start_link/1`, then `call_function/4`. The process is thin. `Wasmex.Instance.call/4` makes the same calls
  in the calling process. In both cases the guest runs on the VM's schedulers in slices of at most a
  millisecond, so it does not block other processes.

  ## Example

      iex> wat = ~s|(module (func (export "add") (param i32 i32) (result i32)
      ...>   local.get 0 local.get 1 i32.add))|
      iex> {:ok, pid} = Wasmex.start_link(%{bytes: wat})
      iex> Wasmex.call_function(pid, :add, [40, 2])
      {:ok, [42]}

  ## Imports

  Imports are Elixir functions that the guest may call. They have a namespace, a name and types:

      %{env: %{log: {:fn, [:i32, :i32], [], fn context, pointer, length ->
        context.caller |> Wasmex.Memory.read_string(context.memory, pointer, length) |> IO.puts()
      end}}}

  They run in the process that called the guest (here, the server). `context` has `:memory` (the calling
  instance's exported memory), `:caller` (the store from inside the call), `:pid` and `:instance`. With one
  result type the function returns the value, with several it returns a list. If it raises, the guest is
  stopped and the call returns the error; the process stays alive.

  ## Lifetime

  The process ends with its supervisor or `stop/2`, which frees the guest's memory immediately (unless the
  store was passed in). A call is stopped when its timeout passes or its caller dies.
  """

  use GenServer

  alias Wasmex.{Compat, Instance, Memory, Module, Program, Server, Store, StoreOrCaller}
  alias Wasmex.Compiler.Loader
  alias Wasmex.Call.AssemblyScript

  alias Wasmex.Utils
  alias Wasmex.Call.{Terms, Timeout}
  alias Wasmex.Options
  alias Wasmex.Wasi.WasiOptions

  @options Options.table(
             [
               bytes: [
                 type: {:or, [nil], :string},
                 doc: "wasm, WAT, or an artefact of `mix wasmex.compile`",
                 example: ~s|"(module)"|
               ],
               path: [
                 type: {:or, [nil], :string},
                 doc: "a file instead, which is compiled once until it changes",
                 example: ~s|"lib.wasm"|
               ],
               module: [
                 type: {:or, [nil], {:struct, Module}},
                 default_doc: "compiled from `:bytes`",
                 doc: "a compiled module; needs `:store`"
               ],
               store: [
                 type: {:or, [nil], {:struct, StoreOrCaller}},
                 default_doc: "a new one",
                 doc: "the store to use; `:wasi` is then ignored"
               ],
               instance: [
                 type: {:or, [nil], {:struct, Instance}},
                 default_doc: "a new one",
                 doc: "an existing instance; needs `:store` and `:module`"
               ],
               links: [
                 type: :map,
                 default: %{},
                 doc:
                   "modules whose exports can be imported: `%{name => %{bytes: _} | %{path: _} | %{module: _}}`, with `:links` of their own",
                 example: ~s|%{"lib" => %{bytes: "(module)"}}|
               ],
               wasi: [
                 type: {:or, [true, false], {:options, WasiOptions}},
                 default: false,
                 doc: "WASI options; `true` means `%Wasmex.Wasi.WasiOptions{}`"
               ]
             ] ++ Options.Call.process("module's start functions") ++ Options.Compile.rows(),
             "Wasmex.start_link/1"
           )

  @doc """
  Starts a process around an instance. Options are a map or a keyword list:

  #{Options.Docs.table(@options)}

  An option that is nil counts as absent. The module is compiled in the caller and instantiated in the new process.
  """
  @spec start_link(map() | keyword()) :: GenServer.on_start()
  def start_link(opts) when is_list(opts) or is_map(opts) do
    {opts, start_opts} = Options.Call.start!(opts, @options)

    with {:ok, state} <- prepare(opts),
         do: GenServer.start_link(__MODULE__, {:prepared, state}, start_opts)
  end

  # The part of the start that needs no process. Its errors are returned to the caller.
  defp prepare(opts) do
    compile = compile(opts)

    case opts do
      %{instance: _, store: _, module: _} ->
        state(opts, false)

      %{instance: _} ->
        {:error, :must_specify_store_and_module_used_to_instantiate_instance}

      %{module: _, store: _} ->
        state(opts, false)

      %{module: _} ->
        {:error, :must_specify_store_used_to_compile_module}

      %{bytes: bytes} when is_binary(bytes) ->
        with {:ok, store} <- make_store(opts),
             {:ok, module} <- Loader.module(store, {:bytes, bytes}, compile),
             do: opts |> Map.merge(%{store: store, module: module}) |> state(opts[:store] == nil)

      %{path: path} when is_binary(path) ->
        with {:ok, store} <- make_store(opts),
             {:ok, module} <- Loader.module(store, {:path, path}, compile),
             do: opts |> Map.merge(%{store: store, module: module}) |> state(opts[:store] == nil)

      _ ->
        Options.misuse!("start_link with :bytes, :path, or :store and :module", opts)
    end
  end

  defp compile(opts), do: Loader.options(opts)

  defp make_store(opts) do
    with {:ok, store} <- new_store(opts), do: {:ok, Store.tag(store, Map.get(opts, :tags, %{}))}
  end

  defp new_store(%{store: %StoreOrCaller{} = store}), do: {:ok, store}

  defp new_store(opts) do
    {limits, engine} = {opts[:store_limits], opts[:engine]}

    case Map.get(opts, :wasi, false) do
      false ->
        Store.new(limits, engine)

      true ->
        Store.new_wasi(%WasiOptions{}, limits, engine)

      %WasiOptions{} = wasi ->
        Store.new_wasi(wasi, limits, engine)
    end
  end

  defp state(opts, owned?) do
    with {:ok, links} <- links(Map.get(opts, :links, %{}), opts.store, compile(opts)) do
      imports = opts |> Map.get(:imports, %{}) |> AssemblyScript.provide(opts.module)
      Wasmex.Call.Imports.prepare(imports, :any_arity)

      {:ok,
       %{
         store: opts.store,
         module: opts.module,
         instance: opts[:instance],
         imports: imports,
         links: links,
         owned?: owned?,
         timeout: Map.get(opts, :start_timeout, :infinity)
       }}
    end
  end

  # Depth first, so that dependencies come before their dependents. Each name is used once.
  defp links(links, store, compile) when is_map(links) do
    flat =
      for {name, link} <- links, reduce: {:ok, []} do
        {:ok, flat} ->
          with {:ok, module} <- link_module(link, store, compile),
               {:ok, nested} <- links(Map.get(link, :links, %{}), store, compile),
               do: {:ok, flat ++ nested ++ [%{name: Utils.stringify(name), module: module}]}

        error ->
          error
      end

    with {:ok, flat} <- flat, do: {:ok, Enum.uniq_by(flat, & &1.name)}
  end

  # An empty list, as for `Wasmex.Instance.new/4`.
  defp links(links, _store, _compile) when links == [], do: {:ok, []}

  defp links(other, _store, _compile), do: Options.misuse!("links as a map of names", other)

  defp link_module(%{module: %Module{} = module}, _store, _compile), do: {:ok, module}

  defp link_module(%{bytes: bytes}, store, compile) when is_binary(bytes),
    do: Loader.module(store, {:bytes, bytes}, compile)

  defp link_module(%{path: path}, store, compile) when is_binary(path),
    do: Loader.module(store, {:path, path}, compile)

  defp link_module(other, _store, _compile),
    do:
      Options.misuse!(
        "a link as %{bytes: binary}, %{path: path} or %{module: %Wasmex.Module{}}",
        other
      )

  @call_options Options.table(
                  Keyword.take(Options.Call.limits(5_000), [:timeout]) ++
                    Keyword.delete(Options.Call.core(), :floats),
                  "Wasmex.call_function/4"
                )

  @doc """
  Calls an exported function. Returns `{:ok, results}` or `{:error, text}`.

  The last argument is a timeout in ms, or options:

  #{Options.Docs.table(@call_options)}

  Arguments may be `{:bytes, iodata}`, `{:string, string}` and `{:json, term}`, and with `:returns` the result is a
  value, see `Wasmex.Instance`.

  Calls to one process run one at a time, in order. After `timeout` ms, including waiting, the caller exits
  as with `GenServer.call/3` and the guest is stopped. The instance can be called again.

  Inside an imported function, a call with the server's own pid runs directly.
  """
  @spec call_function(GenServer.server(), String.t() | atom(), [term()], timeout() | keyword()) ::
          {:ok, [term()] | term()} | {:error, String.t()}
  def call_function(server, name, params, timeout_or_opts \\ 5000)

  def call_function(server, name, params, opts) when is_list(opts) do
    opts = Options.new!(opts, @call_options)
    terms = Terms.new(params, opts)
    result = call_server(server, name, terms || params, opts.timeout)
    if terms, do: decode(result, terms), else: result
  end

  def call_function(server, name, params, timeout) do
    if Terms.any?(params),
      do: call_function(server, name, params, timeout: timeout),
      else: call_server(server, name, params, timeout)
  end

  defp decode(result, terms) do
    case Terms.result(result, terms) do
      {:error, %{__exception__: true} = error} -> {:error, Compat.text(error)}
      decoded -> decoded
    end
  end

  defp call_server(server, name, params, timeout) do
    if server == self() do
      nested_call(Utils.stringify(name), params, timeout)
    else
      request = {:call_function, Utils.stringify(name), params, Timeout.check!(timeout)}
      GenServer.call(server, request, Timeout.capped(timeout))
    end
  end

  # A process cannot wait for itself. Inside an import it can call directly.
  defp nested_call(name, params, timeout) do
    case Process.get(:"$wasmex_instance") do
      nil ->
        exit(
          {:calling_self, {GenServer, :call, [self(), {:call_function, name, params, timeout}]}}
        )

      instance ->
        instance |> Instance.call_compat(name, params, timeout) |> Compat.call(instance, name)
    end
  end

  @doc "Whether the instance exports a function of this name."
  @spec function_exists(GenServer.server(), String.t() | atom()) :: boolean()
  def function_exists(server, name),
    do: GenServer.call(server, {:exported_function_exists, Utils.stringify(name)})

  @doc "The first exported memory."
  @spec memory(GenServer.server()) :: {:ok, Memory.t()} | {:error, String.t()}
  def memory(server), do: GenServer.call(server, {:memory})

  @doc "The store. Its users take turns."
  @spec store(GenServer.server()) :: {:ok, StoreOrCaller.t()}
  def store(server), do: GenServer.call(server, {:store})

  @doc "The module."
  @spec module(GenServer.server()) :: {:ok, Module.t()}
  def module(server), do: GenServer.call(server, {:module})

  @doc "The instance."
  @spec instance(GenServer.server()) :: {:ok, Instance.t()}
  def instance(server), do: GenServer.call(server, {:instance})

  @doc "Stops the process, even in the middle of a call, and frees the guest's memory."
  @spec stop(GenServer.server(), timeout()) :: :ok
  def stop(server, timeout \\ 5000), do: GenServer.stop(server, :normal, timeout)

  @doc """
  The number of live native objects of each kind, for finding leaks.

      iex> Wasmex.live_objects() |> Keyword.keys() |> Enum.member?(:store)
      true
  """
  @spec live_objects() :: [{atom(), non_neg_integer()}]
  def live_objects, do: Wasmex.Native.live_objects()

  @typedoc "A path, wasm bytes or WAT, a module or component, or a template of one."
  @type program :: Program.program()

  @doc "Runs a WASI program to its end, see `Wasmex.Program.run/3`."
  @spec run(program(), [String.t()], keyword()) :: {:ok, Wasmex.Run.t()} | {:error, Exception.t()}
  defdelegate run(program, args \\ [], opts \\ []), to: Program

  @doc "Like `run/3`, but returns the `Wasmex.Run` or raises, see `Wasmex.Program.run!/3`."
  @spec run!(program(), [String.t()], keyword()) :: Wasmex.Run.t()
  defdelegate run!(program, args \\ [], opts \\ []), to: Program

  @doc "A WASI program as a lazy stream of its output, see `Wasmex.Program.stream!/3`."
  @spec stream!(program() | Enumerable.t(), [String.t()] | program(), keyword() | [String.t()]) ::
          Enumerable.t()
  defdelegate stream!(program_or_input, args_or_program \\ [], opts_or_args \\ []), to: Program

  @doc "Like `stream!/3`, with an input and options."
  @spec stream!(Enumerable.t(), program(), [String.t()], keyword()) :: Enumerable.t()
  defdelegate stream!(input, program, args, opts), to: Program

  @impl true
  def init({:prepared, state}) do
    case instance_of(state) do
      {:ok, instance} ->
        Process.put(:"$wasmex_instance", instance)

        {:ok,
         %Server{
           store: state.store,
           module: state.module,
           instance: instance,
           memory: Memory.from_instance(state.store, instance),
           owned?: state.owned?
         }}

      {:error, text} ->
        {:stop, {{:badmatch, {:error, text}}, []}}
    end
  end

  # Of `GenServer.start_link(Wasmex, opts)`.
  def init(opts) when is_map(opts) or is_list(opts) do
    case opts |> Options.Call.start!(@options) |> elem(0) |> prepare() do
      {:ok, state} -> init({:prepared, state})
      {:error, reason} -> {:stop, reason}
    end
  end

  defp instance_of(%{instance: %Instance{} = instance}), do: {:ok, instance}

  defp instance_of(state),
    do:
      Instance.new(state.store, state.module, state.imports, state.links, timeout: state.timeout)

  @impl true
  def handle_call({:call_function, name, params, timeout}, from, server),
    do: Server.call(server, from, name, params, timeout)

  def handle_call({:memory}, _from, server) do
    {:reply, server.memory, server}
  end

  def handle_call({:store}, _from, server), do: {:reply, {:ok, server.store}, server}
  def handle_call({:module}, _from, server), do: {:reply, {:ok, server.module}, server}
  def handle_call({:instance}, _from, server), do: {:reply, {:ok, server.instance}, server}

  def handle_call({:exported_function_exists, name}, _from, server),
    do: {:reply, Instance.function_export_exists(server.store, server.instance, name), server}

  # An unknown request must not end the process of the guest.
  def handle_call(other, _from, server),
    do: {:reply, {:error, "unknown request: #{inspect(other, limit: 5)}"}, server}

  @impl true
  def handle_cast(_other, server), do: {:noreply, server}

  @impl true
  def handle_info(message, server), do: {:noreply, Server.info(message, server)}

  @impl true
  def terminate(_reason, %Server{owned?: true, store: store}), do: Store.close(store)
  def terminate(_reason, _server), do: :ok
end
