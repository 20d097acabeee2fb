defmodule Wasmex.TelemetryTest do
  # Spans are turned on for the whole VM.
  use ExUnit.Case, async: false

  alias Wasmex.{Guest, Instance, Telemetry}

  doctest Telemetry

  setup do
    on_exit(&Telemetry.disable/0)
    test = self()
    handler = fn event, measurements, metadata -> send(test, {event, measurements, metadata}) end
    {:ok, handler: handler}
  end

  test "calls, directly and through a server", %{handler: handler} do
    wat =
      ~s|(module (func (export "f") (param i32) (result i32) local.get 0) (func (export "t") unreachable))|

    {_store, instance} = Guest.start(wat)
    {:ok, pid} = Wasmex.start_link(%{bytes: wat})
    Telemetry.enable([:call], handler: handler)

    assert Instance.call(instance, "f", [1]) == {:ok, [1]}
    assert_received {[:wasmex, :call, :start], %{system_time: _}, %{function: "f"}}
    assert_received {[:wasmex, :call, :stop], %{duration: d}, %{function: "f", result: :ok}}
    assert d >= 0

    assert {:error, trap} = Instance.call(instance, "t", [])
    assert_received {[:wasmex, :call, :stop], _, %{result: :error, error: ^trap}}

    assert Wasmex.call_function(pid, :f, [2]) == {:ok, [2]}
    assert_received {[:wasmex, :call, :stop], _, %{function: "f", instance: %Instance{}}}

    Telemetry.disable()
    flush()
    Instance.call(instance, "f", [1])
    refute_received {[:wasmex, :call, _], _, _}
  end

  test "the caller of a process is in its $callers, for imports and handlers" do
    test = self()
    wat = ~s|(module (import "env" "f" (func $f)) (func (export "g") call $f))|

    function = fn _context ->
      send(test, {:import, Process.get(:"$callers")})
      nil
    end

    {:ok, pid} = Wasmex.start_link(bytes: wat, imports: %{env: %{f: {:fn, [], [], function}}})
    handler = fn _, _, _ -> send(test, {:span, Process.get(:"$callers")}) end
    Telemetry.enable([:call], handler: handler)
    Task.await(Task.async(fn -> Wasmex.call_function(pid, :g, []) && send(test, self()) end))
    assert_received task when is_pid(task)
    assert_received {:import, [^task]}
    assert_received {:span, [^task]}
  end

  test "imports, those that raise as exceptions", %{handler: handler} do
    wat =
      ~s|(module (import "env" "f" (func $f (param i32))) (func (export "g") (param i32) local.get 0 call $f))|

    function = fn _context, n -> if n == 0, do: raise("zero") end
    {_store, instance} = Guest.start(wat, %{env: %{f: {:fn, [:i32], [], function}}})
    Telemetry.enable([:import], handler: handler)

    assert Instance.call(instance, "g", [1]) == {:ok, []}
    assert_received {[:wasmex, :import, :start], _, %{namespace: "env", name: "f"}}
    assert_received {[:wasmex, :import, :stop], %{duration: _}, %{name: "f"}}

    assert {:error, _} = Instance.call(instance, "g", [0])
    assert_received {[:wasmex, :import, :exception], _, %{reason: %RuntimeError{}, kind: :error}}
    refute_received {[:wasmex, :call, _], _, _}
  end

  test "a handler that raises ends the call, and the store goes on" do
    wat =
      ~s|(module (import "env" "f" (func $f)) (func (export "g") call $f) (func (export "one") (result i32) i32.const 1))|

    {_store, instance} = Guest.start(wat, %{env: %{f: {:fn, [], [], fn _ -> nil end}}})
    Telemetry.enable([:import], handler: fn _, _, _ -> raise "of the handler" end)
    assert_raise RuntimeError, "of the handler", fn -> Instance.call(instance, "g", []) end
    assert Instance.call(instance, "one", []) == {:ok, [1]}
    Telemetry.disable()
    assert Instance.call(instance, "g", []) == {:ok, []}
    one = Task.async(fn -> Instance.call(instance, "one", []) end)
    assert Task.await(one, :infinity) == {:ok, [1]}
  end

  test "a program: compile, instantiate, run", %{handler: handler} do
    Telemetry.enable([:compile, :run], handler: handler)
    {:ok, _} = Wasmex.run(~s|(module (func (export "_start")))|, ["a"], fuel: 1_000, name: "p")
    assert_received {[:wasmex, :compile, :stop], _, %{size: _, result: :ok}}
    assert_received {[:wasmex, :run, :start], _, %{program: "p", args: ["a"]}}
    assert_received {[:wasmex, :run, :stop], %{fuel_used: fuel, peak_memory: 0}, %{result: :ok}}
    assert fuel > 0
  end

  @wat """
  (module $enrich
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "alloc") (param i32) (result i32)
      (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 0))))
    (func (export "dealloc") (param i32 i32))
    (func (export "echo") (param i32 i32) (result i32 i32) local.get 0 local.get 1))
  """

  defp spans(kind) do
    receive do
      {[:wasmex, ^kind, :stop], _, metadata} -> [metadata | spans(kind)]
    after
      0 -> []
    end
  end

  test "a call that passes terms is one span: direct, through a process, a pool", %{
    handler: handler
  } do
    Telemetry.enable([:call], handler: handler)
    {_store, instance} = Guest.start(@wat)
    pid = start_supervised!({Wasmex, %{bytes: @wat}})
    pool = start_supervised!({Wasmex.Pool, source: {:bytes, @wat}})
    args = ["echo", [{:string, "hi"}]]

    assert {:ok, "hi"} = apply(Instance, :call, [instance | args] ++ [[returns: :string]])
    assert [%{function: "echo", module: "enrich"}] = spans(:call)
    assert {:ok, "hi"} = apply(Wasmex, :call_function, [pid | args] ++ [[returns: :string]])
    assert [%{function: "echo", module: "enrich"}] = spans(:call)
    assert {:ok, "hi"} = apply(Wasmex.Pool, :call, [pool | args] ++ [[returns: :string]])
    assert [%{function: "echo", module: "enrich"}] = spans(:call)
  end

  describe "tags are in the metadata" do
    @tags %{tenant: "a"}

    test "of instances: of a tagged store, a process, a pool", %{handler: handler} do
      Telemetry.enable([:call, :instantiate], handler: handler)
      {:ok, store} = Wasmex.Store.new()
      store = Wasmex.Store.tag(store, @tags)
      {:ok, module} = Wasmex.Module.compile(store, @wat)
      {:ok, instance} = Instance.new(store, module, %{})
      {:ok, _} = Instance.call(instance, "echo", [1, 2])
      assert [%{tags: @tags, module: "enrich"}] = spans(:instantiate)
      assert [%{tags: @tags, module: "enrich"}] = spans(:call)

      pid = start_supervised!({Wasmex, %{bytes: @wat, tags: @tags}})
      {:ok, _} = Wasmex.call_function(pid, :echo, [1, 2])
      assert [%{tags: @tags}] = spans(:instantiate)
      assert [%{tags: @tags}] = spans(:call)

      pool = start_supervised!({Wasmex.Pool, source: {:bytes, @wat}, tags: @tags})
      {:ok, _} = Wasmex.Pool.call(pool, "echo", [1, 2])
      assert [%{tags: @tags}] = spans(:instantiate)
      assert [%{tags: @tags}] = spans(:call)
    end

    test "of components, of a process and of a pool", %{handler: handler} do
      wat = ~S|(component (core module $m (func (export "f")))
        (core instance $i (instantiate $m)) (func (export "f") (canon lift (core func $i "f"))))|
      Telemetry.enable([:call, :instantiate], handler: handler)
      pid = start_supervised!({Wasmex.Components, %{bytes: wat, tags: @tags}})
      {:ok, _} = Wasmex.Components.call_function(pid, "f", [])
      assert [%{tags: @tags}] = spans(:instantiate)
      assert [%{tags: @tags, function: "f"}] = spans(:call)

      pool = start_supervised!({Wasmex.Pool, source: {:bytes, wat}, tags: @tags})
      {:ok, _} = Wasmex.Pool.call(pool, "f", [])
      assert [%{tags: @tags}] = spans(:instantiate)
      assert [%{tags: @tags, function: "f"}] = spans(:call)
    end

    test "of plug-ins and programs", %{handler: handler} do
      Telemetry.enable([:call, :instantiate, :run], handler: handler)
      wat = ~S|(module (func (export "f") (result i32) (i32.const 0)) (func (export "_start")))|
      {:ok, plugin} = Wasmex.Plugin.new({:bytes, wat}, tags: @tags)
      {:ok, ""} = Wasmex.Plugin.call(plugin, "f", "")
      assert [%{tags: @tags}] = spans(:instantiate)
      assert [%{tags: @tags, function: "f"}] = spans(:call)
      {:ok, _} = Wasmex.run(wat, [], tags: @tags)
      assert [%{tags: @tags}] = spans(:run)
    end
  end

  test "the events of a span have the same context, other spans have others", %{handler: handler} do
    {_store, instance} = Guest.start(@wat)
    Telemetry.enable([:call], handler: handler)
    for _ <- 1..2, do: Instance.call(instance, "echo", [1, 2])
    assert_received {[:wasmex, :call, :start], _, %{telemetry_span_context: first}}
    assert_received {[:wasmex, :call, :stop], _, %{telemetry_span_context: ^first}}
    assert_received {[:wasmex, :call, :start], _, %{telemetry_span_context: second}}
    assert is_reference(first) and is_reference(second) and first != second
  end

  @tag :tmp_dir
  test "requests: function, status and path", %{handler: handler, tmp_dir: dir} do
    File.write!(Path.join(dir, "hi.wat"), Wasmex.Answers.prints("hi"))
    server = start_supervised!({Wasmex.HTTP.Server, dir: dir, port: 0, log: false})
    port = Wasmex.HTTP.Server.port(server)
    Telemetry.enable([:http], handler: handler)
    assert {200, _, "hi"} = Wasmex.Client.get(port, "/hi/there?x=1")
    assert {404, _, _} = Wasmex.Client.get(port, "/none")
    assert_receive {[:wasmex, :http, :stop], %{duration: _}, %{status: 200} = metadata}
    assert %{method: "GET", path: "/hi/there", function: "hi", scheme: "http"} = metadata

    assert {"GET /hi", attributes} = Telemetry.open_telemetry(:http, metadata)
    assert %{"http.response.status_code" => 200, "http.route" => "/hi"} = attributes
    # Paths that clients make up are not names of routes.
    assert_receive {[:wasmex, :http, :stop], _, %{status: 404, function: nil} = metadata}
    assert {"GET", attributes} = Telemetry.open_telemetry(:http, metadata)
    refute is_map_key(attributes, "http.route")
  end

  test "attributes of OpenTelemetry, of each span that happens", %{handler: handler} do
    Telemetry.enable([:compile, :instantiate, :call, :checkout, :run], handler: handler)

    assert {:error, %Wasmex.Trap{}} =
             Wasmex.run(~s|(module (func (export "_start") unreachable))|, ["a"], name: "p")

    exits = ~s|(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 3))))|

    assert {:ok, %{status: 3}} = Wasmex.run(exits, [], name: "q")

    pool = [source: {:bytes, @wat}, tags: %{t: {1, 2}}, name: __MODULE__.Pool]
    start_supervised!({Wasmex.Pool, pool})
    {:ok, _} = Wasmex.Pool.call(__MODULE__.Pool, "echo", [1, 2])

    names =
      for {[:wasmex, span, _event], _, metadata} <- messages() do
        {name, attributes} = Telemetry.open_telemetry(span, metadata)
        assert is_binary(name)

        for {key, value} <- attributes do
          assert is_binary(key)
          assert is_binary(value) or is_number(value) or is_list(value)
        end

        if name == "checkout",
          do: assert(attributes["wasmex.pool"] == inspect(__MODULE__.Pool))

        {name, attributes["error.type"]}
      end

    assert {"run p", "unreachable"} in names
    assert {"run q", "3"} in names
    assert {"enrich.echo", nil} in names
    assert {"checkout", nil} in names
  end

  defp messages do
    receive do
      {[:wasmex | _], _, _} = message -> [message | messages()]
    after
      0 -> []
    end
  end

  test "unknown spans and a missing handler are errors" do
    assert_raise ArgumentError, ~r/expected a list of spans out of .*got: \[:calls\]/, fn ->
      Telemetry.enable([:calls])
    end

    unless Code.ensure_loaded?(:telemetry),
      do: assert_raise(ArgumentError, ~r/handler/, fn -> Telemetry.enable() end)
  end

  defp flush do
    receive do
      _ -> flush()
    after
      0 -> :ok
    end
  end
end
