defmodule Wasmex.PluginTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Wasmex.{Error, Plugin, Trap}

  @kits "test/guests/plugins"

  defp kit(name, opts \\ []) do
    {:ok, plugin} = Plugin.new(Path.join(@kits, name <> ".wasm"), opts)
    plugin
  end

  describe "calls" do
    test "take any bytes, also as iodata, and names as atoms" do
      plugin = kit("echo")
      assert Plugin.call(plugin, :echo, ["a", [?b], <<0, 255>>]) == {:ok, <<"ab", 0, 255>>}
      assert Plugin.call!(plugin, "echo") == ""
      assert_raise ArgumentError, ~r/expected bytes/, fn -> Plugin.call(plugin, "echo", :atom) end

      assert_raise ArgumentError, ~r/unknown option :timeot/, fn ->
        Plugin.call(plugin, "echo", "", timeot: 1)
      end
    end

    test "of many processes wait for their turn" do
      plugin = kit("echo")
      tasks = for n <- 1..100, do: Task.async(fn -> Plugin.call(plugin, "echo", "#{n}") end)
      assert Task.await_many(tasks, 60_000) == for(n <- 1..100, do: {:ok, "#{n}"})
    end

    test "a plug-in is stopped in time and can be called again" do
      plugin = kit("stop")
      assert {:error, %Error{reason: :timeout}} = Plugin.call(plugin, "forever", "", timeout: 20)
      assert Plugin.call(plugin, "count") == {:ok, "1"}
    end

    test "a killed caller stops its call, and the plug-in goes on" do
      plugin = kit("stop")
      store = Wasmex.Native.plugin_store(plugin.resource)
      call = fn -> Plugin.call(plugin, "forever") end
      Wasmex.Guest.kill_while(call, &(Wasmex.Native.store_driver(store) == &1))
      assert Plugin.call(plugin, "count") == {:ok, "1"}
    end

    test "fuel is a budget of one call" do
      plugin = kit("stop", fuel: true)

      assert {:error, %Trap{code: :out_of_fuel}} =
               Plugin.call(plugin, "forever", "", fuel: 10_000)

      assert {:ok, "1"} = Plugin.call(plugin, "count", "", fuel: 10_000)

      assert {:error, %Error{reason: :fuel_disabled}} =
               Plugin.call(kit("stop"), "count", "", fuel: 10)
    end

    test "traps have the guest's frames" do
      assert {:error, %Trap{code: :unreachable, backtrace: [frame | _]}} =
               Plugin.call(kit("stop"), "trap")

      assert %{func_index: _, module_offset: _} = frame
    end

    test "errors of the ABI have the cause and the frames" do
      assert {:error, %Error{reason: :guest, details: details} = error} =
               Plugin.call(kit("vars"), "get_nonsense")

      assert Exception.message(error) == "invalid handle offset for var key: 5000"
      assert [%{func_index: _} | _] = details.backtrace
    end
  end

  test "functions that can be called" do
    {:ok, compiled} = Plugin.compile(Path.join(@kits, "echo.wasm"))
    assert Enum.sort(Plugin.functions(compiled)) == ["echo", "echo_void", "silent"]
    {:ok, plugin} = Plugin.new(compiled)
    assert Plugin.function_exists?(plugin, "echo")
    refute Plugin.function_exists?(plugin, "i64_result")
    refute Plugin.function_exists?(plugin, "memory")
  end

  test "each plug-in of a compiled one has its own memory and variables" do
    {:ok, compiled} = Plugin.compile(Path.join(@kits, "vars.wasm"))
    [one, two] = for _ <- 1..2, do: compiled |> Plugin.new() |> elem(1)
    assert {:ok, ""} = Plugin.call(one, "set", "one")
    assert Plugin.vars(one) == {:ok, %{"k" => "one"}}
    assert Plugin.vars(two) == {:ok, %{}}
    assert Plugin.reset(one) == :ok
    assert Plugin.call(one, "get") == {:ok, "one"}
  end

  test "the configuration changes from one call to the next" do
    {:ok, compiled} =
      Plugin.compile(%{
        wasm: [%{path: Path.join(@kits, "c-kit.wasm")}],
        config: %{colour: "blue", size: "xl"}
      })

    {:ok, plugin} = Plugin.new(compiled, config: %{"colour" => "red"})
    assert Plugin.call(plugin, "setting", "colour") == {:ok, "red"}
    assert Plugin.call(plugin, "setting", "size") == {:ok, "xl"}
    assert Plugin.put_config(plugin, %{"colour" => "green", "size" => nil}) == :ok
    assert Plugin.call(plugin, "setting", "colour") == {:ok, "green"}

    assert {:error, %Plugin.Error{code: 1, message: "no such setting"}} =
             Plugin.call(plugin, "setting", "size")

    assert_raise ArgumentError, ~r/config."colour" must be a string/, fn ->
      Plugin.put_config(plugin, %{"colour" => 7})
    end
  end

  test "after _start another instance has the configuration as it was changed" do
    plugin = kit("stop")
    assert Plugin.put_config(plugin, %{"a" => "1"}) == :ok
    assert Plugin.call(plugin, "_start") == {:ok, ""}
    assert Plugin.call(plugin, "count") == {:ok, "1"}
    store = Wasmex.Native.plugin_store(plugin.resource)
    assert Wasmex.Native.plugin_config(store, nil) == {:ok, %{"a" => "1"}}
  end

  test "log messages go to Logger from its level on, with its name" do
    plugin = kit("c-kit", log_level: :info, name: {:tenant, 7})

    log =
      capture_log([metadata: [:plugin]], fn ->
        assert {:ok, ""} = Plugin.call(plugin, "warns", <<"careful ", 255>>)
      end)

    assert log =~ "careful ÿ"

    refute capture_log(fn -> Plugin.call(kit("c-kit"), "warns", "quiet words") end) =~
             "quiet words"

    assert_raise ArgumentError, ~r/log_level/, fn ->
      kit("c-kit", log_level: :loud)
    end
  end

  describe "a process" do
    test "owns its plug-in and is called by name" do
      name = :"plugin_#{System.unique_integer([:positive])}"
      start_supervised!({Plugin, source: Path.join(@kits, "stop.wasm"), name: name})
      assert Plugin.call(name, "count") == {:ok, "1"}
      assert Plugin.function_exists?(name, "count")
      assert Plugin.vars(name) == {:ok, %{}}
      assert Plugin.put_config(name, %{"a" => "b"}) == :ok
      assert Plugin.reset(name) == :ok
      plugin = GenServer.call(name, :plugin)
      stop_supervised!(Plugin)
      assert {:error, %Error{reason: :closed}} = Plugin.call(plugin, "count")
    end

    test "is not busy while a call is under way" do
      pid = start_supervised!({Plugin, source: Path.join(@kits, "stop.wasm")})
      task = Task.async(fn -> Plugin.call(pid, "forever", "", timeout: 200) end)
      assert Plugin.function_exists?(pid, "count")
      assert {:error, %Error{reason: :timeout}} = Task.await(task, 60_000)
    end

    test "that can't be started says why" do
      Process.flag(:trap_exit, true)
      assert {:error, %Error{reason: :file}} = Plugin.start_link(source: "none.wasm")
      assert_raise ArgumentError, ~r/missing option source/, fn -> Plugin.start_link([]) end
    end
  end

  test "linked modules: a library is initialised once, a program is fresh for each call" do
    counter = fn export ->
      ~s|(module (global $n (mut i64) (i64.const 0)) (func (export "#{export}") (global.set $n (i64.const 10)))
           (func (export "next") (result i64) (global.set $n (i64.add (global.get $n) (i64.const 1))) (global.get $n)))|
    end

    main = ~S|(module
      (import "lib" "next" (func $next (result i64)))
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (func (export "go") (result i32) (local $p i64)
        (local.set $p (call $alloc (i64.const 8)))
        (call $store (local.get $p) (call $next))
        (call $output (local.get $p) (i64.const 8)) (i32.const 0)))|

    for {export, first, second} <- [
          {"_initialize", 11, 12},
          {"__wasm_call_ctors", 1, 2},
          {"_start", 1, 1}
        ] do
      manifest = %{
        wasm: [%{data: {:bytes, counter.(export)}, name: "lib"}, %{data: {:bytes, main}}]
      }

      {:ok, plugin} = Plugin.new(manifest)
      assert Plugin.call(plugin, "go") == {:ok, <<first::little-64>>}
      assert Plugin.call(plugin, "go") == {:ok, <<second::little-64>>}
    end
  end
end
