;; The memory that a plug-in and its host share, and the functions that touch it byte by byte.
;;
;; A call from one module into another costs a third of one into the host, and plug-ins make one for each
;; byte or eight of their input. All that is rarer is in abi.rs.
;;
;; The first 64 bytes are the host's, each word 8 bytes, little endian. Plug-ins can't reach them:
;;
;;   0 input offset   8 input length   16 output offset   24 output length   32 error offset
;;   40 error length   48 how many bytes at the start of the block that was placed last an earlier call may have left there
(module $kernel
  (import "host" "place" (func $place (param i64) (result i64)))
  (memory (export "memory") 1)

  ;; A new block, all zero. What an earlier call left is cleared here and not by the host: a guest gives the scheduler
  ;; back between two turns of a loop, however much there is to clear.
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

  ;; n bytes at p lie within the memory and behind the words when p - 64 <= size - 64 - n: what is below the words
  ;; wraps round to a huge number. Written out in each function, for a call costs as much as all the rest.
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

  ;; The input was placed within the memory by the host: its own length is the bound.
  (func (export "input_load_u8") (param $i i64) (result i32)
    (if (result i32) (i64.lt_u (local.get $i) (i64.load (i32.const 8)))
      (then (i32.load8_u (i32.wrap_i64 (i64.add (i64.load (i32.const 0)) (local.get $i)))))
      (else (i32.const 0))))

  ;; The length less 7, or less than a word is none.
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
