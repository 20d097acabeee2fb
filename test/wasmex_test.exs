defmodule WasmexTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Guest, Instance, Memory, Module, Pipe, Store, StoreOrCaller}
  alias Wasmex.Wasi.WasiOptions

  @wat """
  (module
    (import "env" "f" (func $f (param i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "f") (param i32) (result i32) local.get 0 call $f)
    (func (export "void"))
    (func (export "spin") (loop br 0))
    (func (export "trap") unreachable))
  """

  defp start(function \\ fn _, n -> n end, opts \\ %{}) do
    imports = %{env: %{f: {:fn, [:i32], [:i32], function}}}
    {:ok, pid} = Wasmex.start_link(Map.merge(%{bytes: @wat, imports: imports}, opts))
    pid
  end

  test "functions by string or atom, void, errors as text" do
    pid = start()
    assert Wasmex.call_function(pid, "add", [1, 2]) == {:ok, [3]}
    assert Wasmex.call_function(pid, :void, []) == {:ok, []}
    assert Wasmex.function_exists(pid, :add)
    refute Wasmex.function_exists(pid, "memory")
    assert Wasmex.call_function(pid, "none", []) == {:error, "exported function `none` not found"}

    assert Wasmex.call_function(pid, "void", [1]) ==
             {:error, "number of params does not match. expected 0, got 1"}

    assert Wasmex.call_function(pid, "add", ["1", 2]) ==
             {:error, "Cannot convert argument #1 to a WebAssembly i32 value. Given `Binary`."}

    assert Wasmex.call_function(pid, "add", [1, 9_999_999_999]) ==
             {:error, "Cannot convert argument #2 to a WebAssembly i32 value."}

    assert Wasmex.call_function(pid, "add", nil) == {:error, "could not load 'function params'"}

    assert {:error,
            "Error during function excecution (wasm trap: wasm `unreachable` instruction executed): error while executing at wasm backtrace:\n" <>
              rest} = Wasmex.call_function(pid, "trap", [])

    assert rest =~ ~r/\A    0: .*wasm function/
    assert Wasmex.call_function(pid, "add", [1, 2]) == {:ok, [3]}
  end

  test "memory, store, module and instance" do
    pid = start()
    {:ok, %Memory{} = memory} = Wasmex.memory(pid)
    {:ok, %StoreOrCaller{} = store} = Wasmex.store(pid)
    assert {:ok, %Module{}} = Wasmex.module(pid)
    assert {:ok, %Instance{}} = Wasmex.instance(pid)
    assert Memory.write_binary(store, memory, 0, "abc") == :ok
    {:ok, pid} = Wasmex.start_link(%{bytes: "(module)"})
    assert Wasmex.memory(pid) == {:error, "The WebAssembly module has no exported memory."}
  end

  test "options: stores, modules, instances, keywords, and what is missing or unknown" do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, "(module)")
    {:ok, instance} = Instance.new(store, module, %{})
    assert {:ok, _} = Wasmex.start_link(%{store: store, module: module})
    assert {:ok, _} = Wasmex.start_link(store: store, module: module, instance: instance)

    assert Wasmex.start_link(%{module: module}) ==
             {:error, :must_specify_store_used_to_compile_module}

    assert Wasmex.start_link(%{instance: instance}) ==
             {:error, :must_specify_store_and_module_used_to_instantiate_instance}

    assert {:error, "Error while parsing bytes: " <> _} = Wasmex.start_link(%{bytes: "no"})

    assert_raise ArgumentError, ~r/:byte in Wasmex.start_link.1; did you mean :bytes/, fn ->
      # Made so that the compiler does not see it through.
      [byte: "(module)"] |> Map.new() |> Wasmex.start_link()
    end

    assert_raise ArgumentError, fn -> [] |> Map.new() |> Wasmex.start_link() end
    assert_raise ArgumentError, fn -> Wasmex.start_link(%{bytes: "(module)", wasi: %{}}) end
  end

  test "names and supervisors" do
    assert {:ok, pid} = Wasmex.start_link(%{bytes: "(module)", name: :wasmex_named})
    assert GenServer.whereis(:wasmex_named) == pid
    start_supervised!({Registry, keys: :unique, name: WasmexTest.Registry})
    via = {:via, Registry, {WasmexTest.Registry, :guest}}
    assert {:ok, _} = Wasmex.start_link(%{bytes: ~s|(module (func (export "f")))|, name: via})
    assert Wasmex.call_function(via, "f", []) == {:ok, []}

    assert %{id: Wasmex, start: {Wasmex, :start_link, [%{bytes: "(module)"}]}} =
             Wasmex.child_spec(%{bytes: "(module)"})

    start_supervised!(
      {PartitionSupervisor,
       child_spec: Wasmex.child_spec(%{bytes: ~s|(module (func (export "f")))|}),
       name: WasmexTest.Guests}
    )

    assert Wasmex.call_function({:via, PartitionSupervisor, {WasmexTest.Guests, self()}}, "f", []) ==
             {:ok, []}
  end

  test "instantiation errors end the start" do
    Process.flag(:trap_exit, true)

    assert {:error, {{:badmatch, {:error, text}}, _}} =
             Wasmex.start_link(%{bytes: ~s|(module (import "a" "b" (func)))|})

    assert text =~ "unknown import: `a::b` has not been defined"

    assert {:error, _} =
             Wasmex.start_link(%{
               bytes: "(module (func $s (loop br 0)) (start $s))",
               start_timeout: 10
             })
  end

  test "a start function may call an import" do
    test = self()
    imports = %{e: %{f: {:fn, [], [], fn _ -> send(test, :called) end}}}

    assert {:ok, _} =
             Wasmex.start_link(%{
               bytes: ~s|(module (import "e" "f" (func $f)) (start $f))|,
               imports: imports
             })

    assert_received :called
  end

  test "a guest that computes or waits keeps the process responsive" do
    {:ok, stdin} = Pipe.new(mode: :stream)

    for {bytes, name, opts} <- [
          {@wat, "spin", %{imports: %{env: %{f: {:fn, [:i32], [:i32], fn _, n -> n end}}}}},
          {Guest.bytes("rust_wasi"), "_start",
           %{wasi: %WasiOptions{args: ["rust_wasi", "echo"], stdin: stdin}}}
        ] do
      {:ok, pid} = Wasmex.start_link(Map.merge(%{bytes: bytes}, opts))
      test = self()

      spawn_link(fn ->
        send(test, {:result, catch_exit(Wasmex.call_function(pid, name, [], :infinity))})
      end)

      Guest.wait_until(fn -> calls?(pid) end)
      assert Wasmex.function_exists(pid, name)
      assert {:ok, _} = Wasmex.memory(pid)
      assert Wasmex.stop(pid) == :ok
      assert_receive {:result, {:normal, _}}
    end
  end

  defp calls?(pid), do: match?(%Wasmex.Server{current: %{}}, :sys.get_state(pid))

  test "a timeout exits the caller and frees the server" do
    pid = start()

    assert {:timeout, {GenServer, :call, [^pid, {:call_function, "spin", [], 20}, 20]}} =
             catch_exit(Wasmex.call_function(pid, :spin, [], 20))

    assert Wasmex.call_function(pid, :add, [1, 2]) == {:ok, [3]}
  end

  test "a caller that dies takes its call along" do
    pid = start()
    spin = fn -> Wasmex.call_function(pid, :spin, [], :infinity) end
    Guest.kill_while(spin, fn _ -> calls?(pid) end)
    assert Wasmex.call_function(pid, :add, [1, 2]) == {:ok, [3]}
  end

  test "calls run one at a time, in order" do
    test = self()

    pid =
      start(fn _, n ->
        send(test, {:begun, n})
        Process.sleep(1)
        send(test, {:ended, n})
        n
      end)

    :ok = :sys.suspend(pid)

    tasks =
      for n <- 1..20 do
        task = Task.async(fn -> Wasmex.call_function(pid, "f", [n], :infinity) end)

        Guest.wait_until(fn ->
          Process.info(pid, :message_queue_len) == {:message_queue_len, n}
        end)

        task
      end

    :ok = :sys.resume(pid)
    assert Task.await_many(tasks, :infinity) == for(n <- 1..20, do: {:ok, [n]})
    assert said() == Enum.flat_map(1..20, &[begun: &1, ended: &1])
  end

  defp said do
    receive do
      {event, n} when event in [:begun, :ended] -> [{event, n} | said()]
    after
      0 -> []
    end
  end

  test "an import that fails leaves the server alive" do
    for function <- [
          fn _, _ -> raise "why" end,
          fn _, _ -> throw(1) end,
          fn _, _ -> exit(:bye) end,
          fn _, _ -> :wrong end
        ] do
      pid = start(function)

      assert {:error,
              "Error during function excecution: error while executing at wasm backtrace:\n" <> _} =
               Wasmex.call_function(pid, "f", [1])

      assert Wasmex.call_function(pid, :add, [1, 2]) == {:ok, [3]}
    end

    {:error, text} = Wasmex.call_function(start(fn _, _ -> raise "the reason" end), "f", [1])
    assert text =~ "the reason"
  end

  test "an import calls its own server" do
    pid =
      start(fn context, n ->
        {:ok, [sum]} = Wasmex.call_function(context.pid, :add, [n, 1])
        sum
      end)

    assert Wasmex.call_function(pid, "f", [41]) == {:ok, [42]}
  end

  test "links, with links of their own" do
    inner = ~s|(module (func (export "one") (result i32) i32.const 1))|

    middle =
      ~s|(module (import "inner" "one" (func $one (result i32))) (func (export "two") (result i32) call $one call $one i32.add))|

    outer =
      ~s|(module (import "middle" "two" (func $two (result i32))) (func (export "run") (result i32) call $two))|

    {:ok, pid} =
      Wasmex.start_link(%{
        bytes: outer,
        links: %{middle: %{bytes: middle, links: %{inner: %{bytes: inner}}}}
      })

    assert Wasmex.call_function(pid, "run", []) == {:ok, [2]}
  end

  test "a Go function that reads and writes over pipes" do
    {:ok, stdout_pipe} = Wasmex.Pipe.new()
    {:ok, stdin_pipe} = Wasmex.Pipe.new()
    wasi = %Wasmex.Wasi.WasiOptions{args: [], stdout: stdout_pipe, stdin: stdin_pipe}
    {:ok, pid} = Wasmex.start_link(%{bytes: Guest.bytes("go_greet"), wasi: wasi})
    Wasmex.Pipe.write(stdin_pipe, "Yasoob here!")
    Wasmex.Pipe.seek(stdin_pipe, 0)
    {:ok, []} = Wasmex.call_function(pid, :greet, [])
    Wasmex.Pipe.seek(stdout_pipe, 0)
    assert Wasmex.Pipe.read(stdout_pipe) == "👋 Data from Elixir: Yasoob here!"
  end
end
