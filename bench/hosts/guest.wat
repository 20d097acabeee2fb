;; The guest of bench/peers, the same bytes for all hosts. Text goes in at address 0, and its copy comes out at 1 MiB.
(module
  (import "env" "id" (func $id (param i32) (result i32)))
  (memory (export "memory") 32)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "imports") (param $n i32)
    (loop
      (drop (call $id (local.get $n)))
      (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "echo") (param $length i32) (result i32)
    (memory.copy (i32.const 0x100000) (i32.const 0) (local.get $length))
    (i32.const 0x100000)))
