defmodule Wasmex.Stress.WasiTest do
  # The largest and the strangest arguments of WASI's functions hold no scheduler.
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  import Wasmex.Held

  alias Wasmex.{Components, Instance, Module, Store, StoreLimits, Table}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions, WasiP2Options}

  @functions [
    fd_write: 4,
    fd_read: 4,
    path_open: [:i32, :i32, :i32, :i32, :i32, :i64, :i64, :i32, :i32],
    path_symlink: 5,
    path_filestat_get: 5,
    path_rename: 6,
    path_readlink: 6,
    path_unlink_file: 3,
    path_create_directory: 3,
    path_remove_directory: 3,
    poll_oneoff: 4,
    random_get: 2,
    fd_readdir: [:i32, :i32, :i32, :i64, :i32]
  ]

  defp types(count) when is_integer(count), do: List.duplicate(:i32, count)
  defp types(types), do: types

  # Every function as an export; `file` has 128 MB; the memory has been written once.
  defp guest do
    dir = Path.join(System.tmp_dir!(), "wasmex-held-#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)
    File.write!(Path.join(dir, "file"), :binary.copy("x", 128_000_000))

    functions =
      Enum.map_join(@functions, "\n", fn {name, types} ->
        params = types |> types() |> Enum.map_join(" ", &"#{&1}")

        ~s|(import "wasi_snapshot_preview1" "#{name}" (func $#{name} (param #{params}) (result i32)))|
      end)

    # Not the imports themselves: the memory is the caller's.
    exports =
      Enum.map_join(@functions, "\n", fn {name, types} ->
        types = types(types)
        params = types |> Enum.map_join(" ", &"#{&1}")
        args = Enum.map_join(0..(length(types) - 1), " ", &"(local.get #{&1})")
        ~s|(func (export "#{name}") (param #{params}) (result i32) (call $#{name} #{args}))|
      end)

    wat = """
    (module #{functions} (memory (export "memory") 2100) #{exports}
      (data (i32.const 64) "file")
      (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
      (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1))))
    """

    {:ok, store} = Store.new_wasi(%WasiOptions{preopen: [%PreopenOptions{path: dir, alias: "/"}]})
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, %{})
    instance
  end

  defp call(instance, name, args) do
    {:ok, [errno]} = Instance.call(instance, name, args)
    errno
  end

  test "paths of 100 MB" do
    guest = guest()
    {:ok, []} = Instance.call(guest, "fill", [1_000, ?a, 100_000_000])
    path = [1_000, 100_000_000]

    for {name, args} <- [
          path_open: [3, 0] ++ path ++ [0, 0, 0, 0, 0],
          path_filestat_get: [3, 0] ++ path ++ [0],
          path_unlink_file: [3 | path],
          path_create_directory: [3 | path],
          path_remove_directory: [3 | path],
          path_readlink: [3 | path] ++ [0, 10, 0],
          path_symlink: path ++ [3, 64, 4],
          path_symlink: [64, 4, 3] ++ path,
          path_rename: [3 | path] ++ [3, 64, 4],
          path_rename: [3, 64, 4, 3 | path]
        ] do
      assert assert_not_held(fn -> call(guest, "#{name}", args) end) == 37
    end
  end

  test "8,000,000 empty buffers, and buffers of 120 MB" do
    guest = guest()
    assert_not_held(fn -> call(guest, "fd_write", [1, 100_000, 8_000_000, 0]) end)
    assert_not_held(fn -> call(guest, "fd_read", [0, 100_000, 8_000_000, 0]) end)

    assert call(guest, "path_open", [3, 0, 64, 4, 0, 0x1FFFFFFF, 0x1FFFFFFF, 0, 16]) == 0
    {:ok, []} = Instance.call(guest, "store", [32, 1_000])
    {:ok, []} = Instance.call(guest, "store", [36, 120_000_000])

    for name <- ["fd_read", "fd_write", "fd_read"] do
      assert assert_not_held(fn -> call(guest, name, [4, 32, 1, 40]) end) == 0
    end
  end

  test "random bytes and subscriptions" do
    guest = guest()
    assert_not_held(fn -> for _ <- 1..20, do: call(guest, "random_get", [1_000, 1_048_576]) end)
    assert_not_held(fn -> call(guest, "poll_oneoff", [1_000, 50_000_000, 262_000, 0]) end)
    assert_not_held(fn -> call(guest, "poll_oneoff", [1_000, 80_000_000, 1_500_000, 0]) end)
  end

  # `[static]fields.from-list` and `[method]output-stream.write`, with `n` entries and `n` bytes.
  @component """
  (component $C
    (import "wasi:io/error@0.2.0" (instance $error (export "error" (type $error (sub resource)))))
    (alias export $error "error" (type $err))
    (import "wasi:io/streams@0.2.0" (instance $streams
      (alias outer $C $err (type $e1))
      (export "error" (type $e (eq $e1)))
      (export "output-stream" (type $os (sub resource)))
      (type $se (variant (case "last-operation-failed" (own $e)) (case "closed")))
      (export "stream-error" (type $se' (eq $se)))
      (export "[method]output-stream.write"
        (func (param "self" (borrow $os)) (param "contents" (list u8)) (result (result (error $se')))))))
    (alias export $streams "output-stream" (type $os))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
      (alias outer $C $os (type $o1))
      (export "output-stream" (type $o (eq $o1)))
      (export "get-stdout" (func (result (own $o))))))
    (import "wasi:http/types@0.2.0" (instance $http
      (export "fields" (type $fields (sub resource)))
      (type $he (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
      (export "header-error" (type $he' (eq $he)))
      (export "[static]fields.from-list"
        (func (param "entries" (list (tuple string (list u8)))) (result (result (own $fields) (error $he')))))))
    (core module $mem (memory (export "memory") 2100))
    (core instance $mem (instantiate $mem))
    (core func $write (canon lower (func $streams "[method]output-stream.write") (memory (core memory $mem "memory"))))
    (core func $get (canon lower (func $stdout "get-stdout")))
    (core func $list (canon lower (func $http "[static]fields.from-list") (memory (core memory $mem "memory"))))
    (core module $m
      (import "e" "memory" (memory 1))
      (import "e" "write" (func $write (param i32 i32 i32 i32)))
      (import "e" "get" (func $get (result i32)))
      (import "e" "list" (func $list (param i32 i32 i32)))
      (func (export "write") (param i32) (result i32)
        (call $write (call $get) (i32.const 64) (local.get 0) (i32.const 0))
        (i32.load8_u (i32.const 0)))
      (func (export "list") (param i32) (result i32) (local i32)
        (loop $l
          (i32.store (i32.add (i32.const 1000) (i32.shl (local.get 1) (i32.const 3))) (i32.const 64))
          (i32.store (i32.add (i32.const 1004) (i32.shl (local.get 1) (i32.const 3))) (i32.const 1))
          (local.set 1 (i32.add (local.get 1) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get 1) (i32.shl (local.get 0) (i32.const 1)))))
        (i32.store8 (i32.const 64) (i32.const 97))
        (call $list (i32.const 1000) (local.get 0) (i32.const 0))
        (i32.load8_u (i32.const 0))))
    (core instance $e
      (export "memory" (memory $mem "memory")) (export "write" (func $write)) (export "get" (func $get))
      (export "list" (func $list)))
    (core instance $i (instantiate $m (with "e" (instance $e))))
    (func (export "write") (param "n" u32) (result u32) (canon lift (core func $i "write")))
    (func (export "list") (param "n" u32) (result u32) (canon lift (core func $i "list"))))
  """

  defp component do
    {:ok, store} =
      Components.Store.new_wasi(%WasiP2Options{allow_http: true, inherit_stdout: false})

    {:ok, component} = Components.Component.new(store, @component)
    {:ok, instance} = Components.Instance.new(store, component, %{})
    instance
  end

  test "a component's arguments of WASI" do
    assert Components.Instance.call(component(), "write", [1_000_000]) == {:ok, 0}
    assert Components.Instance.call(component(), "list", [100]) == {:ok, 0}

    for {name, count} <- [{"write", 120_000_000}, {"list", 2_000_000}, {"list", 20_000}] do
      assert_not_held(fn -> {:error, _} = Components.Instance.call(component(), name, [count]) end)
    end
  end

  test "tables of 10,000,000 elements" do
    {:ok, store} =
      Store.new(%StoreLimits{memory_size: 1_000_000_000, table_elements: 100_000_000})

    {:ok, table} = Table.new(store, :externref, 1)
    assert_not_held(fn -> {:ok, _} = Table.grow(table, 10_000_000, nil) end)
    assert_not_held(fn -> {:ok, _} = Table.new(store, :externref, 5_000_000, init: "x") end)
  end
end
