defmodule Wasmex.Components.WasiTest do
  use ExUnit.Case, async: true

  alias Wasmex.Components.{Component, Config, HostResource, Instance, KeyValue, Store}
  alias Wasmex.{Client, Error, Pipe, Trap}
  alias Wasmex.Wasi.{PreopenOptions, WasiP2Options}

  @command "test/guests/component_command/component_command.wasm"

  defp run(args, opts \\ []), do: Wasmex.run!(@command, args, opts)

  test "a command runs as any program does" do
    assert %{status: 0, stdout: "hello from a component\n", stderr: ""} = run(["hello"])
    assert run(["args", "a b", "ü"]).stdout == "a b\nü\n"
    assert run(["env"], env: %{"A" => "1"}).stdout == "A=1\n"

    assert run(["cat"], stdin: Stream.repeatedly(fn -> "xyz" end) |> Stream.take(1_000)).stdout
           |> byte_size() == 3_000

    assert run(["warn", "w"]).stderr == "w\n"
    assert run(["exit", "1"]).status == 1
    assert run(["time"], clock: ~U[2001-09-09 01:46:40Z]).stdout == "1000000000\n"
    assert run(["random"], seed: 1).stdout == run(["random"], seed: 1).stdout
    assert ["x", "y"] |> Wasmex.stream!(@command, ["cat"]) |> Enum.join() == "xy"

    assert Wasmex.run!("test/guests/component_go/component_go.wasm", ["hello"]).stdout =~
             "from Go"
  end

  test "limits end it" do
    assert {:error, %Error{reason: :timeout}} = Wasmex.run(@command, ["spin"], timeout: 30)

    assert {:error, %Error{reason: :timeout}} =
             Wasmex.run(@command, ["sleep", "60000"], timeout: 30)

    assert {:error, %Error{reason: :output_limit}} =
             Wasmex.run(@command, ["flood"], max_output: 50_000)

    assert {:error, %Trap{run: %{stderr: stderr}}} = Wasmex.run(@command, ["panic"])
    assert stderr =~ "as asked"
    assert {:error, %Trap{code: :out_of_fuel}} = Wasmex.run(@command, ["spin"], fuel: 1_000_000)
  end

  test "options that components do not support are errors" do
    for opts <- [[profile: true], [links: %{"x" => %Wasmex.Module{}}], [trace: fn _ -> nil end]] do
      assert {:error, %Error{reason: :unsupported}} = Wasmex.run(@command, ["hello"], opts)
    end

    assert_raise ArgumentError, ~r/allow_http: requires a component/, fn ->
      Wasmex.run("test/guests/programs/c/program.wasm", [], allow_http: true)
    end

    assert_raise ArgumentError, ~r/listen: .* is for modules/, fn ->
      Wasmex.run(@command, ["hello"], listen: ["tcp://127.0.0.1:0"])
    end

    assert {:error, %Error{reason: :not_a_program} = error} =
             Wasmex.run("test/guests/component_bench/component_bench.wasm")

    assert Exception.message(error) =~ "does not export wasi:cli/run"
  end

  @tag :tmp_dir
  test "directories, for reading or also for writing", %{tmp_dir: dir} do
    File.write!(Path.join(dir, "a.txt"), "AAA")
    assert run(["read", "/d/a.txt"], dirs: %{"/d" => {dir, :ro}}).stdout == "AAA"
    assert run(["ls", "/d"], dirs: %{"/d" => dir}).stdout == "a.txt\n"
    assert %{status: 1} = run(["write", "/d/b.txt", "B"], dirs: %{"/d" => {dir, :ro}})
    assert %{status: 0} = run(["write", "/d/b.txt", "B"], dirs: %{"/d" => dir})
    assert File.read!(Path.join(dir, "b.txt")) == "B"
    assert %{status: 1} = run(["read", "/d/../../etc/passwd"], dirs: %{"/d" => dir})
    assert %{status: 1} = run(["read", "/etc/passwd"])
  end

  test "TCP reaches what is listed and nothing else" do
    port = Client.answers(["HEY"])
    address = "127.0.0.1:#{port}"

    for opts <- [
          [],
          [tcp: ["127.0.0.1:#{port + 1}"]],
          [tcp: ["10.0.0.1"]],
          [udp: [address]],
          [lookup: ["*"]]
        ] do
      assert %{status: 1, stderr: "Permission denied" <> _} = run(["tcp", address, "hey"], opts)
    end

    assert run(["tcp", address, "hey"], tcp: [address]).stdout == "HEY\n"
    assert_received {:request, "hey"}
  end

  test "a name allows the addresses it led to" do
    port = Client.answers(["HEY"])
    assert %{status: 1} = run(["tcp", "localhost:#{port}", "hey"], tcp: ["127.0.0.1:#{port}"])

    assert %{status: 1} =
             run(["tcp", "localhost:#{port}", "hey"], tcp: ["*.localhost"], lookup: ["localhost"])

    # By its address it is another one.
    assert %{status: 1} = run(["tcp", "127.0.0.1:#{port}", "hey"], tcp: ["localhost"])
    assert run(["tcp", "localhost:#{port}", "hey"], tcp: ["localhost:#{port}"]).stdout == "HEY\n"
  end

  test "UDP and name lookup have their own lists" do
    {:ok, socket} = :gen_udp.open(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(socket)
    address = "127.0.0.1:#{port}"

    start_supervised!(
      {Task,
       fn ->
         {:ok, {from, from_port, text}} = :gen_udp.recv(socket, 0)
         :gen_udp.send(socket, from, from_port, String.upcase(text))
       end}
    )

    assert %{status: 1} = run(["udp", address, "hey"])
    assert %{status: 1} = run(["udp", address, "hey"], tcp: [address])
    assert run(["udp", address, "hey"], udp: [address]).stdout == "HEY\n"

    assert %{status: 1} = run(["lookup", "localhost"])
    assert run(["lookup", "localhost"], lookup: ["localhost"]).stdout =~ ~r/127.0.0.1|::1/
    assert %{status: 1} = run(["lookup", "localhost"], lookup: ["*.example.com"])
  end

  test "invalid addresses are rejected" do
    for address <- ["10.0.0.5:99999", "a b", "*.", "", "http://x", :x, "[::1"] do
      assert_raise ArgumentError, ~r/:tcp/, fn ->
        Store.new_wasi(%WasiP2Options{WasiP2Options.nothing() | tcp: [address]})
      end
    end

    for address <- ["*", "*:80", "10.0.0.5", "[::1]:80", "::1", "db.internal:5432", "*.internal"] do
      assert {:ok, _} = Store.new_wasi(%WasiP2Options{WasiP2Options.nothing() | tcp: [address]})
    end
  end

  test "a store's own options: pipes, directories, arguments" do
    {:ok, stdout} = Pipe.new()

    options = %WasiP2Options{
      WasiP2Options.nothing()
      | args: ["prog", "args", "x"],
        stdout: stdout,
        preopen: [%PreopenOptions{path: "test", alias: "/t"}]
    }

    {:ok, store} = Store.new_wasi(options)
    {:ok, component} = Component.new(store, File.read!(@command))
    {:ok, instance} = Instance.new(store, component, %{})
    run = component |> Component.exports() |> Map.keys() |> Enum.find(&(&1 =~ "wasi:cli/run"))
    assert Instance.call(instance, {run, "run"}, []) == {:ok, :ok}
    Pipe.seek(stdout, 0)
    assert Pipe.read(stdout) == "x\n"

    options = %{options | preopen: [%PreopenOptions{path: "/no/such/dir"}]}
    assert {:error, text} = Store.new_wasi(options)
    assert text =~ "No such file"

    assert_raise ArgumentError, fn ->
      Store.new_wasi(%{options | inherit_stdin: :x, preopen: []})
    end

    assert_raise ArgumentError, fn -> Store.new_wasi(%{}) end
  end

  test "WASI can be replaced by functions" do
    {:ok, component} = Component.compile(Wasmex.Engine.default(), File.read!(@command))
    {:ok, stdout} = Pipe.new()
    options = %WasiP2Options{WasiP2Options.nothing() | args: ["p", "time"], stdout: stdout}
    {:ok, store} = Store.new_wasi(options)
    clock = Component.imports(component) |> Map.keys() |> Enum.find(&(&1 =~ "clocks/wall-clock"))
    imports = %{clock => %{"now" => {:fn, fn -> %{seconds: 77, nanoseconds: 0} end}}}
    assert {:ok, instance} = Instance.instantiate(store, component, imports)
    run = component |> Component.exports() |> Map.keys() |> Enum.find(&(&1 =~ "wasi:cli/run"))
    assert {:ok, :ok} = Instance.call(instance, {run, "run"}, [])
    Pipe.seek(stdout, 0)
    assert Pipe.read(stdout) == "77\n"
  end

  # A component that imports this and exports a function that calls it.
  defp importing(wit_import, core_type, call) do
    """
    (component
      #{wit_import}
      (core module $memory
        (memory (export "memory") 2)
        (global $next (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
          (local $at i32)
          (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
          (global.set $next (i32.add (local.get $at) (local.get 3)))
          (local.get $at)))
      (core instance $memory (instantiate $memory))
      (core func $f (canon lower (func $import) (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
      (core module $m
        (import "i" "f" (func $f #{core_type}))
        #{call})
      (core instance $m (instantiate $m (with "i" (instance (export "f" (func $f))))))
      (func (export "get") (param "key" string) (result (result (option string) (error u8)))
        (canon lift (core func $m "get") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc")))))
    """
  end

  test "configuration from a map" do
    wit = """
    (type $config (instance
      (type $e (variant (case "upstream" string) (case "io" string)))
      (export "error" (type $error (eq $e)))
      (type $r (result (option string) (error $error)))
      (export "get" (func (param "key" string) (result $r)))))
    (import "wasi:config/store@0.2.0-rc.1" (instance $store (type $config)))
    (alias export $store "get" (func $import))
    """

    # The results differ only in the type of an error that does not come.
    call = """
    (func (export "get") (param i32 i32) (result i32)
      (call $f (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16))
    """

    wat = importing(wit, "(param i32 i32 i32)", call)
    {:ok, component} = Component.compile(Wasmex.Engine.default(), wat)
    {:ok, store} = Store.new()

    {:ok, instance} =
      Instance.instantiate(store, component, Config.imports(%{"level" => "debug"}))

    assert Instance.call(instance, "get", ["level"]) == {:ok, {:ok, {:some, "debug"}}}
    assert Instance.call(instance, "get", ["nope"]) == {:ok, {:ok, :none}}
  end

  test "key-value stores in a table" do
    backend = KeyValue.ETS.new(["a"])
    imports = HostResource.merge_imports([KeyValue.imports(backend)])
    store = imports["wasi:keyvalue/store@0.2.0-draft"]
    batch = imports["wasi:keyvalue/batch@0.2.0-draft"]
    atomics = imports["wasi:keyvalue/atomics@0.2.0-draft"]
    call = fn functions, name, args -> functions |> Map.fetch!(name) |> elem(1) |> apply(args) end

    assert {:ok, bucket} = call.(store, "open", ["a"])
    assert call.(store, "open", ["b"]) == {:error, "no-such-store"}
    assert call.(store, "[method]bucket.set", [bucket, "k", "v"]) == :ok
    assert call.(store, "[method]bucket.exists", [bucket, "k"]) == {:ok, true}
    assert call.(batch, "set-many", [bucket, [{"x", "1"}, {"y", "2"}]]) == :ok
    assert call.(batch, "get-many", [bucket, ["x", "z"]]) == {:ok, [{:some, {"x", "1"}}, :none]}

    assert {:ok, %{"keys" => ["k", "x", "y"], "cursor" => :none}} =
             call.(store, "[method]bucket.list-keys", [bucket, :none])

    assert call.(batch, "delete-many", [bucket, ["x", "y"]]) == :ok
    assert call.(store, "[method]bucket.delete", [bucket, "k"]) == :ok
    assert call.(store, "[method]bucket.get", [bucket, "k"]) == {:ok, :none}

    1..50
    |> Task.async_stream(fn _ -> call.(atomics, "increment", [bucket, "n", 2]) end)
    |> Stream.run()

    assert call.(atomics, "increment", [bucket, "n", 0]) == {:ok, 100}
    call.(store, "[method]bucket.set", [bucket, "text", "abc"])
    assert {:error, {"other", _}} = call.(atomics, "increment", [bucket, "text", 1])
  end
end
