defmodule Wasmex.Components do
  @moduledoc """
  Components: guests whose functions take and return strings, records, lists, variants and resources.

  This module is a process around one instance of a component, for use under a supervisor: `start_link/1`,
  then `call_function/4`. To call a component without a separate process, use
  `Wasmex.Components.Instance.call/4`. To generate a module from a component's types, `use Wasmex.Component`.

  In each case the guest runs on the VM's schedulers in slices of at most a millisecond, and imported
  Elixir functions run in the process that calls the guest.

  ## Example

      iex> wat = ~s|(component
      ...>   (core module $m (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
      ...>   (core instance $i (instantiate $m))
      ...>   (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))|
      iex> {:ok, pid} = Wasmex.Components.start_link(bytes: wat)
      iex> Wasmex.Components.call_function(pid, "add", [40, 2])
      {:ok, 42}

  ## Compatibility with Wasmex 0.15

  `call_function/4` and `Wasmex.Components.Instance.new/3` behave as in Wasmex 0.15: names in results are
  atoms if these atoms already exist in the VM and strings otherwise, so results depend on what else is
  loaded; `list<u8>` is a list; extra arguments and fields are ignored. `Wasmex.Components.Instance.call/4`
  and `use Wasmex.Component` are deterministic and stricter.

  ## Lifetime

  The process ends with its supervisor or `GenServer.stop/1`. After a call that trapped or was stopped, the
  component model does not allow the instance to be called again, so later calls return an error. With
  `on_trap: :stop` the process stops, so that its supervisor starts a new one; with `on_trap: :renew` the
  next call gets a new instance.
  """

  use GenServer

  alias Wasmex.{Compat, Engine, Error, Native, Server, Telemetry, Utils}
  alias Wasmex.Compiler.Loader
  alias Wasmex.Call.Timeout
  alias Wasmex.Components.{Component, Imports, Instance, Path, Store, ValueFormat, Template}
  alias Wasmex.Options
  alias Wasmex.Wasi.WasiP2Options

  @options Options.table(
             [
               bytes: [
                 type: {:or, [nil], :string},
                 doc: "the component: bytes, text, or an artefact of `mix wasmex.compile`",
                 example: ~s|"(component)"|
               ],
               path: [
                 type: {:or, [nil], :string},
                 doc: "a file instead, which is compiled once until it changes",
                 example: ~s|"app.wasm"|
               ],
               component: [
                 type: {:or, [nil], {:struct, Component}},
                 doc: "a compiled component instead, by default in a store of its own engine"
               ],
               store: [
                 type: {:or, [nil], {:struct, Store}},
                 default_doc: "a new one",
                 doc: "the store to use; `:wasi` is then ignored"
               ],
               wasi: [
                 type: {:or, [true, false], {:options, WasiP2Options}},
                 default: false,
                 doc: "WASI options; `true` means `%Wasmex.Wasi.WasiP2Options{}`"
               ],
               on_trap: [
                 type: {:one_of, [:keep, :stop, :renew]},
                 default: :keep,
                 doc: "see above"
               ],
               lists: Options.Call.value_format()[:lists],
               # Generated modules use `:direct`, which returns values and exceptions unchanged.
               value_format: [type: {:one_of, [:compat, :direct]}, default: :compat, doc: false]
             ] ++ Options.Call.process("component's start code") ++ Options.Compile.rows(),
             "Wasmex.Components.start_link/1"
           )

  @doc """
  Starts a process around an instance. Options are a keyword list or a map:

  #{Options.Docs.table(@options)}

  `:imports` has the form of `Wasmex.Components.Instance.instantiate/4`.

  An option that is nil counts as absent. Returns `{:error, text}` if the component cannot be read, compiled or
  instantiated.
  """
  @spec start_link(keyword() | map()) :: GenServer.on_start()
  def start_link(opts) when is_list(opts) or is_map(opts) do
    {opts, start_opts} = Options.Call.start!(opts, @options)
    ref = make_ref()

    with {:ok, state} <- prepare(opts) do
      state = Map.put(state, :refused, {self(), ref})

      # Before OTP 26 a process that fails to start also ends its parent, unless `init/1` returns `:ignore`.
      with :ignore <- GenServer.start_link(__MODULE__, {:prepared, state}, start_opts) do
        receive do: ({^ref, text} -> {:error, text})
      end
    end
  end

  # The part of the start that needs no process.
  defp prepare(opts) do
    opts = Map.merge(@options.defaults, opts)
    # Checked in the caller: raising in `init/1` would also take down a linked parent.
    _ = Imports.prepare(opts.imports)
    compile = Loader.options(opts)

    with {:ok, make_store} <- store_maker(opts),
         {:ok, store} <- make_store.(),
         {:ok, component} <- component(opts, store, compile) do
      {:ok,
       %{
         store: store,
         make_store: make_store,
         component: component,
         imports: opts.imports,
         timeout: opts.start_timeout,
         owned?: opts.store == nil,
         on_trap: opts.on_trap,
         value_format: opts.value_format,
         lists: opts.lists,
         refused: nil
       }}
    end
  end

  defp store_maker(opts) do
    with {:ok, make} <- new_store(opts),
         do:
           {:ok, fn -> with({:ok, store} <- make.(), do: {:ok, Store.tag(store, opts.tags)}) end}
  end

  defp new_store(%{store: %Store{} = store} = opts) do
    if opts[:store_limits] != nil,
      do:
        raise(
          ArgumentError,
          "store_limits: cannot be combined with store:, which has its own limits"
        )

    if opts[:on_trap] == :renew,
      do:
        raise(
          ArgumentError,
          "on_trap: :renew creates new stores and cannot be combined with store:"
        )

    {:ok, fn -> {:ok, store} end}
  end

  defp new_store(opts) do
    {limits, engine} = {opts[:store_limits], opts[:engine] || engine(opts)}

    case opts.wasi do
      false ->
        {:ok, fn -> Store.new(limits, engine) end}

      true ->
        {:ok, fn -> Store.new_wasi(%WasiP2Options{}, limits, engine) end}

      %WasiP2Options{} = wasi ->
        {:ok, fn -> Store.new_wasi(wasi, limits, engine) end}
    end
  end

  defp engine(%{component: %Component{resource: resource}}),
    do: %Engine{resource: Native.component_engine(resource)}

  defp engine(_opts), do: nil

  defp component(%{component: %Component{} = component}, _store, _compile), do: {:ok, component}

  defp component(%{bytes: bytes}, store, compile) when is_binary(bytes),
    do: Loader.component(store, {:bytes, bytes}, compile)

  defp component(%{path: path}, store, compile) when is_binary(path),
    do: Loader.component(store, {:path, path}, compile)

  defp component(opts, _store, _compile),
    do:
      Options.misuse!(
        "start_link with :bytes, :path or :component",
        Options.changed(opts, @options)
      )

  @doc """
  Calls an exported function. Returns `{:ok, value}` (`{:ok, []}` without a result) or `{:error, text}`.

  `name_or_path` is a name, or an interface and a name: `{"ns:pkg/iface@1.0.0", "fun"}`, a list, or a string
  with a dot in between.

  Calls to one process run one at a time, in order. After `timeout` ms, including waiting, the
  caller exits as with `GenServer.call/3` and the guest is stopped, after which its instance cannot be
  called again.
  """
  @spec call_function(GenServer.server(), Instance.path(), [term()], timeout()) ::
          {:ok, term()} | {:error, String.t()}
  def call_function(server, name_or_path, params, timeout \\ 5000) do
    path = Path.parse(name_or_path)

    if server == self(),
      do: nested_call(path, params, timeout),
      else:
        GenServer.call(
          server,
          {:call_function, path, params, timeout},
          Timeout.capped(Timeout.check!(timeout))
        )
  end

  # Inside an import the process is already in the call, so it calls directly.
  defp nested_call(path, params, timeout) do
    case Process.get(:"$wasmex_component_instance") do
      nil ->
        exit({:calling_self, {GenServer, :call, [self(), {:call_function, path, params}]}})

      instance ->
        instance
        |> Instance.call(path, params, timeout: timeout, value_format: :compat)
        |> Instance.compat_result()
    end
  end

  @doc "The instance, for direct calls and resources."
  @spec instance(GenServer.server()) :: Instance.t()
  def instance(server), do: GenServer.call(server, :instance)

  @doc false
  # The instance itself, or that of a process, which may be busy for `timeout` ms.
  @spec instance_within(Instance.t() | GenServer.server(), timeout()) ::
          {:ok, Instance.t()} | {:error, :timeout}
  def instance_within(%Instance{} = instance, _timeout), do: {:ok, instance}

  def instance_within(server, _timeout) when server == self(),
    do: {:ok, Process.get(:"$wasmex_component_instance") || exit(:calling_self)}

  def instance_within(server, timeout) do
    {:ok, GenServer.call(Utils.server!(server), :instance, Timeout.capped(timeout))}
  catch
    :exit, {:timeout, _} -> {:error, :timeout}
  end

  @impl true
  def init({:prepared, config}) do
    with {:ok, template} <-
           Template.new(config.component, config.imports,
             value_format: config.value_format,
             lists: config.lists
           ),
         config = Map.put(config, :template, template),
         {:ok, instance} <-
           Template.instantiate(template, config.store, timeout: config.timeout) do
      {:ok, {config, server(config, instance)}}
    else
      {:error, error} -> refused(config.refused, text(error, config.value_format))
    end
  end

  # Of `GenServer.start_link(Wasmex.Components, opts)`.
  def init(opts) when is_map(opts) or is_list(opts) do
    case opts |> Options.Call.start!(@options) |> elem(0) |> prepare() do
      {:ok, config} -> init({:prepared, config})
      {:error, text} -> refused(nil, text)
    end
  end

  defp text(error, :compat), do: Compat.text(error)
  defp text(error, :direct), do: Exception.message(error)

  defp refused(nil, text), do: {:stop, text}

  defp refused({pid, ref}, text) do
    send(pid, {ref, text})
    :ignore
  end

  defp server(config, instance) do
    Process.put(:"$wasmex_component_instance", instance)

    %Server{
      store: config.store,
      module: config.component,
      instance: instance,
      owned?: config.owned?,
      begin: begin(config),
      format_reply:
        if(config.value_format == :direct, do: &direct_reply/3, else: &compat_reply/3),
      reply_on_timeout?: config.value_format == :direct,
      prepare: if(config.on_trap == :renew and config.owned?, do: &renew(&1, &2, config))
    }
  end

  defp begin(%{value_format: format, lists: lists}) do
    bits = ValueFormat.bits(%{value_format: format, lists: lists, bytes: nil})
    extensible? = format == :compat

    fn instance, path, params, timeout, caller, via ->
      if via == :unobserved and Telemetry.on?(:call) do
        :observed
      else
        Process.put(:"$callers", [caller])
        Instance.begin(instance, path, params, timeout, bits, extensible?)
      end
    end
  end

  # Called with the instance and the path.
  defp direct_reply({:ok, [value]}, _instance, _path), do: {:ok, value}
  defp direct_reply({:ok, []}, _instance, _path), do: {:ok, nil}
  defp direct_reply(error, _instance, _path), do: error

  defp compat_reply({:ok, [value]}, _instance, _path), do: {:ok, value}
  defp compat_reply({:ok, []}, _instance, _path), do: {:ok, []}

  defp compat_reply({:error, %Error{reason: :arity, details: details}}, _instance, _path),
    do:
      {:error,
       "Error during function excecution: expected #{details.expected} argument(s), got #{details.got}"}

  defp compat_reply(result, _instance, _path), do: Compat.call(result)

  @impl true
  def handle_call({:call_function, path, params, timeout}, from, {config, server}) do
    server
    |> Server.call(from, path, params, timeout)
    |> stop_if_spent(config)
  end

  def handle_call(:instance, _from, {_config, server} = state),
    do: {:reply, server.instance, state}

  # An unknown request must not end the process of the guest.
  def handle_call(other, _from, state),
    do: {:reply, {:error, "unknown request: #{inspect(other, limit: 5)}"}, state}

  @impl true
  def handle_cast(_other, state), do: {:noreply, state}

  # Replaces a spent store before the next call. This counts towards the call's timeout.
  defp renew(server, timeout, config) do
    with true <- Store.spent?(server.store),
         {:ok, store} <- config.make_store.(),
         # `min/2` works with `:infinity`: atoms are greater than numbers.
         timeout = min(config.timeout, timeout),
         {:ok, instance} <- Template.instantiate(config.template, store, timeout: timeout) do
      Store.close(server.store)
      Process.put(:"$wasmex_component_instance", instance)
      %{server | store: store, instance: instance}
    else
      # The call itself will return the error.
      _ -> server
    end
  end

  defp stop_if_spent({:reply, reply, server}, config) do
    if spent?(config, server),
      do: {:stop, {:shutdown, :spent}, reply, {config, server}},
      else: {:reply, reply, {config, server}}
  end

  defp stop_if_spent({:noreply, server}, config) do
    if spent?(config, server),
      do: {:stop, {:shutdown, :spent}, {config, server}},
      else: {:noreply, {config, server}}
  end

  defp spent?(%{on_trap: :stop}, %{current: nil, store: store}), do: Store.spent?(store)
  defp spent?(_config, _server), do: false

  @impl true
  def handle_info(message, {config, server}),
    do: stop_if_spent({:noreply, Server.info(message, server)}, config)

  @impl true
  def terminate(_reason, {_config, %{owned?: true, store: store}}), do: Store.close(store)
  def terminate(_reason, _state), do: :ok
end
