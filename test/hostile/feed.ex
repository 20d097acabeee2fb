defmodule Wasmex.Hostile.Feed do
  @moduledoc "Gives an input to what reads such things, and looks that it is taken or refused as it should be."

  alias Wasmex.{
    Client,
    Components,
    Engine,
    EngineConfig,
    Error,
    Fetcher,
    Inspection,
    Instance,
    Module,
    Origin,
    Plugin
  }

  alias Wasmex.{Store, Trap, WIT, Wat, Wave}

  # Of guests, and of clients that wait for what may never come.
  @time 500
  # Of the helper that compiles what takes long.
  @compiling [compile_timeout: 10_000]

  @doc "Makes what all inputs of a kind share; its result goes to `feed/2`."
  def setup do
    dir = Path.join(System.tmp_dir!(), "wasmex-hostile-#{System.pid()}")
    File.mkdir_p!(dir)
    File.cp!("test/guests/component_http/component_http.wasm", Path.join(dir, "f.wasm"))
    {:ok, server} = Wasmex.HTTP.Server.start_link(dir: dir, port: 0, defaults: [timeout: @time])
    answer = :ets.new(:answer, [:public])
    Process.put(:answer, answer)

    origin =
      Origin.start(fn connection ->
        with {:ok, _} <- Origin.request(connection) do
          Origin.write(connection, :ets.lookup_element(answer, :bytes, 2))
          Origin.close(connection)
        end
      end)

    engines =
      for options <- [
            [],
            [wasm_backtrace_details: true],
            [debug_info: true, wasm_backtrace_details: true]
          ] do
        {:ok, engine} = Engine.new(struct!(EngineConfig, options))
        engine
      end

    {:ok, fuelled} = Engine.new(%EngineConfig{consume_fuel: true})

    {:ok, module} =
      Module.compile(Engine.default(), "(module (memory (export \"m\") 1) (func (export \"f\")))")

    {:ok, module} = Module.serialize(module)

    {:ok, component} =
      Components.Component.compile(Engine.default(), "(component (core module (func)))")

    {:ok, component} = Components.Component.serialize(component)

    %{
      port: Wasmex.HTTP.Server.port(server),
      origin: origin,
      answer: answer,
      engines: engines,
      fuelled: fuelled,
      artefacts: [module, component]
    }
  end

  @doc "Feeds one input in a process of its own, so that its garbage is not the next one's; why that ended."
  def run(input, shared) do
    {pid, monitor} = spawn_monitor(fn -> feed(input, shared) end)
    receive do: ({:DOWN, ^monitor, :process, ^pid, reason} -> reason)
  end

  @doc "One input."
  def feed(input, shared)
  def feed({:wit, text}, _), do: WIT.world({:text, text})
  def feed({:wat, text}, _), do: Wat.to_wasm(text)

  def feed({:wasm, <<_::binary-size(6), 0, _::binary>> = bytes}, _) do
    inspect_it(bytes)
    result = Wasmex.run(bytes, [], [timeout: @time, invoke: {"f", [3]}] ++ @compiling)
    with {:error, error} <- result, do: Exception.message(error)
  end

  def feed({:wasm, bytes}, _) do
    inspect_it(bytes)
    WIT.world({:component, bytes})

    with {:ok, component} <- Components.Component.compile(Engine.default(), bytes, @compiling) do
      Components.Component.imports(component)
      Components.Component.exports(component)
    end
  end

  def feed({:manifest, text}, _) do
    case Plugin.Manifest.from_json(text) do
      {:ok, manifest} ->
        with {:ok, plugin} <- Plugin.new(manifest, []) do
          Plugin.call(plugin, "f", "x", timeout: @time)
          Plugin.close(plugin)
        end

      {:error, %Error{} = error} ->
        Exception.message(error)
    end
  end

  def feed({:schema, text}, _) do
    with {:error, %Error{} = error} <- Plugin.Schema.parse(text), do: Exception.message(error)
  end

  # Whatever comes, each answer is one of HTTP/1.1, and the server closes or waits for more.
  def feed({:http, bytes}, %{port: port}) do
    socket = Client.connect(port)
    :gen_tcp.send(socket, bytes)
    :gen_tcp.shutdown(socket, :write)
    answers = Client.read(socket) |> Wasmex.Framing.answers()
    :gen_tcp.close(socket)
    for {status, _} <- answers, status not in 200..599, do: raise("answered #{inspect(answers)}")
  end

  def feed({:answer, bytes}, %{origin: origin, answer: answer}) do
    :ets.insert(answer, {:bytes, bytes})
    guest = Fetcher.instance(http_timeout: @time, http_max_response: 100_000, http_redirects: 2)

    case Fetcher.fetch(guest, origin) do
      {:ok, %{"body" => body}} when byte_size(body) <= 100_000 -> :ok
      {:error, "ErrorCode::" <> _} -> :ok
    end
  end

  def feed({:cgi, text}, _) do
    case Wasmex.HTTP.CGI.head(text) do
      {:head, status, fields, _rest} when status in 200..599 ->
        for {name, value} <- fields,
            String.contains?(name <> value, ["\r", "\n", "\0"]),
            do: raise("a field #{inspect({name, value})}")

      :more ->
        :ok

      {:error, why} when is_binary(why) ->
        :ok
    end
  end

  @types [
    {:list, :u8},
    :string,
    :char,
    :f64,
    {:record, [{"first-name", :string}, {"points", {:list, :s32}}, {"z", {:option, :u8}}]},
    {:option, {:result, {:tuple, [:u8, :char]}, nil}}
  ]

  def feed({:wave, text}, _) do
    for type <- @types do
      with {:ok, value} <- Wave.parse(text, type), do: {:ok, _} = Wave.print(value, type)
    end
  end

  def feed({:dwarf, bytes}, shared), do: trap(bytes, {"outer", [1]}, shared)
  def feed({:debug, bytes}, shared), do: trap(bytes, {"f", []}, shared)

  # Only those that were not changed are taken.
  def feed({:artefact, which, change}, %{artefacts: artefacts}) do
    artefact = Enum.at(artefacts, which - 1)
    changed = change.(artefact)
    load = if which == 1, do: &Module.deserialize/1, else: &Components.Component.deserialize/1
    inspect_it(changed)

    case load.(changed) do
      {:ok, _} -> true = changed == artefact
      {:error, %Error{} = error} -> Exception.message(error)
    end
  end

  # The function gives back what it gets.
  def feed({:values, wat, count, opts}, _) do
    {:ok, store} = Components.Store.new()
    {:ok, component} = Components.Component.new(store, wat)
    imports = %{"take" => {:fn, fn value, _count -> value end}}

    with {:ok, instance} <- Components.Instance.new(store, component, imports),
         {:error, error} <-
           Components.Instance.call(instance, "f", [count], [timeout: @time] ++ opts),
         do: Exception.message(error)
  end

  # The guest's imports call it again, or get and give references.
  def feed({:guest, fields, number, opts}, %{fuelled: fuelled}) do
    engine = if opts[:fuel], do: fuelled, else: Engine.default()

    again = fn _context, number ->
      with {:error, error} when number > 0 <- call(Process.get(:guest), number - 1, []),
           do: raise(Exception.message(error))

      nil
    end

    imports = %{
      "e" => %{
        "up" => {:fn, [:i32], [], fn _context, _number -> raise "no" end},
        "again" => {:fn, [:i32], [], again},
        "ref" =>
          {:fn, [:externref], [:externref], fn _context, it -> [it, :binary.copy("x", 1_000)] end}
      }
    }

    with {:ok, module} <- Module.compile(engine, "(module #{fields})"),
         {:ok, store} <- Store.new(%Wasmex.StoreLimits{memory_size: 500_000_000}, engine) do
      # What runs at the start has as much.
      if opts[:fuel], do: Wasmex.StoreOrCaller.set_fuel(store, opts[:fuel])
      imports = Map.take(imports, Map.keys(Module.imports(module)))

      case Instance.instantiate(store, module, imports, [], timeout: @time) do
        {:ok, instance} ->
          Process.put(:guest, instance)
          with {:error, error} <- call(instance, number, opts), do: ours!(error)

        {:error, error} ->
          ours!(error)
      end

      Store.close(store)
    end
  end

  # In a process of its own, which no bytes should crash.
  def feed({:isolated, bytes}, _) do
    make = if component?(bytes), do: &Components.Component.compile/3, else: &Module.compile/3

    with {:error, error} <- make.(Engine.default(), bytes, compile: :isolated) do
      text = if is_binary(error), do: error, else: Exception.message(error)
      true = String.valid?(text) and byte_size(text) < 100_000
      if text =~ "helper crashed", do: raise(text)
    end
  end

  def feed({:plugged, bytes}, _) do
    case Plugin.new({:bytes, bytes}, []) do
      {:ok, plugin} ->
        with {:error, error} <- Plugin.call(plugin, "f", "x", timeout: @time), do: message(error)
        Plugin.close(plugin)

      {:error, error} ->
        message(error)
    end
  end

  # As a function of a folder, which is compiled when the server starts.
  def feed({:served, bytes}, _) do
    dir = Path.join(System.tmp_dir!(), "wasmex-served-#{System.pid()}")
    File.mkdir_p!(dir)
    File.write!(Path.join(dir, "f.wasm"), bytes)
    {:ok, server} = Wasmex.HTTP.Server.start_link(dir: dir, port: 0, defaults: [timeout: @time])
    socket = Client.connect(Wasmex.HTTP.Server.port(server))
    :gen_tcp.send(socket, "GET /f HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    answers = Client.read(socket) |> Wasmex.Framing.answers()
    for {status, _} <- answers, status not in 200..599, do: raise("answered #{inspect(answers)}")
    Wasmex.HTTP.Server.stop(server)
    File.rm_rf!(dir)
  end

  # A module of Elixir, or a text.
  def feed({:generated, {kind, code}}, _) do
    source = if kind == :wasm, do: {:component, code}, else: {:text, code}

    with {:ok, world} <- WIT.world(source) do
      WIT.world({:text, WIT.print(world)})
      path = Path.join(System.tmp_dir!(), "wasmex-generated-#{System.pid()}.wasm")
      File.write!(path, code)
      option = if kind == :wasm, do: :path, else: :wit
      options = inspect([{option, path}, structs: true])

      try do
        Code.eval_string("defmodule HostileGenerated do use Wasmex.Component, #{options} end")
      rescue
        error in [CompileError] -> message(error)
      after
        File.rm!(path)
        :code.purge(HostileGenerated)
        :code.delete(HostileGenerated)
      end
    end
  end

  def feed({:snapped, bytes}, _) do
    opts = [timeout: @time, max_memory: 500_000_000, init: Enum.random([nil, "f"])]

    with {:error, error} <- Wasmex.Snapshot.take({:bytes, bytes}, opts) do
      message(error)
      if match?(%Error{reason: :compile_crash}, error), do: raise(Exception.message(error))
    end
  end

  # As mix wasmex.inspect does.
  def feed({:shown, bytes}, _) do
    with {:ok, inspection} <- Inspection.from_bytes(bytes) do
      Inspection.Report.text(inspection, "file")
      inspection |> Inspection.Report.plain() |> Wasmex.JSON.encode()
    end
  end

  def feed({:lifted, wat, value}, _) do
    with {:ok, instance} <- lifted(wat),
         {:error, error} <- Components.Instance.call(instance, "f", [value], timeout: @time),
         do: message(error)
  end

  # What becomes of resources, and of a store that has some.
  def feed({:resource, wat, how}, _) do
    {:ok, instance} = lifted(wat)
    call = fn name -> Components.Instance.call(instance, name, [], timeout: @time) end
    {:ok, handle} = call.("make")
    {:ok, other} = call.("make")
    Process.put(:handle, other)
    forget(how, handle, call)
    with {:error, error} <- call.("both"), do: message(error)
    with {:error, error} <- call.("make"), do: message(error)
  end

  defp forget(:drop, handle, _call), do: Components.GuestResource.drop(handle, @time)

  defp forget(:close, handle, _call),
    do: handle |> Components.GuestResource.store() |> Components.Store.close()

  defp forget(:kill, handle, _call) do
    {pid, monitor} = spawn_monitor(fn -> Components.GuestResource.drop(handle, :infinity) end)
    Process.sleep(5)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
  end

  defp forget(:again, handle, _call),
    do: for(_ <- 1..3, do: Components.GuestResource.drop(handle, @time))

  defp forget(:elsewhere, handle, _call) do
    tasks = for _ <- 1..3, do: Task.async(fn -> Components.GuestResource.drop(handle, @time) end)
    Task.await_many(tasks)
  end

  defp forget(:collect, _handle, call) do
    for _ <- 1..100, do: call.("make")
    :erlang.garbage_collect()
  end

  defp lifted(wat) do
    {:ok, store} = Components.Store.new(%Wasmex.StoreLimits{memory_size: 200_000_000})
    {:ok, component} = Components.Component.new(store, wat)

    with {:ok, instance} <- Components.Instance.new(store, component, %{"up" => {:fn, &again/0}}) do
      Process.put(:lifted, instance)
      {:ok, instance}
    end
  end

  # The guest's import calls it again, which no component allows, and drops a resource of it.
  defp again do
    if instance = Process.get(:lifted) do
      {:error, error} = Components.Instance.call(instance, "both", [], timeout: @time)
      message(error)
      with %{} = handle <- Process.get(:handle), do: Components.GuestResource.drop(handle, @time)
      nil
    end
  end

  defp component?(<<_::binary-size(6), 0, _::binary>>), do: false
  defp component?(_), do: true

  defp message(error) do
    text = Exception.message(error)
    true = String.valid?(text) and byte_size(text) < 100_000
  end

  defp call(instance, number, opts),
    do: Instance.call(instance, "f", [number], [timeout: @time] ++ opts)

  defp ours!(%module{} = error) when module in [Error, Trap, RuntimeError],
    do: true = byte_size(Exception.message(error)) < 100_000

  defp trap(bytes, {function, arguments}, %{engines: engines}) do
    inspect_it(bytes)

    for engine <- engines do
      with {:ok, module} <- Module.compile(engine, bytes, @compiling),
           {:ok, store} <- Store.new(nil, engine),
           {:ok, instance} <- Instance.instantiate(store, module, %{}) do
        {:error, %Trap{} = trap} = Instance.call(instance, function, arguments)
        true = byte_size(Exception.message(trap)) + byte_size(trap.detail) < 100_000
        Store.close(store)
      end
    end
  end

  defp inspect_it(bytes) do
    with {:ok, inspection} <- Inspection.from_bytes(bytes),
         do: Inspection.Report.text(inspection, "file")
  end
end
