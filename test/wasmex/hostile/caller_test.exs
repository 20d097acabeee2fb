defmodule Wasmex.Hostile.CallerTest do
  # Callers that ask for what makes no sense, or die.
  use ExUnit.Case, async: true

  import Wasmex.Guest, only: [instance: 2, instance: 3, component: 2, component: 3, wait_until: 1]

  alias Wasmex.Components
  alias Wasmex.Components.GuestResource
  alias Wasmex.{Instance, Pipe, Store, StoreLimits}
  alias Wasmex.Wasi.WasiOptions

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

      for server <- [core, pid] do
        GenServer.cast(server, :what)
        assert {:error, "unknown request" <> _} = GenServer.call(server, :what)
      end

      assert Wasmex.call_function(core, "one", []) == {:ok, [1]}
      assert Components.call_function(pid, "one", []) == {:ok, 1}
    end

    test "that has a spent store renewed does so in the call's time" do
      wat = """
      (component
        (import "cb" (func $cb))
        (core func $cb' (canon lower (func $cb)))
        (core module $m (import "" "cb" (func $cb)) (func $s (call $cb)) (start $s)
          (func (export "trap") unreachable) (func (export "one") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m (with "" (instance (export "cb" (func $cb'))))))
        (func (export "trap") (canon lift (core func $i "trap")))
        (func (export "one") (result u32) (canon lift (core func $i "one"))))
      """

      starts = :counters.new(1, [])

      # The second start takes longer than the call that needs it.
      slow = fn ->
        :counters.add(starts, 1, 1)
        if :counters.get(starts, 1) == 2, do: Process.sleep(1_500)
        nil
      end

      imports = %{"cb" => {:fn, slow}}
      opts = [bytes: wat, imports: imports, on_trap: :renew, store: nil, value_format: :direct]
      {:ok, pid} = Components.start_link(opts)
      assert {:error, %Wasmex.Trap{}} = GenServer.call(pid, {:call_function, ["trap"], [], 5_000})
      assert {:error, _} = GenServer.call(pid, {:call_function, ["one"], [], 1_000})
      assert {:ok, 1} = GenServer.call(pid, {:call_function, ["one"], [], 60_000})
      assert :counters.get(starts, 1) == 3
    end

    test "does not begin the call of a caller that died while it waited" do
      {:ok, pid} = Components.start_link(bytes: @spin)
      :ok = :sys.suspend(pid)
      dead = spawn(fn -> Components.call_function(pid, "spin", [], :infinity) end)
      wait_until(fn -> Process.info(pid, :message_queue_len) != {:message_queue_len, 0} end)
      ref = Process.monitor(dead)
      Process.exit(dead, :kill)
      assert_receive {:DOWN, ^ref, :process, _, _}, 30_000
      :ok = :sys.resume(pid)
      # A call that is begun and cut off spends the store.
      assert Components.call_function(pid, "one", []) == {:ok, 1}
    end

    test "is not started with what it would ignore" do
      {:ok, core} = Store.new(%StoreLimits{memory_size: 65_536})
      {:ok, store} = Components.Store.new()

      for {opts, text} <- [
            {[store: core], ":store in"},
            {[store: :x], ":store in"},
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

      assert_raise ArgumentError, ~r/milliseconds or :infinity as timeout/, fn ->
        GuestResource.new(pid, path, [1], "5")
      end

      :ok = :sys.resume(pid)
      assert {:ok, _} = GuestResource.new(pid, path, [1], 30_000)
    end
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

  # A function's first call has to look it up, which must not cost the caller its turn.
  test "those who wait for a store have it in the order in which they came" do
    me = self()

    wait = fn ->
      send(me, {:waits, self()})
      receive do: (:go -> nil)
    end

    wat =
      ~s|(module (import "e" "f" (func $f)) (global $n (mut i32) (i32.const 0)) (func (export "hold") (call $f))
        (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))|

    {:ok, core} = Store.new()
    module = instance(core, wat, %{e: %{f: {:fn, [], [], fn _context -> wait.() end}}})

    wat = """
    (component
      (import "f" (func $f))
      (core func $f' (canon lower (func $f)))
      (core module $m (import "" "f" (func $f)) (global $n (mut i32) (i32.const 0)) (func (export "hold") (call $f))
        (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))
      (core instance $i (instantiate $m (with "" (instance (export "f" (func $f'))))))
      (func (export "hold") (canon lift (core func $i "hold")))
      (func (export "next") (result u32) (canon lift (core func $i "next"))))
    """

    {:ok, store} = Components.Store.new()
    component = component(store, wat, %{"f" => {:fn, wait}})

    for call <- [&Instance.call(module, &1, []), &Components.Instance.call(component, &1, [])] do
      holder = Task.async(fn -> call.("hold") end)
      assert_receive {:waits, pid}

      waiting =
        for _ <- 1..3 do
          task = Task.async(fn -> call.("next") end)
          wait_until(fn -> Process.info(task.pid, :status) == {:status, :waiting} end)
          task
        end

      send(pid, :go)
      assert {:ok, _} = Task.await(holder, :infinity)
      results = for {:ok, result} <- Task.await_many(waiting, :infinity), do: List.wrap(result)
      assert results == [[1], [2], [3]]
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
    assert Task.await(task, :infinity) == {:ok, [0]}
    Task.await(reader, :infinity)
  end

  test "calls that are to be answered later say at once what is wrong with them" do
    {:ok, store} = Components.Store.new()
    instance = component(store, @spin)
    from = {self(), make_ref()}

    for {path, params} <- [{"one", 1}, {"one", [1 | 2]}, {1, []}] do
      assert_raise ArgumentError, fn ->
        Components.Instance.call_function(instance, path, params, from)
      end
    end
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

    assert for(bytes <- [a, b, a], {:ok, pid} = One.start_link(bytes: bytes), do: One.one(pid)) ==
             [ok: 1, ok: 2, ok: 1]

    {:ok, pid} = One.start_link(bytes: a)
    assert_raise ArgumentError, ~r/timeuot/, fn -> One.one(pid, timeuot: 5) end

    assert_raise ArgumentError, ~r/:timeout in a function of a component/, fn ->
      One.one(pid, timeout: nil)
    end

    for given <- [[bytes: nil], [bytes: a, path: "x"], [component: a]] do
      assert_raise ArgumentError, ~r/path:, bytes: or component:/, fn -> One.start_link(given) end
    end

    # An engine that is asked for twice is the same.
    [{:ok, first}, {:ok, again}] =
      for _ <- 1..2 do
        options = %Wasmex.Compiler.Options{}
        Wasmex.Component.compiled(One, {:bytes, a}, Wasmex.Engine.default(), options)
      end

    assert first == again
  end
end
