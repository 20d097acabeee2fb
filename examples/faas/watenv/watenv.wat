;; Answers with its environment, which holds the request, and logs that it did.
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "env" "log_i32" (func $log_i32 (param i32)))
  (import "env" "log_string" (func $log_string (param i32 i32)))
  (memory (export "memory") 4)
  (data (i32.const 64) "watenv was called; variables:")

  ;; The ends of the texts become ends of lines.
  (func $lines (param $at i32) (param $end i32)
    (loop $next
      (if (i32.lt_u (local.get $at) (local.get $end))
        (then
          (if (i32.eqz (i32.load8_u (local.get $at)))
            (then (i32.store8 (local.get $at) (i32.const 10))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next)))))

  (func (export "_start") (local $size i32)
    (call $log_string (i32.const 64) (i32.const 29))
    (drop (call $environ_sizes (i32.const 0) (i32.const 4)))
    (call $log_i32 (i32.load (i32.const 0)))
    (local.set $size (i32.load (i32.const 4)))
    ;; Pointers from 1024, texts from 65536; more than there is room for is a trap.
    (if (i32.or (i32.gt_u (i32.load (i32.const 0)) (i32.const 16000))
                (i32.gt_u (local.get $size) (i32.const 196608)))
      (then unreachable))
    (drop (call $environ (i32.const 1024) (i32.const 65536)))
    (call $lines (i32.const 65536) (i32.add (i32.const 65536) (local.get $size)))
    (i32.store (i32.const 16) (i32.const 65536))
    (i32.store (i32.const 20) (local.get $size))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 32)))))
