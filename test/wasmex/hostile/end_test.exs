defmodule Wasmex.Hostile.EndTest do
  # What ends in the worst moment.
  use ExUnit.Case, async: true

  import Wasmex.Guest, only: [instance: 3, component: 2, component: 3]

  alias Wasmex.Components
  alias Wasmex.Components.{Component, GuestResource}
  alias Wasmex.{Engine, EngineConfig, Error, Instance, Store, StoreLimits, StoreOrCaller}

  defp killed(function) do
    pid = spawn(function)
    assert_receive :in_import, 30_000
    Process.sleep(20)
    ref = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^ref, :process, ^pid, :killed}, 30_000
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

      drop = fn ->
        Process.put(:dropped, GuestResource.drop(Process.get(:handle)))
        nil
      end

      instance = component(store, wat, %{"cb" => {:fn, drop}})
      {:ok, handle} = Components.Instance.call(instance, "make", [])
      Process.put(:handle, handle)
      assert Components.Instance.call(instance, "use", [handle]) == {:ok, nil}
      assert {:error, _} = Process.get(:dropped)
      assert GuestResource.alive?(handle)
      assert GuestResource.drop(handle) == :ok
      refute GuestResource.alive?(handle)
    end

    test "after its last handle is gone still converts values in its destructor" do
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
          say = fn text ->
            send(me, {:said, text})
            nil
          end

          instance = component(store, wat, %{"cb" => {:fn, say}})
          {:ok, _lost} = Components.Instance.call(instance, "make", [])
          :ok
        end),
        :infinity
      )

      assert said(ping) == "bye"
      assert Components.Instance.call(ping, "ping", []) == {:ok, 5}
    end

    # A handle is dropped by the next call after its process was cleared away.
    defp said(ping) do
      assert Components.Instance.call(ping, "ping", []) == {:ok, 5}

      receive do
        {:said, text} -> text
      after
        10 -> said(ping)
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
end
