;; Copies standard input to standard output in capitals, a chunk at a time.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)

  (func $capitals (param $at i32) (param $end i32) (local $byte i32)
    (loop $next
      (if (i32.lt_u (local.get $at) (local.get $end))
        (then
          (local.set $byte (i32.load8_u (local.get $at)))
          (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
            (then (i32.store8 (local.get $at) (i32.sub (local.get $byte) (i32.const 32)))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next)))))

  (func (export "_start") (local $count i32)
    (loop $again
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $count (i32.load (i32.const 8)))
      (if (local.get $count)
        (then
          (call $capitals (i32.const 64) (i32.add (i32.const 64) (local.get $count)))
          (i32.store (i32.const 4) (local.get $count))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (br $again))))))
