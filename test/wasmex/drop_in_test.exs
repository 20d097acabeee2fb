defmodule Wasmex.DropInTest do
  # The shapes and texts of Wasmex 0.15, where they differ from those of the direct API.
  use ExUnit.Case, async: true

  alias Wasmex.{
    Components,
    Engine,
    EngineConfig,
    Error,
    Global,
    Instance,
    Memory,
    Module,
    Store,
    Wat
  }

  alias Wasmex.Components.{Component, GuestResource, HostResource}
  alias Wasmex.ComponentGuests, as: Guests

  @wat ~S"""
  (module
    (import "env" "f" (func $f (param i32) (result i32)))
    (memory (export "memory") 1)
    (global (export "g_extern") (mut externref) (ref.null extern))
    (global (export "g_func") funcref (ref.null func))
    (global (export "g_any") anyref (ref.null any))
    (global (export "small") (mut i32) (i32.const -1))
    (global (export "big") (mut i64) (i64.const -1))
    (func (export "call") (param i32) (result i32) (call $f (local.get 0)))
    (func (export "i32") (param i32) (result i32) (local.get 0))
    (func (export "i64") (param i32 i64) (result i64) (local.get 1))
    (func (export "extern") (result externref) (ref.null extern))
    (func (export "func") (result i32 funcref) (i32.const 1) (ref.null func))
    (func (export "trap") unreachable)
    (func (export "divide") (result i32) (i32.div_s (i32.const 1) (i32.const 0)))
    (func (export "outside") (drop (i32.load (i32.const -1))))
    (func $deep (export "deep") (call $deep)))
  """

  @imports %{env: %{f: {:fn, [:i32], [:i32], &__MODULE__.identity/2}}}

  def identity(_context, n), do: n

  defp start(imports \\ @imports) do
    {:ok, pid} = Wasmex.start_link(%{bytes: @wat, imports: imports})
    pid
  end

  defp instance do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, @wat)
    {:ok, instance} = Instance.new(store, module, @imports)
    {store, instance}
  end

  describe "texts of calls" do
    test "a trap's own text is in the parentheses, its backtrace follows, without causes" do
      pid = start()

      for {function, text} <- [
            {"trap", "wasm trap: wasm `unreachable` instruction executed"},
            {"divide", "wasm trap: integer divide by zero"},
            {"outside", "wasm trap: out of bounds memory access"},
            {"deep", "wasm trap: call stack exhausted"}
          ] do
        prefix =
          "Error during function excecution (#{text}): error while executing at wasm backtrace:\n    0:"

        assert {:error, message} = Wasmex.call_function(pid, function, [])
        assert String.starts_with?(message, prefix)
        refute message =~ "Caused by"
      end

      {:ok, engine} = Engine.new(%EngineConfig{consume_fuel: true})
      {:ok, store} = Store.new(nil, engine)
      {:ok, module} = Module.compile(store, @wat)
      Wasmex.StoreOrCaller.set_fuel(store, 1_000)
      {:ok, pid} = Wasmex.start_link(%{store: store, module: module, imports: @imports})
      Wasmex.StoreOrCaller.set_fuel(store, 0)
      assert {:error, message} = Wasmex.call_function(pid, "i32", [1])
      assert message =~ "excecution (wasm trap: all fuel consumed by WebAssembly): "
    end

    test "the asynchronous form says the same" do
      {store, instance} = instance()
      Instance.call_exported_function(store, instance, "trap", [], {self(), :tag})
      assert_receive {:tag, {:error, text}}

      assert text =~
               "excecution (wasm trap: wasm `unreachable` instruction executed): error while"
    end

    test "an import that fails is no trap" do
      pid = start(%{env: %{f: {:fn, [:i32], [:i32], fn _, _ -> raise "no" end}}})
      assert {:error, text} = Wasmex.call_function(pid, "call", [1])

      assert text =~
               ~r/\AError during function excecution: error while executing at wasm backtrace:\n\s*0:\s*0x.* - /
    end

    test "a program that exits with 0 has succeeded" do
      wat = fn status ->
        ~s|(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const #{status}))))|
      end

      {:ok, pid} = Wasmex.start_link(%{bytes: wat.(0), wasi: true})
      assert Wasmex.call_function(pid, "_start", []) == {:ok, []}
      {:ok, instance} = Wasmex.instance(pid)
      {:ok, store} = Wasmex.store(pid)
      Instance.call_exported_function(store, instance, "_start", [], {self(), :tag})
      assert_receive {:tag, {:ok, []}}
      {:ok, pid} = Wasmex.start_link(%{bytes: wat.(7), wasi: true})

      assert Wasmex.call_function(pid, "_start", []) ==
               {:error, "Error during function excecution: the guest exited with status 7"}
    end
  end

  describe "texts of instantiation" do
    test "exactly those of Wasmex 0.15; the direct API has more detail" do
      {:ok, store} = Store.new()
      {:ok, module} = Module.compile(store, @wat)
      wasi = ~s|(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))|
      {:ok, program} = Module.compile(store, wasi)

      assert Instance.new(store, program, %{}) ==
               {:error,
                "unknown import: `wasi_snapshot_preview1::proc_exit` has not been defined"}

      unknown = "unknown import: `env::f` has not been defined"
      assert Instance.new(store, module, %{}) == {:error, unknown}

      assert {:error, %Error{reason: :missing_import} = error} =
               Instance.instantiate(store, module, %{})

      assert Exception.message(error) =~ "expected"

      wrong = %{env: %{f: {:fn, [:i64], [:i32], &__MODULE__.identity/2}}}
      text = "incompatible import type for `env::f`"
      assert Instance.new(store, module, wrong) == {:error, text}
      {:ok, main} = Module.compile(store, "(module)")

      assert Instance.new(store, main, %{}, [%{name: "lib", module: module}]) ==
               {:error, ~s|"Could not instantiate linked module: #{unknown}"|}

      assert {:error, %Error{reason: :incompatible_import}} =
               Instance.instantiate(store, module, wrong)

      Process.flag(:trap_exit, true)

      for {imports, text} <- [{%{}, unknown}, {wrong, text}],
          do:
            assert(
              {:error, {{:badmatch, {:error, ^text}}, _}} =
                Wasmex.start_link(%{bytes: @wat, imports: imports})
            )
    end

    test "a component's too: the item that is missing, the interface if it is in one" do
      lacks = "but a matching implementation was not found in the linker"
      interface = ~s|(instance (export "f" (func)) (export "g" (func)))|

      for {import, given, item} <- [
            {~s|"import-id-string" (func)|, %{}, "function `import-id-string`"},
            {~s|"r" (type (sub resource))|, %{}, "resource `r`"},
            {~s|"a:b/c@1.0.0" #{interface}|, %{}, "instance `a:b/c@1.0.0`"},
            {~s|"a:b/c@1.0.0" #{interface}|, %{"a:b/c@1.0.0" => %{"f" => {:fn, fn -> nil end}}},
             "instance `a:b/c@1.0.0`"}
          ] do
        bytes = "(component (import #{import}))"
        text = "component imports #{item}, #{lacks}"
        assert Components.start_link(bytes: bytes, imports: given) == {:error, text}
        {:ok, store} = Components.Store.new()
        {:ok, component} = Component.new(store, bytes)
        assert Components.Instance.new(store, component, given) == {:error, text}

        assert {:error, %Error{reason: :missing_imports} = error} =
                 Components.Instance.instantiate(store, component, given)

        assert Exception.message(error) =~ "missing imports:"

        assert {:error, "missing imports:" <> _} =
                 Components.start_link(bytes: bytes, imports: given, value_format: :direct)
      end
    end

    test "a function of the wrong arity fails the call, not the start" do
      pid = start(%{env: %{f: {:fn, [:i32], [:i32], fn _ -> 1 end}}})

      assert {:error, "Error during function excecution: " <> text} =
               Wasmex.call_function(pid, "call", [1])

      assert text =~ "arity 1"
      assert Wasmex.call_function(pid, "i32", [1]) == {:ok, [1]}
      {:ok, store} = Store.new()
      {:ok, module} = Module.compile(store, @wat)
      wrong = %{env: %{f: {:fn, [:i32], [:i32], fn _ -> 1 end}}}
      assert {:ok, _} = Instance.new(store, module, wrong)
      assert_raise ArgumentError, ~r/env.f/, fn -> Instance.instantiate(store, module, wrong) end
    end
  end

  describe "values" do
    test "integers are signed; the direct API takes unsigned ones, too" do
      pid = start()
      {store, instance} = instance()

      for {function, params, position, type} <- [
            {"i32", [3_000_000_000], 1, "i32"},
            {"i32", [0x8000_0000], 1, "i32"},
            {"i64", [1, 0x8000_0000_0000_0000], 2, "i64"},
            {"i64", [0xFFFF_FFFF, 1], 1, "i32"}
          ] do
        text = "Cannot convert argument ##{position} to a WebAssembly #{type} value."
        assert Wasmex.call_function(pid, function, params) == {:error, text}
        Instance.call_exported_function(store, instance, function, params, {self(), :tag})
        assert_receive {:tag, {:error, ^text}}
        assert {:ok, _} = Instance.call(instance, function, params)
      end

      # The first wrong one is told, and their number first of all.
      for {function, params, text} <- [
            {"i32", [3_000_000_000, 1], "number of params does not match. expected 1, got 2"},
            {"i64", [3_000_000_000], "number of params does not match. expected 2, got 1"},
            {"i32", [:x, 1], "number of params does not match. expected 1, got 2"},
            {"none", [3_000_000_000], "exported function `none` not found"},
            {"i64", [:x, 0x8000_0000_0000_0000],
             "Cannot convert argument #1 to a WebAssembly i32 value. Given `Atom`."},
            {"i64", [3_000_000_000, :x],
             "Cannot convert argument #1 to a WebAssembly i32 value."},
            {"i32", [1 | 2], "could not load 'function params'"}
          ] do
        assert Wasmex.call_function(pid, function, params) == {:error, text}
        Instance.call_exported_function(store, instance, function, params, {self(), :tag})
        assert_receive {:tag, {:error, ^text}}
      end

      assert Wasmex.call_function(pid, "i32", [0x7FFF_FFFF]) == {:ok, [0x7FFF_FFFF]}

      assert Wasmex.call_function(pid, "i64", [-1, 0x7FFF_FFFF_FFFF_FFFF]) ==
               {:ok, [0x7FFF_FFFF_FFFF_FFFF]}

      assert Instance.set_global_value(store, instance, "small", 3_000_000_000) ==
               {:error, "Cannot convert to a WebAssembly i32 value."}

      assert Instance.set_global_value(store, instance, "big", 0x8000_0000_0000_0000) ==
               {:error, "Cannot convert to a WebAssembly i64 value."}

      assert Instance.set_global_value(store, instance, "big", 3_000_000_000) == :ok
    end

    test "so are the results of imported functions" do
      wat = ~S"""
      (module (import "env" "f" (func $f (result i32))) (import "env" "g" (func $g (result f32 i64)))
        (import "env" "h" (func $h (result f64)))
        (func (export "f") (result i32) (call $f)) (func (export "g") (result f32 i64) (call $g))
        (func (export "h") (result f64) (call $h)))
      """

      functions = fn f, g ->
        %{
          env: %{
            f: {:fn, [], [:i32], fn _ -> f end},
            g: {:fn, [], [:f32, :i64], fn _ -> [3_000_000_000, g] end},
            h: {:fn, [], [:f64], fn _ -> 3_000_000_000 end}
          }
        }
      end

      wide = functions.(3_000_000_000, 0x8000_0000_0000_0000)
      {:ok, pid} = Wasmex.start_link(%{bytes: wat, imports: wide})

      for {function, place} <- [{"f", "the result is not i32"}, {"g", "result 2 is not i64"}] do
        assert {:error, text} = Wasmex.call_function(pid, function, [])

        assert text =~
                 "Error during function excecution: error while executing at wasm backtrace:"

        assert text =~ place
      end

      assert Wasmex.call_function(pid, "h", []) == {:ok, [3.0e9]}
      {:ok, store} = Store.new()
      {:ok, module} = Module.compile(store, wat)
      {:ok, instance} = Instance.instantiate(store, module, wide)
      assert Instance.call(instance, "f", []) == {:ok, [-1_294_967_296]}
      narrow = functions.(0x7FFF_FFFF, 3_000_000_000)
      {:ok, pid} = Wasmex.start_link(%{bytes: wat, imports: narrow})
      assert Wasmex.call_function(pid, "f", []) == {:ok, [0x7FFF_FFFF]}
      assert Wasmex.call_function(pid, "g", []) == {:ok, [3.0e9, 3_000_000_000]}
    end

    test "references are not returned; the direct API does so" do
      {store, instance} = instance()

      for kind <- ["extern", "func", "any"] do
        assert Instance.get_global_value(store, instance, "g_" <> kind) ==
                 {:error, "unable_to_return_#{kind}_ref_type"}

        {:ok, global} = Instance.export(instance, :global, "g_" <> kind)
        assert Global.get(global) == {:ok, nil}
      end

      assert Instance.get_global_value(store, instance, "small") == {:ok, -1}
      pid = start()

      for kind <- ["extern", "func"] do
        assert Wasmex.call_function(pid, kind, []) ==
                 {:error, "unable_to_return_#{kind}_ref_type"}

        assert {:ok, [_ | _]} = Instance.call(instance, kind, [])
      end
    end
  end

  describe "starting" do
    test "the default engine and one of the default settings accept the same" do
      wat = "(module (memory i64 1))"
      {:ok, engine} = Engine.new(%EngineConfig{})
      assert {:ok, _} = Module.compile(engine, wat)
      assert {:ok, _} = Module.compile(Engine.default(), wat)
      {:ok, engine} = Engine.new(EngineConfig.memory64(%EngineConfig{}, false))
      assert {:error, text} = Module.compile(engine, wat)
      assert text =~ "memory64"
    end

    test "GenServer.start_link/2 on the modules themselves" do
      {:ok, store} = Store.new()
      {:ok, module} = Module.compile(store, @wat)

      {:ok, pid} =
        GenServer.start_link(Wasmex, %{store: store, module: module, imports: @imports})

      assert Wasmex.call_function(pid, "i32", [1]) == {:ok, [1]}
      {:ok, instance} = Instance.new(store, module, @imports)

      {:ok, pid} =
        GenServer.start_link(Wasmex, %{store: store, module: module, instance: instance})

      assert Wasmex.call_function(pid, "i32", [2]) == {:ok, [2]}
      {:ok, store} = Components.Store.new()
      {:ok, component} = Component.new(store, component())

      {:ok, pid} =
        GenServer.start_link(Components, %{store: store, component: component, imports: imports()})

      assert Components.call_function(pid, "run", []) == {:ok, 1}
    end

    test "options of GenServer pass, nil is as good as absent" do
      opts = [
        timeout: 5_000,
        hibernate_after: 10_000,
        debug: [],
        spawn_opt: [fullsweep_after: 10],
        wasi: nil,
        name: nil
      ]

      {:ok, pid} =
        Components.start_link(
          [bytes: component(), imports: imports(), store: nil, engine: nil] ++ opts
        )

      assert Components.call_function(pid, "run", []) == {:ok, 1}
      assert fullsweep_after(pid) == 10

      {:ok, pid} =
        Wasmex.start_link([bytes: @wat, imports: @imports, links: nil, store: nil] ++ opts)

      assert Wasmex.call_function(pid, "i32", [1]) == {:ok, [1]}
      assert fullsweep_after(pid) == 10
      assert_raise ArgumentError, fn -> Components.start_link(bytes: component(), timout: 1) end
    end

    defp fullsweep_after(pid),
      do: pid |> Process.info(:garbage_collection) |> elem(1) |> Keyword.get(:fullsweep_after)

    test "a component that can't start is an error, and its parent lives on" do
      test = self()

      # Not trapping exits.
      {pid, monitor} =
        spawn_monitor(fn ->
          send(test, {:answer, Components.start_link(bytes: component(), imports: %{})})
          receive do: (:stop -> :ok)
        end)

      assert_receive {:answer, {:error, text}} when is_binary(text)
      assert text =~ "wait"
      refute_receive {:DOWN, ^monitor, _, _, _}, 50
      assert Process.info(pid, :messages) == {:messages, []}
      send(pid, :stop)
    end

    test "text of components with the older references" do
      older = fn realloc ->
        ~s|(component (core module $m (memory (export "mem") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "f") (param i32 i32)))
          (core instance $i (instantiate $m))
          (func (export "f") (param "s" string)
            (canon lift (core func $i "f") #{realloc})))|
      end

      for text <- [
            ~s|(memory $i "mem") (realloc (func $i "realloc"))|,
            ~s|(memory (core memory $i "mem")) (realloc (core func $i "realloc"))|
          ],
          do: assert({:ok, <<0, "asm", _::binary>>} = Wat.to_wasm(older.(text)))
    end
  end

  defp component do
    ~S"""
    (component
      (import "wait" (func $wait))
      (core func $wait (canon lower (func $wait)))
      (core module $m (import "" "wait" (func $wait))
        (func (export "run") (result i32) (call $wait) (i32.const 1)))
      (core instance $i (instantiate $m (with "" (instance (export "wait" (func $wait))))))
      (func (export "run") (result u32) (canon lift (core func $i "run"))))
    """
  end

  defp imports(wait \\ fn -> nil end), do: %{"wait" => {:fn, wait}}

  describe "components" do
    @numbers """
    (component
      (core module $m (memory (export "memory") 1)
        (func (export "same") (param i32) (result i32) (local.get 0))
        (func (export "size") (param i32 i32) (result i32) (local.get 1))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
      (core instance $i (instantiate $m))
      (func (export "char") (param "x" char) (result char) (canon lift (core func $i "same")))
      (func (export "bytes") (param "x" (list u8)) (result u32)
        (canon lift (core func $i "size") (memory $i "memory") (realloc (func $i "realloc")))))
    """

    test "a code point that is none is told, whatever its sign, and bytes may be a binary" do
      {:ok, pid} = Components.start_link(bytes: @numbers)

      for {code, wrong} <- [{-1, [-1]}, {0xD800, [0xD800]}, {0x110000, [0x110000]}],
          value <- [code, wrong] do
        assert Components.call_function(pid, "char", [value]) ==
                 {:error, "Invalid character code point: #{code}"}
      end

      assert Components.call_function(pid, "char", [?a]) == {:ok, "a"}

      assert Components.call_function(pid, "char", [[-1, 2]]) ==
               {:error, "Expected a single char"}

      for bytes <- [<<1, 2>>, [1, 2]],
          do: assert({:ok, 2} = Components.call_function(pid, "bytes", [bytes]))
    end

    test "after a call that failed, what Wasmex 0.15 says" do
      {:ok, pid} =
        Components.start_link(bytes: component(), imports: imports(fn -> raise "no" end))

      assert {:error, "Error during function excecution: " <> _} =
               Components.call_function(pid, "run", [])

      text = "wasm trap: cannot enter component instance"

      assert Components.call_function(pid, "run", []) ==
               {:error, "Error during function excecution (#{text}): #{text}"}
    end

    test "an import that outlasts the call's timeout: the caller exits, the next call works" do
      test = self()

      wait = fn ->
        send(test, {:waiting, self()})
        receive do: (:go -> nil)
      end

      {:ok, pid} = Components.start_link(bytes: component(), imports: imports(wait))

      # A caller that lives on, and one that does not.
      for call <- [
            fn -> catch_exit(Components.call_function(pid, "run", [], 20)) end,
            fn -> spawn(fn -> Components.call_function(pid, "run", [], 20) end) end
          ] do
        caller = Task.async(call)
        assert_receive {:waiting, server}
        result = Task.await(caller, 60_000)
        if is_pid(result), do: wait_for_exit(result), else: assert({:timeout, _} = result)
        send(server, :go)
        next = Task.async(fn -> Components.call_function(pid, "run", []) end)
        assert_receive {:waiting, ^server}
        send(server, :go)
        assert Task.await(next, 60_000) == {:ok, 1}
      end
    end

    defp wait_for_exit(pid) do
      monitor = Process.monitor(pid)
      assert_receive {:DOWN, ^monitor, _, _, _}
    end

    @wit "package a:b; interface i { resource my-counter { constructor(n: u8); get: func() -> u8; } } world w { export i; import i; }"

    test "resources are found by atoms, too" do
      for name <- [:my_counter, :"my-counter", "my-counter", "my_counter"] do
        assert {:ok, %{name: "my-counter"}} =
                 GuestResource.Discovery.get_resource_from_wit(@wit, name)

        assert {:ok, %{name: "my-counter"}} =
                 HostResource.Discovery.get_resource_from_wit(@wit, name)
      end

      assert {:error, :not_found} = GuestResource.Discovery.get_resource_from_wit(@wit, :other)
    end

    test "a resource's functions take no more arguments than they have" do
      {instance, _store} = Guests.instance("resources", Guests.resources_imports())
      path = ["test:resources/counters@1.0.0", "counter"]

      assert GuestResource.new(instance, path, [1, 2]) ==
               {:error, "Expected 1 guest resource arguments, got 2"}

      assert GuestResource.new(instance, path, []) ==
               {:error, "Expected 1 guest resource arguments, got 0"}

      {:ok, counter} = GuestResource.new(instance, path, [1])

      assert GuestResource.call(counter, :method, :add, [1, 2]) ==
               {:error, "Expected 1 guest resource arguments, got 2"}

      assert GuestResource.call(counter, :method, :add, [1]) == {:ok, 2}
    end
  end

  describe "arguments" do
    test "improper lists and other things that are no imports name the key" do
      {:ok, store} = Store.new()
      {:ok, module} = Module.compile(store, @wat)

      for {imports, key} <- [
            {%{"memory" => [1 | 2]}, "memory"},
            {%{"memory" => [1]}, "memory"},
            {%{env: [f: {:fn, [], [], 1}]}, "env"},
            {%{env: %{f: [1 | 2]}}, "env.f"},
            {%{env: %{f: {:fn, [:i32 | :i64], [], &__MODULE__.identity/2}}}, "env.f"},
            {%{env: %{f: {:fn, [:i32], :i32, &__MODULE__.identity/2}}}, "env.f"},
            {%{env: %{f: {:fn, %{}, [], &__MODULE__.identity/2}}}, "env.f"}
          ] do
        assert_raise ArgumentError, ~r/#{key}/, fn ->
          Wasmex.start_link(%{bytes: @wat, imports: imports})
        end

        assert_raise ArgumentError, ~r/#{key}/, fn -> Instance.new(store, module, imports) end

        assert_raise ArgumentError, ~r/#{key}/, fn ->
          Instance.instantiate(store, module, imports)
        end
      end

      for imports <- [[1 | 2], 5, nil, %{[1 | 2] => %{}}],
          do: assert_raise(ArgumentError, fn -> Instance.new(store, module, imports) end)
    end

    test "params that are not a list" do
      pid = start()

      for params <- [[1 | 2], nil, 5, %{}, "x"],
          do: assert({:error, _text} = Wasmex.call_function(pid, "i32", params))

      assert Wasmex.call_function(pid, "i32", [1]) == {:ok, [1]}
    end
  end

  describe "the memory of an instance" do
    # The host is told its size by an import and by the instance.
    defp sizes(wat) do
      {:ok, pid} =
        Wasmex.start_link(%{
          bytes:
            ~s|(module (import "env" "f" (func $f (result i32))) #{wat} (func (export "call") (result i32) (call $f)))|,
          imports: %{
            env: %{
              f: {:fn, [], [:i32], fn context -> Memory.size(context.caller, context.memory) end}
            }
          }
        })

      {:ok, [from_import]} = Wasmex.call_function(pid, "call", [])
      {:ok, memory} = Wasmex.memory(pid)
      {:ok, store} = Wasmex.store(pid)
      {from_import, Memory.size(store, memory)}
    end

    test "is the one named memory, else the first, for imports too" do
      page = 65_536
      assert sizes(~s|(memory (export "memory") 2)|) == {2 * page, 2 * page}
      assert sizes(~s|(memory (export "c") 3)|) == {3 * page, 3 * page}

      assert sizes(~s|(memory (export "a") 1) (memory (export "memory") 2)|) ==
               {2 * page, 2 * page}

      assert sizes(~s|(memory (export "b") 2) (memory (export "a") 1)|) == {2 * page, 2 * page}
    end

    test "is the calling instance's, where several are linked" do
      library = ~S|(module (import "env" "f" (func $f (result i32))) (memory (export "c") 3)
        (func (export "size") (result i32) (call $f)))|

      main =
        ~S|(module (import "lib" "size" (func $size (result i32))) (import "env" "f" (func $f (result i32)))
        (memory (export "memory") 1)
        (func (export "theirs") (result i32) (call $size)) (func (export "ours") (result i32) (call $f)))|

      size = fn context -> Memory.size(context.caller, context.memory) end

      {:ok, pid} =
        Wasmex.start_link(%{
          bytes: main,
          links: %{lib: %{bytes: library}},
          imports: %{env: %{f: {:fn, [], [:i32], size}}}
        })

      assert Wasmex.call_function(pid, "theirs", []) == {:ok, [3 * 65_536]}
      assert Wasmex.call_function(pid, "ours", []) == {:ok, [65_536]}
    end
  end

  test "names of a guest are shown and not obeyed" do
    {:ok, store} = Store.new()

    {:ok, module} =
      Module.compile(store, ~S|(module (import "e\1b[31m\0afake" "f\e2\80\ae" (func)))|)

    {:error, text} = Instance.new(store, module, %{})
    assert text == ~S|unknown import: `e\e[31m\nfake::f\u202E` has not been defined|
    {:error, error} = Instance.instantiate(store, module, %{})
    refute Exception.message(error) =~ ~r/[\e\n\x{202e}]/u
  end

  test "a missing import says what to do, where there is something to do" do
    wat = &~s|(module (import "wasi_snapshot_preview1" "#{&1}" (func (param i32) (result i32))))|

    message = fn name, {:ok, store} ->
      {:ok, module} = Module.compile(store, wat.(name))
      {:error, error} = Instance.instantiate(store, module, %{})
      Exception.message(error)
    end

    assert message.("fd_close", Store.new()) =~ "pass `wasi: true`"
    text = message.("sock_unheard_of", Store.new_wasi(%Wasmex.Wasi.WasiOptions{}))
    assert text =~ "this host does not provide `wasi_snapshot_preview1::sock_unheard_of`"
    refute text =~ "enable"
  end

  test "a _start of the wrong type is called that" do
    for {wat, text} <- [
          {~S|(func (export "_start") (param i32))|, "(i32) -> ()"},
          {~S|(func (export "_start") (result i32 f32) unreachable)|, "() -> (i32, f32)"},
          {~S|(memory (export "_start") 1)|, "not a function but a memory"}
        ] do
      assert {:error, %Error{reason: :not_a_program} = error} = Wasmex.run("(module #{wat})")
      assert Exception.message(error) =~ text
      refute Exception.message(error) =~ "without a function"
    end
  end
end
