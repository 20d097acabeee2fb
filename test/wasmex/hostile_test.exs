defmodule Wasmex.HostileTest do
  # Guests and callers that take more than is theirs, or end in the worst moment.
  use ExUnit.Case, async: true

  alias Wasmex.{
    Engine,
    EngineConfig,
    Error,
    Instance,
    Module,
    Pipe,
    Store,
    StoreLimits,
    StoreOrCaller
  }

  alias Wasmex.Components
  alias Wasmex.Components.{Component, GuestResource}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions, WasiP2Options}

  defp instance(store, wat, imports \\ %{}) do
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, imports)
    instance
  end

  defp component(store, wat, imports \\ %{}) do
    {:ok, component} = Component.compile(Engine.default(), wat)
    {:ok, instance} = Components.Instance.instantiate(store, component, imports)
    instance
  end

  defp killed(function) do
    pid = spawn(function)
    assert_receive :in_import, 30_000
    Process.sleep(20)
    ref = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^ref, :process, ^pid, :killed}, 30_000
  end

  describe "memory" do
    test "that tables take counts as what a store may have" do
      wat =
        ~s|(module (memory 1) (table 0 funcref) (func (export "grow") (param i32) (result i32) (table.grow 0 (ref.null func) (local.get 0))))|

      {:ok, store} = Store.new(%StoreLimits{memory_size: 2_000_000})
      instance = instance(store, wat)
      assert Instance.call(instance, "grow", [200_000]) == {:ok, [0]}
      assert Instance.call(instance, "grow", [200_000]) == {:ok, [-1]}
      assert Instance.call(instance, "grow", [49_000]) == {:ok, [200_000]}

      program =
        ~s|(module (memory (export "memory") 1) (table 150000000 funcref) (func (export "_start")))|

      assert {:error, error} = Wasmex.run(program, [], max_memory: 1_000_000)
      assert Exception.message(error) =~ "table"
    end

    test "of a result is bounded by what the terms take, not by what they are made of" do
      # Many lists that are the same 20,000 records of 40 bytes.
      fields = Enum.map_join(1..40, " ", &~s|(field "f#{&1}" u8)|)

      wat = """
      (component
        (core module $m
          (memory (export "memory") 16)
          (func (export "f") (param i32) (result i32) (local i32)
            (loop $l
              (i32.store (i32.add (i32.const 64) (i32.mul (local.get 1) (i32.const 8))) (i32.const 16384))
              (i32.store (i32.add (i32.const 68) (i32.mul (local.get 1) (i32.const 8))) (i32.const 20000))
              (local.set 1 (i32.add (local.get 1) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get 1) (local.get 0))))
            (i32.store (i32.const 0) (i32.const 64))
            (i32.store (i32.const 4) (local.get 0))
            (i32.const 0)))
        (core instance $i (instantiate $m))
        (type $r' (record #{fields}))
        (export $r "r" (type $r'))
        (type $l (list $r))
        (func (export "f") (param "n" u32) (result (list $l))
          (canon lift (core func $i "f") (memory (core memory $i "memory")))))
      """

      {:ok, store} = Components.Store.new(%StoreLimits{memory_size: 2_000_000})
      instance = component(store, wat)
      assert {:ok, [list]} = Components.Instance.call(instance, "f", [1])
      assert length(list) == 20_000
      assert {:error, error} = Components.Instance.call(instance, "f", [150])
      assert Exception.message(error) =~ "too much data"
    end

    test "before the end of a pipe is not filled without a bound" do
      {:ok, pipe} = Pipe.new()
      assert Pipe.seek(pipe, 1_099_511_627_776) == :ok
      assert {:error, %Error{reason: :full}} = Pipe.write(pipe, "x")
      Pipe.seek(pipe, 3)
      assert {:ok, 1} = Pipe.write(pipe, "x")
      Pipe.seek(pipe, 0)
      assert Pipe.read(pipe) == <<0, 0, 0, "x">>
    end
  end

  describe "WASI" do
    @tag :tmp_dir
    test "lets a guest open so many files and no more", %{tmp_dir: dir} do
      File.write!(Path.join(dir, "a"), "x")

      wat = """
      (module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "a")
        (func (export "open") (param i32)
          (loop $l
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16))
              (then unreachable))
            (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (br_if $l (local.get 0)))))
      """

      open = [%PreopenOptions{path: dir, alias: "/", read_only: true}]
      {:ok, store} = Store.new_wasi(%WasiOptions{preopen: open})
      instance = instance(store, wat)
      assert {:ok, []} = Instance.call(instance, "open", [900])
      assert {:error, _} = Instance.call(instance, "open", [1_000])
      assert File.read!(Path.join(dir, "a")) == "x"
    end

    test "gives as much randomness at once as a slice allows" do
      wat = """
      (module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 40)
        (func (export "random") (param i32) (result i32) (call $random (i32.const 0) (local.get 0))))
      """

      {:ok, store} = Store.new_wasi(%WasiOptions{})
      instance = instance(store, wat)
      assert {:ok, [0]} = Instance.call(instance, "random", [1_000_000])
      assert {:error, _} = Instance.call(instance, "random", [2_000_000])
    end

    test "has a pipe that Elixir has lost, and waits for nobody" do
      wat = """
      (module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 0) "\\40\\00\\00\\00\\00\\80\\00\\00")
        (func (export "read") (result i32)
          (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
          (i32.load (i32.const 16)))
        (func (export "write") (result i32)
          (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
      """

      task =
        Task.async(fn ->
          {:ok, stdin} = Pipe.new(mode: :stream)
          {:ok, stdout} = Pipe.new(mode: :stream, capacity: 1_000)
          Pipe.write(stdin, "last words")
          {:ok, store} = Store.new_wasi(%WasiOptions{stdin: stdin, stdout: stdout})
          instance(store, wat)
        end)

      instance = Task.await(task)
      assert {:ok, [10]} = Instance.call(instance, "read", [], timeout: 30_000)
      assert {:ok, [0]} = Instance.call(instance, "read", [], timeout: 30_000)

      for _ <- 1..3,
          do: assert({:ok, [0]} = Instance.call(instance, "write", [], timeout: 30_000))
    end

    test "finds no end where nothing was asked for" do
      wat = """
      (component
        (import "wasi:io/error@0.2.0" (instance $err (export "error" (type (sub resource)))))
        (alias export $err "error" (type $error))
        (import "wasi:io/streams@0.2.0" (instance $streams
          (alias outer 1 $error (type $e'))
          (export "error" (type $e (eq $e')))
          (type $se' (variant (case "last-operation-failed" (own $e)) (case "closed")))
          (export "stream-error" (type $se (eq $se')))
          (export "input-stream" (type $is (sub resource)))
          (export "[method]input-stream.read" (func (param "self" (borrow $is)) (param "len" u64) (result (result (list u8) (error $se)))))))
        (alias export $streams "input-stream" (type $is))
        (import "wasi:cli/stdin@0.2.0" (instance $stdin
          (alias outer 1 $is (type $is'))
          (export "input-stream" (type $i2 (eq $is')))
          (export "get-stdin" (func (result (own $i2))))))
        (core module $mem (memory (export "memory") 1)
          (global $next (mut i32) (i32.const 1024))
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
            (local.set 4 (global.get $next)) (global.set $next (i32.add (local.get 4) (local.get 3))) (local.get 4)))
        (core instance $mem (instantiate $mem))
        (alias export $streams "[method]input-stream.read" (func $read))
        (alias export $stdin "get-stdin" (func $get))
        (core func $read' (canon lower (func $read) (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
        (core func $get' (canon lower (func $get)))
        (core module $m
          (import "" "read" (func $read (param i32 i64 i32)))
          (import "" "get" (func $get (result i32)))
          (import "" "memory" (memory 1))
          (global $h (mut i32) (i32.const -1))
          ;; 100 + case for an error, else the length
          (func (export "f") (param i64) (result i32)
            (if (i32.eq (global.get $h) (i32.const -1)) (then (global.set $h (call $get))))
            (call $read (global.get $h) (local.get 0) (i32.const 16))
            (if (result i32) (i32.load8_u (i32.const 16))
              (then (i32.add (i32.const 100) (i32.load8_u (i32.const 20))))
              (else (i32.load (i32.const 24))))))
        (core instance $i (instantiate $m (with "" (instance (export "read" (func $read')) (export "get" (func $get')) (export "memory" (memory $mem "memory"))))))
        (func (export "f") (param "n" u64) (result u32) (canon lift (core func $i "f"))))
      """

      for mode <- [:stream, :buffer] do
        {:ok, pipe} = Pipe.new(mode: mode)
        Pipe.write(pipe, "hello")
        if mode == :buffer, do: Pipe.seek(pipe, 0)
        {:ok, store} = Components.Store.new_wasi(%WasiP2Options{stdin: pipe})
        instance = component(store, wat)

        assert for(n <- [2, 0, 3], do: Components.Instance.call(instance, "f", [n])) == [
                 ok: 2,
                 ok: 0,
                 ok: 3
               ]
      end
    end
  end

  describe "a process that is killed" do
    test "while a dirty scheduler collects garbage for it leaves the store to others" do
      {:ok, engine} =
        Engine.new(%EngineConfig{gc: true, function_references: true, reference_types: true})

      {:ok, store} = Store.new(nil, engine)
      me = self()

      wat = """
      (module
        (type $n (struct (field (ref null $n)) (field i64)))
        (import "e" "f" (func $f))
        (global $g (mut (ref null $n)) (ref.null $n))
        (func (export "fill") (param i32)
          (loop $l (global.set $g (struct.new $n (global.get $g) (i64.const 1)))
            (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
        (func (export "run") (call $f))
        (func (export "one") (result i32) (i32.const 1)))
      """

      collect = fn context ->
        send(me, :in_import)
        for _ <- 1..10_000, do: Store.gc(context.caller)
        nil
      end

      instance = instance(store, wat, %{e: %{f: {:fn, [], [], collect}}})
      {:ok, []} = Instance.call(instance, "fill", [200_000])

      for _ <- 1..5 do
        killed(fn -> Instance.call(instance, "run", []) end)
        assert Instance.call(instance, "one", [], timeout: 30_000) == {:ok, [1]}
      end
    end

    test "within a budget of fuel gives it to nobody" do
      {:ok, engine} = Engine.new(%EngineConfig{consume_fuel: true})
      {:ok, store} = Store.new(nil, engine)
      me = self()

      wat =
        ~s|(module (import "e" "f" (func $f)) (func (export "run") (call $f)) (func (export "spin") (loop br 0)))|

      nested = fn context ->
        send(me, :in_import)
        Instance.call(context.instance, "spin", [], fuel: 1_000_000_000_000)
        nil
      end

      instance = instance(store, wat, %{e: %{f: {:fn, [], [], nested}}})
      :ok = StoreOrCaller.set_fuel(store, 1_000)
      killed(fn -> Instance.call(instance, "run", []) end)
      assert {:ok, left} = StoreOrCaller.get_fuel(store)
      assert left in 900..1_000
    end
  end

  describe "a component" do
    @ping """
    (component
      (core module $m (func (export "ping") (result i32) (i32.const 5)))
      (core instance $i (instantiate $m))
      (func (export "ping") (result u32) (canon lift (core func $i "ping"))))
    """

    test "whose resource is dropped while it has it goes on, and so does the handle" do
      wat = """
      (component
        (import "cb" (func $cb))
        (core module $m
          (import "" "cb" (func $cb))
          (import "" "new" (func $new (param i32) (result i32)))
          (func (export "make") (result i32) (call $new (i32.const 7)))
          (func (export "use") (param i32) (call $cb)))
        (type $r' (resource (rep i32)))
        (core func $new (canon resource.new $r'))
        (core func $cb' (canon lower (func $cb)))
        (core instance $i (instantiate $m (with "" (instance (export "new" (func $new)) (export "cb" (func $cb'))))))
        (export $r "r" (type $r'))
        (func (export "make") (result (own $r)) (canon lift (core func $i "make")))
        (func (export "use") (param "x" (borrow $r)) (canon lift (core func $i "use"))))
      """

      {:ok, store} = Components.Store.new()
      drop = fn -> Process.put(:dropped, GuestResource.drop(Process.get(:handle))) && nil end
      instance = component(store, wat, %{"cb" => {:fn, drop}})
      {:ok, handle} = Components.Instance.call(instance, "make", [])
      Process.put(:handle, handle)
      assert Components.Instance.call(instance, "use", [handle]) == {:ok, nil}
      assert {:error, _} = Process.get(:dropped)
      assert GuestResource.alive?(handle)
      assert GuestResource.drop(handle) == :ok
      refute GuestResource.alive?(handle)
    end

    test "that nobody holds any more still converts what its destructor says" do
      wat = """
      (component
        (import "cb" (func $cb (param "s" string)))
        (core module $mem (memory (export "memory") 1) (data (i32.const 0) "bye"))
        (core instance $mem (instantiate $mem))
        (core func $cb' (canon lower (func $cb) (memory (core memory $mem "memory"))))
        (core module $d
          (import "" "cb" (func $cb (param i32 i32)))
          (func (export "dtor") (param i32) (call $cb (i32.const 0) (i32.const 3))))
        (core instance $d (instantiate $d (with "" (instance (export "cb" (func $cb'))))))
        (type $r' (resource (rep i32) (dtor (core func $d "dtor"))))
        (core func $new (canon resource.new $r'))
        (core module $m
          (import "" "new" (func $new (param i32) (result i32)))
          (func (export "make") (result i32) (call $new (i32.const 7))))
        (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
        (export $r "r" (type $r'))
        (func (export "make") (result (own $r)) (canon lift (core func $i "make"))))
      """

      {:ok, store} = Components.Store.new()
      ping = component(store, @ping)
      me = self()

      Task.await(
        Task.async(fn ->
          say = fn text -> send(me, {:said, text}) && nil end
          instance = component(store, wat, %{"cb" => {:fn, say}})
          {:ok, _lost} = Components.Instance.call(instance, "make", [])
          :ok
        end)
      )

      assert said(ping, 500) == "bye"
      assert Components.Instance.call(ping, "ping", []) == {:ok, 5}
    end

    # A handle is dropped by the next call after its process was cleared away.
    defp said(_ping, 0), do: flunk("the destructor did not run")

    defp said(ping, tries) do
      assert Components.Instance.call(ping, "ping", []) == {:ok, 5}

      receive do
        {:said, text} -> text
      after
        10 -> said(ping, tries - 1)
      end
    end

    test "whose start fails spends the store at once, and one that is refused does not" do
      failing =
        String.replace(
          @ping,
          "(core module $m ",
          "(core module $m (func $s unreachable) (start $s) "
        )

      {:ok, failing} = Component.compile(Engine.default(), failing)
      {:ok, store} = Components.Store.new(%StoreLimits{memory_size: 65_536})
      ping = component(store, @ping)

      {:ok, large} =
        Component.compile(
          Engine.default(),
          "(component (core module $m (memory 2)) (core instance (instantiate $m)))"
        )

      assert {:error, _} = Components.Instance.instantiate(store, large, %{})
      assert Components.Instance.call(ping, "ping", []) == {:ok, 5}

      assert {:error, %Wasmex.Trap{code: :unreachable}} =
               Components.Instance.instantiate(store, failing, %{})

      assert {:error, %Error{reason: :spent}} = Components.Instance.call(ping, "ping", [])
    end
  end

  test "an import that Elixir calls first does not hide the guest's memory from itself" do
    wat = """
    (module
      (import "e" "f" (func $f))
      (memory (export "memory") 1)
      (export "f" (func $f))
      (func (export "run") (call $f)))
    """

    me = self()
    tell = fn context -> send(me, {:memory, context.memory && context.memory.resource}) && nil end
    {:ok, store} = Store.new()
    instance = instance(store, wat, %{e: %{f: {:fn, [], [], tell}}})
    {:ok, []} = Instance.call(instance, "f", [])
    assert_received {:memory, nil}
    {:ok, []} = Instance.call(instance, "run", [])
    assert_received {:memory, memory} when is_reference(memory)
  end

  test "lists without a proper end are errors wherever a list is wanted" do
    {:ok, store} = Store.new()

    wat =
      ~s|(module (import "e" "f" (func $f (result i32 i32))) (func (export "add") (param i32 i32) (result i32) (local.get 0)) (func (export "ref") (param externref)) (func (export "f") (result i32 i32) (call $f)))|

    instance = instance(store, wat, %{e: %{f: {:fn, [], [:i32, :i32], fn _ -> [1, 2 | 3] end}}})

    for {name, params} <- [{"add", [1 | 2]}, {"add", [1, 2 | 3]}, {"ref", [1 | 2]}, {"f", []}],
        do: assert({:error, _} = Instance.call(instance, name, params))

    assert Instance.call(instance, "add", [1, 2]) == {:ok, [1]}

    {types, _store} =
      Wasmex.ComponentGuests.instance("types", Wasmex.ComponentGuests.types_imports())

    echo = "test:types/echo@1.2.0"

    for {function, value} <- [
          {"echo-list-string", ["a" | "b"]},
          {"echo-char", [65 | 66]},
          {"echo-bytes", [1 | 2]},
          {"echo-flags", ["read" | "x"]}
        ] do
      assert {:error, _} = Components.Instance.call(types, {echo, function}, [value])
      assert {:error, _} = Components.Instance.call(types, {echo, function}, [value | value])
    end
  end

  describe "a server" do
    @spin """
    (component
      (core module $m
        (func (export "spin") (loop br 0))
        (func (export "one") (result i32) (i32.const 1)))
      (core instance $i (instantiate $m))
      (func (export "spin") (canon lift (core func $i "spin")))
      (func (export "one") (result u32) (canon lift (core func $i "one"))))
    """

    test "survives what one caller asks wrongly" do
      {:ok, core} =
        Wasmex.start_link(%{bytes: ~s|(module (func (export "one") (result i32) i32.const 1))|})

      {:ok, pid} = Components.start_link(bytes: @spin)

      for params <- [[1 | 2], [1], %{}, [self()]], name <- ["one", <<255>>, "nope"] do
        assert {:error, text} = Wasmex.call_function(core, name, params)
        assert is_binary(text)
      end

      # More parameters than there are do no harm in this API.
      for {name, params} <- [{"one", [1 | 2]}, {"one", %{}}, {<<255>>, []}, {{"a", <<255>>}, [1]}] do
        assert {:error, text} = Components.call_function(pid, name, params)
        assert is_binary(text)
      end

      assert Wasmex.call_function(core, "one", []) == {:ok, [1]}
      assert Components.call_function(pid, "one", []) == {:ok, 1}
    end

    test "does not begin the call of a caller that died while it waited" do
      {:ok, pid} = Components.start_link(bytes: @spin)
      :ok = :sys.suspend(pid)
      dead = spawn(fn -> Components.call_function(pid, "spin", [], :infinity) end)
      wait_for_message(pid, 1_000)
      ref = Process.monitor(dead)
      Process.exit(dead, :kill)
      assert_receive {:DOWN, ^ref, :process, _, _}, 30_000
      :ok = :sys.resume(pid)
      # A call that is begun and cut off spends the store.
      assert Components.call_function(pid, "one", []) == {:ok, 1}
    end

    defp wait_for_message(pid, tries) do
      {:message_queue_len, length} = Process.info(pid, :message_queue_len)
      if length == 0 and tries > 0, do: Process.sleep(5) && wait_for_message(pid, tries - 1)
    end

    test "is not started with what it would ignore" do
      {:ok, core} = Store.new(%StoreLimits{memory_size: 65_536})
      {:ok, store} = Components.Store.new()

      for {opts, text} <- [
            {[store: core], "store:"},
            {[store: :x], "store:"},
            {[store: store, store_limits: %StoreLimits{}], "store_limits:"},
            {[store: store, on_trap: :renew], "on_trap:"}
          ] do
        error =
          assert_raise ArgumentError, fn -> Components.start_link([bytes: @spin] ++ opts) end

        assert Exception.message(error) =~ text
      end
    end

    test "that is busy is waited for no longer than was said" do
      {:ok, pid} =
        Components.start_link(
          bytes: File.read!(Wasmex.ComponentGuests.path("resources")),
          imports: Wasmex.ComponentGuests.resources_imports()
        )

      :ok = :sys.suspend(pid)
      path = ["test:resources/counters@1.0.0", "counter"]
      assert GuestResource.new(pid, path, [1], 50) == {:error, :timeout}
      assert GuestResource.call_static(pid, path, :static, :live, [], 50) == {:error, :timeout}
      :ok = :sys.resume(pid)
      assert {:ok, _} = GuestResource.new(pid, path, [1], 30_000)
    end
  end

  test "a timeout of a year is as good as none" do
    {:ok, stdin} = Pipe.new(mode: :stream)
    {:ok, store} = Store.new_wasi(%WasiOptions{stdin: stdin})

    wat = """
    (module
      (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "read") (result i32)
        (i32.store (i32.const 4) (i32.const 10))
        (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16))))
    """

    instance = instance(store, wat)
    year = 365 * 24 * 3_600_000
    task = Task.async(fn -> Instance.call(instance, "read", [], timeout: year) end)
    reader = Task.async(fn -> Pipe.recv(stdin, year) end)
    Process.sleep(20)
    Pipe.write(stdin, "for both of you")
    Pipe.close(stdin)
    assert Task.await(task, 30_000) == {:ok, [0]}
    Task.await(reader, 30_000)
  end

  test "calls that are to be answered later say at once what is wrong with them" do
    {:ok, store} = Components.Store.new()
    instance = component(store, @spin)
    from = {self(), make_ref()}

    assert_raise ArgumentError, fn ->
      Components.Instance.call_function(instance, "one", 1, from)
    end

    assert_raise ArgumentError, fn -> Components.Instance.call_function(instance, 1, [], from) end
  end

  defmodule One do
    use Wasmex.Component, wit: "test/support/one.wit"
  end

  test "components that only look alike are told apart" do
    bytes = fn number ->
      {:ok, wasm} =
        Wasmex.Wat.to_wasm(String.replace(@spin, "i32.const 1", "i32.const #{number}"))

      wasm
    end

    pad = fn wasm, n -> wasm <> <<0, 10, 1, "x", n::64>> end
    [a, b] = Enum.map([1, 2], bytes)
    # Of as many some have the same hash of 27 bits.
    hashes = for n <- 1..60_000, into: %{}, do: {:erlang.phash2(pad.(a, n)), n}
    twin = Enum.find(1..60_000, &is_map_key(hashes, :erlang.phash2(pad.(b, &1))))
    a = pad.(a, hashes[:erlang.phash2(pad.(b, twin))])
    b = pad.(b, twin)
    assert :erlang.phash2(a) == :erlang.phash2(b)

    before = :persistent_term.info().count

    assert for(bytes <- [a, b, a], {:ok, pid} = One.start_link(bytes: bytes), do: One.one(pid)) ==
             [ok: 1, ok: 2, ok: 1]

    assert :persistent_term.info().count <= before + 5
    {:ok, pid} = One.start_link(bytes: a)
    assert_raise ArgumentError, ~r/timeuot/, fn -> One.one(pid, timeuot: 5) end
  end
end
