defmodule Wasmex.SnapshotTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  alias Wasmex.{Code, Components, Error, Guest, Instance, Plugin, Pool, Snapshot}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions}

  @counter """
  (module
    (memory (export "memory") 1 10)
    (global $i (mut i32) (i32.const 0)) (global $l (mut i64) (i64.const 0))
    (global $f (mut f32) (f32.const 0)) (global $d (mut f64) (f64.const 0))
    (global $v (mut v128) (v128.const i64x2 0 0))
    (data (i32.const 10) "data") (data $p "never")
    (func (export "_initialize") (global.set $i (i32.add (global.get $i) (i32.const 1))))
    (func (export "warm")
      (global.set $i (i32.add (global.get $i) (i32.const 40)))
      (global.set $l (i64.const -5)) (global.set $f (f32.const 1.5)) (global.set $d (f64.const nan))
      (global.set $v (v128.const i64x2 7 8))
      (drop (memory.grow (i32.const 2)))
      (i32.store (i32.const 131072) (i32.const 99)))
    (func (export "i") (result i32) (global.get $i)) (func (export "l") (result i64) (global.get $l))
    (func (export "f") (result f32) (global.get $f)) (func (export "d") (result f64) (global.get $d))
    (func (export "v") (result v128) (global.get $v))
    (func (export "read") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "spin") (loop br 0))
    (func (export "eat") (drop (memory.grow (i32.const 9))))
    (func (export "fails") unreachable)
    (func (export "one") (result i32) i32.const 1))
  """

  defp instance(bytes, imports \\ %{}), do: elem(Guest.start(bytes, imports), 1)
  defp call(instance, name, params \\ []), do: Instance.call!(instance, name, params)

  test "an instance begins where the guest was: globals of all types, memory, data" do
    {:ok, snapshot} = Snapshot.take({:bytes, @counter}, init: "warm")
    assert {snapshot.kind, snapshot.uses, snapshot.memory} == {:module, [], 3 * 65_536}
    instance = instance(snapshot.bytes)
    # _initialize ran once, and can't run again.
    assert call(instance, "i") == [41]
    assert call(instance, "l") == [-5]
    assert call(instance, "f") == [1.5]
    assert call(instance, "d") == [:nan]
    assert call(instance, "v") == [Bitwise.bsl(8, 64) + 7]
    assert call(instance, "read", [131_072]) == [99]
    assert call(instance, "read", [10]) == [:binary.decode_unsigned("data", :little)]

    {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), snapshot.bytes)
    exports = Wasmex.Module.exports(module)
    refute is_map_key(exports, "_initialize") or is_map_key(exports, "warm")
    refute Enum.any?(Map.keys(exports), &String.starts_with?(&1, "__wizer"))

    assert {:ok, %{bytes: kept}} =
             Snapshot.take({:bytes, @counter}, init: "warm", keep_init: true)

    assert {:ok, []} = kept |> instance() |> Instance.call("warm", [])
  end

  test "without init: what start functions and _initialize did" do
    {:ok, snapshot} = Snapshot.take({:bytes, @counter})
    assert snapshot.bytes |> instance() |> call("i") == [1]
    {:ok, again} = Snapshot.take({:bytes, snapshot.bytes})
    assert again.bytes |> instance() |> call("i") == [1]
  end

  test "what goes wrong ends the initialisation, nothing else" do
    take = fn opts -> Snapshot.take({:bytes, @counter}, opts) end
    assert {:error, %Error{reason: :timeout}} = take.(init: "spin", timeout: 20)
    assert {:error, %Wasmex.Trap{}} = take.(init: "fails")
    assert {:error, %Error{reason: :unknown_export}} = take.(init: "nothing")
    assert {:error, %Error{reason: :snapshot} = error} = take.(init: "one")
    assert Exception.message(error) =~ "must return nothing"
    assert {:error, %Error{reason: :snapshot} = error} = take.(init: "_start")
    assert Exception.message(error) =~ "ends with the program"
    # The memory that it may not have is not there.
    assert {:ok, %{memory: 65_536}} = take.(init: "eat", max_memory: 100_000)
    assert {:error, %Error{reason: :file}} = Snapshot.take("none.wasm")
    assert {:error, %Error{reason: :parse}} = Snapshot.take({:bytes, "(module"})
    assert_raise ArgumentError, ~r/:int/, fn -> take.(int: "x") end
    assert_raise Error, fn -> Snapshot.take!("none.wasm") end
  end

  test "what no snapshot can keep is refused" do
    for {wat, text} <- [
          {~s|(module (table 1 funcref) (func (export "f") (table.set (i32.const 0) (ref.null func))))|,
           "table.set"},
          {~s|(module (memory 1))|, "exports nothing"},
          {~s|(module (import "a" "m" (memory 1)))|, "imported memories"},
          {~s|(module (global (mut externref) (ref.null extern)))|, "reference type"}
        ] do
      assert {:error, %Error{reason: :snapshot} = error} = Snapshot.take({:bytes, wat})
      assert Exception.message(error) =~ text
    end
  end

  test "imports: those that are given may be called, others are there and fail" do
    wat =
      ~s|(module (import "env" "seven" (func $f (result i32))) (import "env" "g" (func $g (param i32)))
      (global $n (mut i32) (i32.const 0))
      (func (export "warm") (global.set $n (call $f)))
      (func (export "more") (call $g (i32.const 1)))
      (func (export "n") (result i32) (global.get $n)))|

    seven = %{env: %{seven: {:fn, [], [:i32], fn _ -> 7 end}}}
    {:ok, snapshot} = Snapshot.take({:bytes, wat}, init: "warm", imports: seven)
    imports = put_in(seven.env[:g], {:fn, [:i32], [], fn _, _ -> nil end})
    assert snapshot.bytes |> instance(imports) |> call("n") == [7]

    assert {:error, %Error{reason: :import_raised} = error} =
             Snapshot.take({:bytes, wat}, init: "more")

    assert Exception.message(error) =~ "env.g during initialisation"
  end

  test "what repeats is told; open files are refused" do
    wat = fn body ->
      ~s|(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 100) "a.txt")
        (func (export "word") (result i64) (i64.load (i32.const 0)))
        (func $file (drop (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 200))))
        (func (export "warm") #{body}))|
    end

    {:ok, snapshot} =
      Snapshot.take(
        {:bytes,
         wat.(
           "(drop (call $random (i32.const 0) (i32.const 8))) (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 16)))"
         )},
        init: "warm"
      )

    assert snapshot.uses == [:clock, :random]

    words =
      for _ <- 1..2, do: elem(Guest.start(snapshot.bytes, %{}, wasi_store()), 1) |> call("word")

    assert length(Enum.uniq(words)) == 1 and words != [[0], [0]]

    dir = Path.join(System.tmp_dir!(), "wasmex_snapshot_#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)
    File.write!(Path.join(dir, "a.txt"), "x")
    wasi = %WasiOptions{preopen: [%PreopenOptions{path: dir, alias: "/"}]}
    opts = [init: "warm", wasi: wasi]

    assert {:error, %Error{reason: :snapshot} = error} =
             Snapshot.take({:bytes, wat.("(call $file)")}, opts)

    assert Exception.message(error) =~ ~s|"a.txt"|
    closed = wat.("(call $file) (drop (call $close (i32.load (i32.const 200))))")
    assert {:ok, _} = Snapshot.take({:bytes, closed}, opts)
  end

  defp wasi_store, do: elem(Wasmex.Store.new_wasi(%WasiOptions{}), 1)

  test "a Go reactor goes on where its runtime had started" do
    {:ok, snapshot} = Snapshot.take("test/guests/go_greet/go_greet.wasm")
    assert snapshot.memory > 1_000_000
    {:ok, stdout} = Wasmex.Pipe.new()
    options = %WasiOptions{stdin: Guest.input("Ada"), stdout: stdout}
    {:ok, store} = Wasmex.Store.new_wasi(options)
    {_store, instance} = Guest.start(snapshot.bytes, %{}, store)
    assert call(instance, "add", [40, 2]) == [42]
    assert call(instance, "greet") == []
    assert Guest.text(stdout) =~ "Data from Elixir: Ada"
    assert {:error, %Error{reason: :unknown_export}} = Instance.call(instance, "_initialize", [])
  end

  test "components" do
    wat = """
    (component
      (core module $m
        (memory (export "memory") 1)
        (global $n (mut i32) (i32.const 0))
        (func (export "warm") (global.set $n (i32.const 41)) (i32.store (i32.const 64) (i32.const 1)))
        (func (export "n") (result i32) (i32.add (global.get $n) (i32.load (i32.const 64)))))
      (core instance $i (instantiate $m))
      (func (export "warm") (canon lift (core func $i "warm")))
      (func (export "n") (result s32) (canon lift (core func $i "n"))))
    """

    {:ok, snapshot} = Snapshot.take({:bytes, wat}, init: "warm")
    assert {snapshot.kind, snapshot.uses} == {:component, :unknown}
    {:ok, component} = Components.Component.compile(Wasmex.Engine.default(), snapshot.bytes)
    {:ok, store} = Components.Store.new()
    {:ok, instance} = Components.Instance.instantiate(store, component, %{})
    assert Components.Instance.call(instance, "n", []) == {:ok, 42}

    assert {:error, %Error{reason: :snapshot}} =
             Snapshot.take({:bytes, wat}, init: "warm", start: "x")
  end

  describe "where it can be used" do
    test "pools, with a function that prepares each instance, and code" do
      wat = ~s|(module (global $n (mut i32) (i32.const 0)) (global $s (mut i32) (i32.const 0))
        (func (export "warm") (global.set $n (i32.const 40)))
        (func (export "reseed") (global.set $s (i32.const 2)))
        (func (export "n") (result i32) (i32.add (global.get $n) (global.get $s))))|

      for source <- [{:bytes, wat}, Code.new!({:bytes, wat})] do
        {:ok, pool} = Pool.start_link(source: source, snapshot: [init: "warm"], prepare: "reseed")
        assert Pool.call(pool, "n", []) == {:ok, [42]}
      end
    end

    test "plug-ins" do
      wat =
        ~s|(module (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
        (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
        (import "extism:host/env" "output_set" (func $output (param i64 i64)))
        (global $n (mut i32) (i32.const 0))
        (func (export "warm") (global.set $n (i32.const 65)))
        (func (export "go") (local $p i64) (local.set $p (call $alloc (i64.const 1)))
          (call $store (local.get $p) (global.get $n)) (call $output (local.get $p) (i64.const 1))))|

      {:ok, compiled} = Plugin.compile({:bytes, wat}, snapshot: [init: "warm"])
      {:ok, plugin} = Plugin.new(compiled)
      assert Plugin.call(plugin, "go") == {:ok, "A"}
    end

    # "warm" is exported, and counts how often it ran; "start" is what all instances do.
    @component """
    (component
      (core module $m
        (memory (export "memory") 1)
        (global $n (mut i32) (i32.const 0))
        (func $start (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1))))
        (start $start)
        (func (export "warm") (global.set $n (i32.add (global.get $n) (i32.const 40))))
        (func (export "n") (result i32) (i32.add (global.get $n) (i32.load (i32.const 64)))))
      (core instance $i (instantiate $m))
      (func (export "warm") (canon lift (core func $i "warm")))
      (func (export "n") (result s32) (canon lift (core func $i "n"))))
    """

    test "modules of components" do
      path = Path.join(System.tmp_dir!(), "wasmex_#{System.unique_integer([:positive])}.wasm")
      on_exit(fn -> File.rm(path) end)
      {:ok, bytes} = Wasmex.Wat.parse(@component, %Wasmex.Limits{})
      File.write!(path, bytes)

      for {n, snapshot, value} <- [{0, false, 1}, {1, true, 1}, {2, [init: "warm"], 41}] do
        module = define(n, path: path, snapshot: snapshot)
        {:ok, pid} = module.start_link()
        assert module.n(pid) == {:ok, value}
        {:ok, store} = Components.Store.new()
        {:ok, instance} = module.instantiate(store)
        assert module.n(instance) == {:ok, value}
      end

      for {n, opts} <- [{3, path: path, otp_app: :wasmex}, {4, wit: "test/support/one.wit"}] do
        assert_raise ArgumentError, ~r/snapshot:/, fn -> define(n, [snapshot: true] ++ opts) end
      end

      assert_raise CompileError, ~r/nothing/, fn ->
        define(5, path: path, snapshot: [init: "nothing"])
      end
    end

    defp define(n, opts) do
      name = Module.concat(__MODULE__, "Component#{n}")

      Elixir.Code.eval_quoted(
        quote do
          defmodule unquote(name) do
            use Wasmex.Component, unquote(opts)
          end
        end
      )

      name
    end

    test "programs, and functions and plug-ins that are deployed" do
      wat =
        ~s|(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 8) "cold")
        (func (export "warm") (i32.store (i32.const 8) (i32.const 0x6d726177)))
        (func (export "_start") (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 4))
          (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))|

      source = [source: {:bytes, wat}, snapshot: [init: "warm"]]
      {:ok, pool} = Pool.start_link([as: :program] ++ source)
      assert {:ok, %{stdout: "warm"}} = Pool.call(pool, :run, [])

      request = Wasmex.HTTP.Request.new("GET", "/")
      {:ok, pool} = Pool.start_link([as: :http] ++ source)
      assert {:ok, %{status: 200, body: "warm"}} = Pool.call(pool, :handle, request)
      name = {:snapshot, make_ref()}
      opts = [as: :http, options: [snapshot: [init: "warm"]]]
      assert {:ok, 1} = Wasmex.Deploy.deploy(name, Code.new!({:bytes, wat}), opts)
      assert {:ok, %{body: "warm"}} = Wasmex.Deploy.call(name, :handle, request)
      Wasmex.Deploy.undeploy(name)
    end

    test "HTTP functions" do
      {:ok, function} =
        Wasmex.HTTP.load("test/guests/component_http/component_http.wasm", snapshot: [])

      {:ok, plain} = Wasmex.HTTP.load("test/guests/component_http/component_http.wasm")
      request = %Wasmex.HTTP.Request{method: "GET", path: "/"}
      assert Wasmex.HTTP.call(function, request).status == Wasmex.HTTP.call(plain, request).status
    end

    test "mix wasmex.snapshot" do
      dir = Path.join(System.tmp_dir!(), "wasmex_snapshot_#{System.unique_integer([:positive])}")
      File.mkdir_p!(dir)
      on_exit(fn -> File.rm_rf!(dir) end)
      [file, output] = for name <- ["a.wat", "b.wasm"], do: Path.join(dir, name)
      File.write!(file, @counter)

      text =
        capture_io(fn -> Mix.Tasks.Wasmex.Snapshot.run([file, "-o", output, "--init", "warm"]) end)

      assert text =~ "b.wasm: "
      assert output |> File.read!() |> instance() |> call("i") == [41]
    end
  end
end
