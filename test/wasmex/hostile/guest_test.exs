defmodule Wasmex.Hostile.GuestTest do
  # Guests that take more than is theirs.
  use ExUnit.Case, async: true

  import Wasmex.Guest, only: [instance: 2, instance: 3, component: 2]

  alias Wasmex.Components
  alias Wasmex.{Error, Instance, Pipe, Store, StoreLimits}
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  describe "memory" do
    test "that tables take counts as what a store may have" do
      wat =
        ~s|(module (memory 1) (table 0 funcref) (func (export "grow") (param i32) (result i32) (table.grow 0 (ref.null func) (local.get 0))))|

      {:ok, store} = Store.new(%StoreLimits{memory_size: 6_000_000})
      instance = instance(store, wat)
      assert Instance.call(instance, "grow", [200_000]) == {:ok, [0]}
      assert Instance.call(instance, "grow", [200_000]) == {:ok, [-1]}
      assert Instance.call(instance, "grow", [49_000]) == {:ok, [200_000]}

      # What fails before it is asked about gives nothing back.
      wat =
        ~s|(module (memory i64 0) (table i64 0 funcref) (func (export "table") (param i64) (result i64) (table.grow 0 (ref.null func) (local.get 0))) (func (export "memory") (param i64) (result i64) (memory.grow (local.get 0))))|

      {:ok, store} = Store.new(%StoreLimits{memory_size: 6_000_000})
      instance = instance(store, wat)

      for {what, step, most} <- [{"table", 50_000, 250_000}, {"memory", 10, 91}] do
        grown =
          for _ <- 1..20, {:ok, [size]} = Instance.call(instance, what, [step]) do
            Instance.call(instance, what, [-1])
            size
          end

        assert Enum.max(grown) + step <= most
        assert -1 in grown
      end

      # A sum that overflows gives nothing back either, nor to another memory.
      grow = fn name, memory ->
        ~s|(func (export "#{name}") (param i64) (result i64) (memory.grow #{memory} (local.get 0)))|
      end

      wat = "(module (memory $a i64 1) (memory $b i64 1) #{grow.("a", "$a")} #{grow.("b", "$b")})"
      {:ok, store} = Store.new(%StoreLimits{memory_size: 20 * 65_536})
      instance = instance(store, wat)

      pages =
        for _ <- 1..10, name <- ["a", "b"] do
          assert Instance.call(instance, name, [-1]) == {:ok, [-1]}
          {:ok, [before]} = Instance.call(instance, name, [5])
          if before == -1, do: 0, else: 5
        end

      assert Enum.sum(pages) == 15
      {:ok, free} = Store.new()
      unlimited = instance(free, wat)
      assert Instance.call(unlimited, "a", [-1]) == {:ok, [-1]}
      assert {:ok, peak} = Store.memory_peak(free)
      assert peak == 2 * 65_536

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

      {:ok, store} = Components.Store.new(%StoreLimits{memory_size: 6_000_000})
      instance = component(store, wat)
      assert {:ok, [list]} = Components.Instance.call(instance, "f", [1])
      assert length(list) == 20_000
      assert {:error, error} = Components.Instance.call(instance, "f", [150])
      assert Exception.message(error) =~ "too much data"

      {:ok, store} = Components.Store.new(%StoreLimits{hostcall_fuel: 1_000_000_000})
      assert {:ok, lists} = store |> component(wat) |> Components.Instance.call("f", [5])
      assert length(lists) == 5
      {:ok, store} = Components.Store.new(%StoreLimits{hostcall_fuel: 1_000})
      assert {:error, _} = store |> component(wat) |> Components.Instance.call("f", [1])
    end

    test "of names is taken once, however often they come" do
      name = String.duplicate("long", 10_000)

      wat = """
      (component
        (core module $m
          (memory (export "memory") 2)
          (func (export "f") (result i32)
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100000)) (i32.const 0)))
        (core instance $i (instantiate $m))
        (type $e' (enum "#{name}"))
        (export $e "e" (type $e'))
        (func (export "f") (result (list $e))
          (canon lift (core func $i "f") (memory (core memory $i "memory")))))
      """

      {:ok, store} = Components.Store.new()
      assert {:ok, list} = store |> component(wat) |> Components.Instance.call("f", [])
      assert length(list) == 100_000 and hd(list) == name
      {:binary, binaries} = Process.info(self(), :binary)
      assert Enum.count(binaries, fn {_id, size, _count} -> size == 40_000 end) <= 3
    end

    test "of all results together is paid for" do
      results = String.duplicate("u64 ", 2_000)

      wat = """
      (component
        (core module $m (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func (export "f") (result (tuple #{results}))
          (canon lift (core func $i "f") (memory (core memory $i "memory")))))
      """

      {:ok, store} = Components.Store.new(%StoreLimits{hostcall_fuel: 10_000})
      assert {:error, error} = store |> component(wat) |> Components.Instance.call("f", [])
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
    test "fills any buffer within the memory with randomness" do
      wat = """
      (module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 80)
        (func (export "random") (param i32 i32) (result i32)
          (call $random (local.get 0) (local.get 1))))
      """

      {:ok, store} = Store.new_wasi(%WasiOptions{})
      instance = instance(store, wat)
      {:ok, memory} = Wasmex.Memory.from_instance(store, instance)
      assert {:ok, [0]} = Instance.call(instance, "random", [1, 5_242_879])

      assert <<0, random::binary-5_242_879>> =
               Wasmex.Memory.read_binary(store, memory, 0, 5_242_880)

      parts = for <<part::binary-16 <- random>>, uniq: true, do: part
      assert length(parts) == div(5_242_879, 16)
      assert {:ok, [0]} = Instance.call(instance, "random", [5_242_880, 0])
      # Not even the part within the memory is filled.
      :ok = Wasmex.Memory.write(memory, 5_000_000, "same")

      for {at, length} <- [{5_000_000, 242_881}, {-1, 1}, {100, -1}] do
        assert {:error, _} = Instance.call(instance, "random", [at, length])
        assert Wasmex.Memory.read_binary(store, memory, 5_000_000, 4) == "same"
      end
    end

    test "has a pipe that Elixir has lost like any other, for it may lead to another guest" do
      wat = """
      (module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\\40\\00\\00\\00\\05\\00\\00\\00")
        (func (export "read") (result i32)
          (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
          (i32.load (i32.const 16)))
        (func (export "write") (result i32)
          (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
      """

      {writer, reader} =
        Task.await(
          Task.async(fn ->
            {:ok, pipe} = Pipe.new(mode: :stream)
            {:ok, one} = Store.new_wasi(%WasiOptions{stdout: pipe})
            {:ok, other} = Store.new_wasi(%WasiOptions{stdin: pipe})
            {instance(one, wat), instance(other, wat)}
          end),
          :infinity
        )

      assert {:ok, [0]} = Instance.call(writer, "write", [])
      assert {:ok, [5]} = Instance.call(reader, "read", [])
      task = Task.async(fn -> Instance.call(reader, "read", []) end)
      Process.sleep(20)
      assert {:ok, [0]} = Instance.call(writer, "write", [])
      assert Task.await(task, :infinity) == {:ok, [5]}
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

  test "an import that Elixir calls first does not hide the guest's memory from itself" do
    wat = """
    (module
      (import "e" "f" (func $f))
      (memory (export "memory") 1)
      (export "f" (func $f))
      (func (export "run") (call $f)))
    """

    me = self()

    tell = fn context ->
      send(me, {:memory, context.memory && context.memory.resource})
      nil
    end

    {:ok, store} = Store.new()
    instance = instance(store, wat, %{e: %{f: {:fn, [], [], tell}}})
    {:ok, []} = Instance.call(instance, "f", [])
    assert_received {:memory, nil}
    {:ok, []} = Instance.call(instance, "run", [])
    assert_received {:memory, memory} when is_reference(memory)
  end
end
