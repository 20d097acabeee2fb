;; Says hello with its first argument, straight on WASI.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 128) "Hello, ")
  (data (i32.const 144) ", from WAT!\n")
  (data (i32.const 160) "world\00")

  (func $length (param $text i32) (result i32)
    (local $end i32)
    (local.set $end (local.get $text))
    (loop $more
      (if (i32.load8_u (local.get $end))
        (then
          (local.set $end (i32.add (local.get $end) (i32.const 1)))
          (br $more))))
    (i32.sub (local.get $end) (local.get $text)))

  ;; One piece at a time: a host may write only the first of several.
  (func $print (param $text i32) (param $length i32)
    (i32.store (i32.const 64) (local.get $text))
    (i32.store (i32.const 68) (local.get $length))
    (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 96))))

  (func (export "_start") (local $name i32)
    (local.set $name (i32.const 160))
    (drop (call $args_sizes (i32.const 0) (i32.const 4)))
    ;; argv from 1024, its texts from 4096; room for what is given here.
    (if (i32.and (i32.lt_u (i32.load (i32.const 0)) (i32.const 512))
                 (i32.lt_u (i32.load (i32.const 4)) (i32.const 65536)))
      (then
        (drop (call $args (i32.const 1024) (i32.const 4096)))
        (if (i32.gt_u (i32.load (i32.const 0)) (i32.const 1))
          (then (local.set $name (i32.load (i32.const 1028)))))))
    (call $print (i32.const 128) (i32.const 7))
    (call $print (local.get $name) (call $length (local.get $name)))
    (call $print (i32.const 144) (i32.const 12))))
