defmodule Wasmex.ListingGuest do
  @moduledoc false
  # Guests that list a directory: a module with `fd_readdir`, and a component with a directory stream.

  alias Wasmex.{Components, Instance, Module, Store}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions, WasiP2Options}

  # `list` takes the size of the buffer, at most 60,000, and returns the number of entries. `read` is `fd_readdir`.
  @module """
  (module
    (import "wasi_snapshot_preview1" "fd_readdir"
      (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_get"
      (func $stat (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "read") (param $len i32) (param $cookie i64) (result i32)
      (call $readdir (i32.const 3) (i32.const 1024) (local.get $len) (local.get $cookie) (i32.const 0)))
    (func (export "stat") (param $length i32) (result i32)
      (call $stat (i32.const 3) (i32.const 0) (i32.const 1024) (local.get $length) (i32.const 512)))
    (func (export "close") (result i32) (call $close (i32.const 3)))
    (func (export "list") (param $len i32) (result i32)
      (local $cookie i64) (local $count i32) (local $at i32) (local $end i32) (local $next i32) (local $errno i32)
      (loop $more
        (local.set $errno (call $readdir
          (i32.const 3) (i32.const 1024) (local.get $len) (local.get $cookie) (i32.const 0)))
        (if (local.get $errno) (then (return (i32.sub (i32.const 0) (local.get $errno)))))
        (local.set $at (i32.const 1024))
        (local.set $end (i32.add (i32.const 1024) (i32.load (i32.const 0))))
        (block $done (loop $entry
          (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 24)) (local.get $end)))
          (local.set $next (i32.add (local.get $at)
            (i32.add (i32.const 24) (i32.load (i32.add (local.get $at) (i32.const 16))))))
          (br_if $done (i32.gt_u (local.get $next) (local.get $end)))
          (local.set $cookie (i64.load (local.get $at)))
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (local.set $at (local.get $next))
          (br $entry)))
        (br_if $more (i32.eq (i32.load (i32.const 0)) (local.get $len))))
      (local.get $count)))
  """

  # `list` reads all entries of the first directory; `open` reads the first, and leaves the stream open. Both return how
  # many entries they read; errors count in millions.
  @component """
  (component $C
    (import "wasi:filesystem/types@0.2.0" (instance $types
      (export "descriptor" (type $descriptor (sub resource)))
      (export "directory-entry-stream" (type $stream (sub resource)))
      (type $ec (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
        "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
        "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
        "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device"
        "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
      (export "error-code" (type $code (eq $ec)))
      (type $dt (enum "unknown" "block-device" "character-device" "directory" "fifo" "symbolic-link" "regular-file"
        "socket"))
      (export "descriptor-type" (type $kind (eq $dt)))
      (type $de (record (field "type" $kind) (field "name" string)))
      (export "directory-entry" (type $entry (eq $de)))
      (export "[method]descriptor.read-directory"
        (func (param "self" (borrow $descriptor)) (result (result (own $stream) (error $code)))))
      (export "[method]directory-entry-stream.read-directory-entry"
        (func (param "self" (borrow $stream)) (result (result (option $entry) (error $code)))))))
    (alias export $types "descriptor" (type $d))
    (alias export $types "directory-entry-stream" (type $s))
    (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
      (alias outer $C $d (type $d1))
      (export "descriptor" (type $d2 (eq $d1)))
      (export "get-directories" (func (result (list (tuple (own $d2) string)))))))
    #{Wasmex.LibcWat.libc(20)}
    (core instance $libc (instantiate $libc))
    (core func $directories (canon lower (func $preopens "get-directories")
      (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $open (canon lower (func $types "[method]descriptor.read-directory")
      (memory (core memory $libc "memory"))))
    (core func $next (canon lower (func $types "[method]directory-entry-stream.read-directory-entry")
      (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $drop (canon resource.drop $s))
    (core module $m
      (import "e" "memory" (memory 1))
      (import "e" "reset" (func $reset))
      (import "e" "directories" (func $directories (param i32)))
      (import "e" "open" (func $open (param i32 i32)))
      (import "e" "next" (func $next (param i32 i32)))
      (import "e" "drop" (func $drop (param i32)))
      (global $first (mut i32) (i32.const -1))
      (func $begin (result i32)
        (if (i32.eq (global.get $first) (i32.const -1)) (then
          (call $directories (i32.const 0))
          (global.set $first (i32.load (i32.load (i32.const 0))))))
        (call $open (global.get $first) (i32.const 0))
        (if (i32.load8_u (i32.const 0)) (then unreachable))
        (i32.load (i32.const 4)))
      (func (export "list") (result i32) (local $stream i32) (local $count i32)
        (local.set $stream (call $begin))
        (block $end (loop $more
          (call $reset)
          (call $next (local.get $stream) (i32.const 0))
          (if (i32.load8_u (i32.const 0))
            (then (local.set $count (i32.add (local.get $count) (i32.const 1000000))) (br $more)))
          (br_if $end (i32.eqz (i32.load8_u (i32.const 4))))
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (br $more)))
        (call $drop (local.get $stream))
        (local.get $count))
      (func (export "open") (result i32)
        (call $reset)
        (call $next (call $begin) (i32.const 0))
        (i32.load8_u (i32.const 4))))
    (core instance $e
      (export "memory" (memory $libc "memory")) (export "reset" (func $libc "reset"))
      (export "directories" (func $directories)) (export "open" (func $open))
      (export "next" (func $next)) (export "drop" (func $drop)))
    (core instance $i (instantiate $m (with "e" (instance $e))))
    (func (export "open") (result u32) (canon lift (core func $i "open")))
    (func (export "list") (result u32) (canon lift (core func $i "list"))))
  """

  @doc "An instance of the module, and its store."
  @spec module(Path.t()) :: {Instance.t(), Wasmex.StoreOrCaller.t()}
  def module(dir) do
    {:ok, store} = Store.new_wasi(%WasiOptions{preopen: [%PreopenOptions{path: dir, alias: "/"}]})

    {:ok, module} = Module.compile(store, @module)
    {:ok, instance} = Instance.new(store, module, %{})
    {instance, store}
  end

  @doc "An instance of the component, and its store."
  @spec component(Path.t()) :: {struct(), struct()}
  def component(dir) do
    options = %WasiP2Options{preopen: [%PreopenOptions{path: dir, alias: "/"}]}
    {:ok, store} = Components.Store.new_wasi(options)
    {:ok, component} = Components.Component.new(store, @component)
    {:ok, instance} = Components.Instance.new(store, component, %{})
    {instance, store}
  end

  @doc "The rest of a buffer of `read`: cookie, number, kind and name of each complete entry."
  @spec entries(binary()) :: [{pos_integer(), non_neg_integer(), byte(), binary()}]
  def entries(
        <<next::little-64, id::little-64, length::little-32, kind, _::24,
          name::binary-size(length), rest::binary>>
      ),
      do: [{next, id, kind, name} | entries(rest)]

  def entries(_truncated), do: []
end
