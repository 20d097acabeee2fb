;; The memory shared by a plug-in and its host, and the functions that access it byte by byte.
;;
;; A call from one module into another costs a third of one into the host, and plug-ins make one for each
;; byte or eight of their input. Less frequent functions are in abi.rs.
;;
;; The first 64 bytes belong to the host, in words of 8 bytes, little endian. Plug-ins cannot access them:
;;
;;   0 input offset   8 input length   16 output offset   24 output length   32 error offset
;;   40 error length   48 bytes at the start of the newest block that an earlier call may have written
(module $kernel
  (import "host" "place" (func $place (param i64) (result i64)))
  (memory (export "memory") 1)

  ;; A new block, all zero. Data of an earlier call is cleared here rather than by the host: a guest yields to the
  ;; scheduler between two iterations of a loop, however much there is to clear.
  (func (export "alloc") (param $n i64) (result i64)
    (local $block i64) (local $at i32) (local $left i32) (local $piece i32)
    (local.set $block (call $place (local.get $n)))
    (local.set $left (i32.load (i32.const 48)))
    (local.set $at (i32.wrap_i64 (local.get $block)))
    (block $clear
      (loop $next
        (br_if $clear (i32.eqz (local.get $left)))
        (local.set $piece
          (select (i32.const 0x80000) (local.get $left) (i32.gt_u (local.get $left) (i32.const 0x80000))))
        (memory.fill (local.get $at) (i32.const 0) (local.get $piece))
        (local.set $at (i32.add (local.get $at) (local.get $piece)))
        (local.set $left (i32.sub (local.get $left) (local.get $piece)))
        (br $next)))
    (local.get $block))

  ;; n bytes at p are within the memory and after the words if p - 64 <= size - 64 - n: an offset below 64 wraps
  ;; around to a huge number. Repeated in each function, since a call costs as much as all the rest.
  (func (export "load_u8") (param $p i64) (result i32)
    (if (result i32)
      (i64.le_u
        (i64.sub (local.get $p) (i64.const 64))
        (i64.sub (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)) (i64.const 65)))
      (then (i32.load8_u (i32.wrap_i64 (local.get $p))))
      (else (i32.const 0))))

  (func (export "load_u64") (param $p i64) (result i64)
    (if (result i64)
      (i64.le_u
        (i64.sub (local.get $p) (i64.const 64))
        (i64.sub (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)) (i64.const 72)))
      (then (i64.load (i32.wrap_i64 (local.get $p))))
      (else (i64.const 0))))

  (func (export "store_u8") (param $p i64) (param $byte i32)
    (if
      (i64.le_u
        (i64.sub (local.get $p) (i64.const 64))
        (i64.sub (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)) (i64.const 65)))
      (then (i32.store8 (i32.wrap_i64 (local.get $p)) (local.get $byte)))))

  (func (export "store_u64") (param $p i64) (param $word i64)
    (if
      (i64.le_u
        (i64.sub (local.get $p) (i64.const 64))
        (i64.sub (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)) (i64.const 72)))
      (then (i64.store (i32.wrap_i64 (local.get $p)) (local.get $word)))))

  ;; The host placed the input within the memory, so its length is the bound.
  (func (export "input_load_u8") (param $i i64) (result i32)
    (if (result i32) (i64.lt_u (local.get $i) (i64.load (i32.const 8)))
      (then (i32.load8_u (i32.wrap_i64 (i64.add (i64.load (i32.const 0)) (local.get $i)))))
      (else (i32.const 0))))

  ;; The length minus 7; an input shorter than a word has none.
  (func (export "input_load_u64") (param $i i64) (result i64)
    (if (result i64)
      (i32.and
        (i64.ge_u (i64.load (i32.const 8)) (i64.const 8))
        (i64.le_u (local.get $i) (i64.sub (i64.load (i32.const 8)) (i64.const 8))))
      (then (i64.load (i32.wrap_i64 (i64.add (i64.load (i32.const 0)) (local.get $i)))))
      (else (i64.const 0))))

  (func (export "input_offset") (result i64) (i64.load (i32.const 0)))
  (func (export "input_length") (result i64) (i64.load (i32.const 8)))
  (func (export "output_offset") (result i64) (i64.load (i32.const 16)))
  (func (export "output_length") (result i64) (i64.load (i32.const 24)))
  (func (export "error_get") (result i64) (i64.load (i32.const 32))))
