;; A plug-in with the Extism ABI for bench/peers: a loop over a host function.
(module
  (import "extism:host/user" "id" (func $id (param i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "imports") (result i32) (local $n i32)
    (local.set $n (i32.const 1000))
    (loop
      (drop (call $id (i64.extend_i32_u (local.get $n))))
      (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.const 0)))
