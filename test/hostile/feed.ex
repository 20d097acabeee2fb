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
  @compile [compile_timeout: 10_000]

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
    result = Wasmex.run(bytes, [], [timeout: @time, invoke: {"f", [3]}] ++ @compile)
    with {:error, error} <- result, do: Exception.message(error)
  end

  def feed({:wasm, bytes}, _) do
    inspect_it(bytes)
    WIT.world({:component, bytes})

    with {:ok, component} <- Components.Component.compile(Engine.default(), bytes, @compile) do
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

  defp call(instance, number, opts),
    do: Instance.call(instance, "f", [number], [timeout: @time] ++ opts)

  defp ours!(%module{} = error) when module in [Error, Trap, RuntimeError],
    do: true = byte_size(Exception.message(error)) < 100_000

  defp trap(bytes, {function, arguments}, %{engines: engines}) do
    inspect_it(bytes)

    for engine <- engines do
      with {:ok, module} <- Module.compile(engine, bytes, @compile),
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
