defmodule Wasmex.WASI.PathsTest do
  # Components with paths that are longer than any system allows.
  use ExUnit.Case, async: true

  alias Wasmex.Components
  alias Wasmex.Wasi.{PreopenOptions, WasiP2Options}

  @moduletag :tmp_dir

  # `f(0..2, n)` makes a directory, deletes a file, or makes a link, with a path of `n` bytes.
  @wat """
  (component $C
      (import "wasi:filesystem/types@0.2.0" (instance $types
        (export "descriptor" (type $descriptor (sub resource)))
        (type $ec (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
          "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
          "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
          "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device"
          "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
        (export "error-code" (type $code (eq $ec)))
        (export "[method]descriptor.create-directory-at"
          (func (param "self" (borrow $descriptor)) (param "path" string) (result (result (error $code)))))
        (export "[method]descriptor.unlink-file-at"
          (func (param "self" (borrow $descriptor)) (param "path" string) (result (result (error $code)))))
        (export "[method]descriptor.symlink-at"
          (func (param "self" (borrow $descriptor)) (param "old-path" string) (param "new-path" string) (result (result (error $code)))))))
      (alias export $types "descriptor" (type $d))
      (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
        (alias outer $C $d (type $d1))
        (export "descriptor" (type $d2 (eq $d1)))
        (export "get-directories" (func (result (list (tuple (own $d2) string)))))))
      #{Wasmex.LibcWat.libc(200)}
      (core instance $libc (instantiate $libc))
      (core func $directories (canon lower (func $preopens "get-directories") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
      (core func $f0 (canon lower (func $types "[method]descriptor.create-directory-at") (memory (core memory $libc "memory"))))
      (core func $f1 (canon lower (func $types "[method]descriptor.unlink-file-at") (memory (core memory $libc "memory"))))
      (core func $f2 (canon lower (func $types "[method]descriptor.symlink-at") (memory (core memory $libc "memory"))))
      (core module $m
        (import "e" "memory" (memory 1))
        (import "e" "directories" (func $directories (param i32)))
        (import "e" "f0" (func $f0 (param i32 i32 i32 i32)))
        (import "e" "f1" (func $f1 (param i32 i32 i32 i32)))
        (import "e" "f2" (func $f2 (param i32 i32 i32 i32 i32 i32)))
        (global $first (mut i32) (i32.const -1))
        (func (export "f") (param i32 i32) (result i32)
          (if (i32.eq (global.get $first) (i32.const -1)) (then
            (call $directories (i32.const 0))
            (global.set $first (i32.load (i32.load (i32.const 0))))))
          (memory.fill (i32.const 100000) (i32.const 97) (local.get 1))
          (i32.store16 (i32.const 0) (i32.const -1))
          (if (i32.eq (local.get 0) (i32.const 0)) (then (call $f0 (global.get $first) (i32.const 100000) (local.get 1) (i32.const 0))))
          (if (i32.eq (local.get 0) (i32.const 1)) (then (call $f1 (global.get $first) (i32.const 100000) (local.get 1) (i32.const 0))))
          (if (i32.eq (local.get 0) (i32.const 2)) (then (call $f2 (global.get $first) (i32.const 100000) (local.get 1) (i32.const 100000) (i32.const 5) (i32.const 0))))
          (i32.load16_u (i32.const 0))))
      (core instance $e (export "memory" (memory $libc "memory")) (export "directories" (func $directories)) (export "f0" (func $f0)) (export "f1" (func $f1)) (export "f2" (func $f2)))
      (core instance $i (instantiate $m (with "e" (instance $e))))
      (func (export "f") (param "w" u32) (param "n" u32) (result u32) (canon lift (core func $i "f"))))
  """

  @name_too_long 18

  defp call(dir, function, length) do
    options = %WasiP2Options{preopen: [%PreopenOptions{path: dir, alias: "/"}]}
    {:ok, store} = Components.Store.new_wasi(options)
    {:ok, component} = Components.Component.new(store, @wat)
    {:ok, instance} = Components.Instance.new(store, component, %{})
    Components.Instance.call(instance, "f", [function, length])
  end

  test "are an error up to 1 MiB, and more is a trap that names the limit", %{tmp_dir: dir} do
    for function <- 0..2 do
      for length <- [5_000, 100_000, 1_000_000] do
        assert {:ok, result} = call(dir, function, length)
        assert {rem(result, 256), div(result, 256)} == {1, @name_too_long}
      end

      assert {:error, error} = call(dir, function, 2_000_000)
      assert Exception.message(error) =~ "hostcall_fuel"
    end
  end
end
