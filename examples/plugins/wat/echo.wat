;; Gives its input back, without copying it.
(module
  (import "extism:host/env" "input_offset" (func $at (result i64)))
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (func (export "echo") (result i32)
    (call $output (call $at) (call $length))
    (i32.const 0)))
