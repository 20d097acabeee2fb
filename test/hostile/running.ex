defmodule Wasmex.Hostile.Running do
  # Without single instructions that go through megabytes: these hold a scheduler, see guides/security.md.
  @moduledoc "Modules that are taken, and that do what they can once they run."

  @kinds ~w(growing recursive thrown objects nested_calls instant fuelled)a

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded: fields of a module, the number that its function `f` gets, options of the call."
  def make(:growing) do
    {:guest,
     one([
       "(memory 1) (func (export \"f\") (param i32) (loop $l (drop (memory.grow (local.get 0))) (br $l)))",
       "(memory i64 1) (func (export \"f\") (param i32) (loop $l (drop (memory.grow (i64.const #{one([1, 65_536, 0xFFFF_FFFF_FFFF])}))) (br $l)))",
       "(table $t 1 externref) (func (export \"f\") (param i32) (loop $l (drop (table.grow $t (ref.null extern) (i32.and (local.get 0) (i32.const 0xfff)))) (br $l)))",
       "(table $t i64 1 anyref) (func (export \"f\") (param i32) (loop $l (drop (table.grow $t (ref.i31 (local.get 0)) (i64.const #{one([1, 1000, 0xFFFF_FFFF_FFFF_FFFF])}))) (br $l)))",
       "(memory 1) (data $d \"x\") (func (export \"f\") (param i32) (memory.init $d (i32.const 0) (i32.const 0) (local.get 0)) )",
       "(table $t 1000 funcref) (func (export \"f\") (param i32) (table.copy $t $t (i32.const 0) (i32.const 1) (local.get 0)))",
       "(table $t 1000 externref) (func (export \"f\") (param i32) (loop $l (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 999)) (br $l)))",
       "(table $t 10000 funcref) (func $g) (elem declare func $g) (func (export \"f\") (param i32) (loop $l (table.fill $t (i32.const 0) (ref.func $g) (i32.const 10000)) (br $l)))",
       "(memory 10) (func (export \"f\") (param i32) (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 655360)) (br $l)))",
       "(memory 1 65536 shared) (func (export \"f\") (param i32) (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))",
       "(memory 1 1) (func (export \"f\") (param i32) (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))",
       "(memory 1 1) (func (export \"f\") (param i32) (loop $l (drop (memory.atomic.notify (i32.const 0) (i32.const -1))) (br $l)))",
       Enum.map_join(1..size(90), "", fn _ -> "(memory 0)" end) <>
         "(func (export \"f\") (param i32) (loop $l #{Enum.map_join(1..3, "", &"(drop (memory.grow #{rem(&1, 1)} (i32.const 1000)))")} (br $l)))"
     ]), size(0x7FFF_FFFF), []}
  end

  def make(:recursive) do
    many = size(1_000)
    types = String.duplicate("i64 ", many)
    values = String.duplicate("(i64.const 1) ", many)
    gets = Enum.map_join(0..(many - 1), " ", &"(local.get #{&1})")

    {:guest,
     one([
       "(func $g (result #{types}) (call $g)) (func (export \"f\") (param i32) (drop (call $h))) (func $h (result i32) (call $g) #{String.duplicate("drop ", many)} (i32.const 0))",
       "(func $g (param #{types}) (result #{types}) (call $g #{gets})) (func (export \"f\") (param i32) (call $g #{values}) #{String.duplicate("drop ", many)})",
       "(func $g (param #{types}) (result #{types}) (return_call $g #{gets})) (func (export \"f\") (param i32) (call $g #{values}) #{String.duplicate("drop ", many)})",
       "(type $t (func (param i32))) (table funcref (elem $f)) (func $f (export \"f\") (type $t) (return_call_indirect (type $t) (local.get 0) (i32.const 0)))",
       "(type $t (func (param i32))) (elem declare func $f) (func $f (export \"f\") (type $t) (return_call_ref $t (local.get 0) (ref.func $f)))",
       "(func $a (param i32) (return_call $b (local.get 0) (i64.const 0))) (func $b (param i32 i64) (return_call $a (local.get 0))) (func (export \"f\") (param i32) (call $a (local.get 0)))",
       "(func $f (export \"f\") (param i32) (local #{String.duplicate("i64 ", 40_000)}) (call $f (local.get 0)))"
     ]), size(1_000), []}
  end

  def make(:thrown) do
    many = size(1_000)
    types = String.duplicate("i64 ", many)
    values = String.duplicate("(i64.const 1) ", many)

    {:guest,
     one([
       "(tag $t) (func (export \"f\") (param i32) (throw $t))",
       "(tag $t (param #{types})) (func (export \"f\") (param i32) (throw $t #{values}))",
       "(tag $t (param #{types})) (func (export \"f\") (param i32) (loop $l (block $c (result #{types}) (try_table (catch $t $c) (throw $t #{values})) (unreachable)) #{String.duplicate("drop ", many)} (br $l)))",
       "(tag $t) (func $g (param i32) (if (i32.eqz (local.get 0)) (then (throw $t))) (call $g (i32.sub (local.get 0) (i32.const 1)))) (func (export \"f\") (param i32) (loop $l (block $c (try_table (catch $t $c) (call $g (i32.const 1000)))) (br $l)))",
       "(import \"e\" \"up\" (func $up (param i32))) (tag $t) (func (export \"f\") (param i32) (block $c (try_table (catch_all $c) (call $up (local.get 0)))) (throw $t))",
       "(import \"e\" \"up\" (func $up (param i32))) (tag $t) (func (export \"f\") (param i32) (loop $l (block $c (try_table (catch_all $c) (call $up (local.get 0)))) (br $l)))",
       "(tag $t) (global $g (mut exnref) (ref.null exn)) (func (export \"f\") (param i32) (block $c (result exnref) (try_table (catch_all_ref $c) (throw $t)) (unreachable)) (global.set $g) (throw_ref (global.get $g)))",
       "(func (export \"f\") (param i32) (throw_ref (ref.null exn)))",
       "(tag $t (param externref)) (func (export \"f\") (param i32) (loop $l (block $c (result externref) (try_table (catch $t $c) (throw $t (ref.null extern))) (unreachable)) (drop) (br $l)))",
       "(tag $t (param exnref)) (global $g (mut exnref) (ref.null exn)) (func (export \"f\") (param i32) (loop $l (block $c (result exnref) (try_table (catch_all_ref $c) (throw $t (global.get $g))) (unreachable)) (global.set $g) (br $l)))"
     ]), size(1_000), []}
  end

  def make(:objects) do
    {:guest,
     one([
       "(type $n (struct (field (mut (ref null $n))) (field i64))) (global $g (mut (ref null $n)) (ref.null $n)) (func (export \"f\") (param i32) (loop $l (global.set $g (struct.new $n (global.get $g) (i64.const 1))) (br $l)))",
       "(type $n (struct (field (mut (ref null $n))) (field i64))) (global $g (mut (ref null $n)) (ref.null $n)) (func (export \"f\") (param i32) (loop $l (loop $m (global.set $g (struct.new $n (global.get $g) (i64.const 1))) (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $m (local.get 0))) (global.set $g (ref.null $n)) (local.set 0 (i32.const 1000000)) (br $l)))",
       "(type $n (struct (field (mut (ref null $n))))) (func (export \"f\") (param i32) (local (ref null $n)) (loop $l (local.set 1 (struct.new $n (ref.null $n))) (struct.set $n 0 (local.get 1) (local.get 1)) (br $l)))",
       "(type $a (array (mut i8))) (func (export \"f\") (param i32) (loop $l (drop (array.new_default $a (i32.and (local.get 0) (i32.const 0xffff)))) (br $l)))",
       "(type $a (array (mut (ref null any)))) (func (export \"f\") (param i32) (loop $l (drop (array.new $a (ref.i31 (i32.const 1)) (i32.and (local.get 0) (i32.const 0xfff)))) (br $l)))",
       "(type $a (array (mut (ref null $a)))) (global $g (mut (ref null $a)) (ref.null $a)) (func (export \"f\") (param i32) (loop $l (global.set $g (array.new $a (global.get $g) (i32.const 1000))) (br $l)))",
       "(type $a (array (mut i64))) (func (export \"f\") (param i32) (drop (array.new_default $a (i32.const #{one([0x7FFFFFFF, -1])}))))",
       "(type $a (array (mut i8))) (data $d \"x\") (func (export \"f\") (param i32) (drop (array.new_data $a $d (i32.const 0) (local.get 0))))",
       "(type $a (array (mut i8))) (func (export \"f\") (param i32) (local (ref $a)) (local.set 1 (array.new_default $a (i32.const 100000))) (loop $l (array.copy $a $a (local.get 1) (i32.const 1) (local.get 1) (i32.const 0) (i32.const 99999)) (br $l)))",
       "(type $a (array (mut anyref))) (func (export \"f\") (param i32) (local (ref $a)) (local.set 1 (array.new_default $a (i32.const 10000))) (loop $l (array.fill $a (local.get 1) (i32.const 0) (local.get 1) (i32.const 10000)) (br $l)))",
       "(type $s (struct)) (table $t 1000000 (ref null $s)) (func (export \"f\") (param i32) (loop $l (table.set $t (i32.and (local.get 0) (i32.const 0xfffff)) (struct.new $s)) (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if $l (i32.lt_u (local.get 0) (i32.const 900000)))))",
       "(type $s (struct #{String.duplicate("(field i64)", 9_000)})) (func (export \"f\") (param i32) (loop $l (drop (struct.new_default $s)) (br $l)))",
       "(import \"e\" \"ref\" (func $r (param externref) (result externref))) (func (export \"f\") (param i32) (local externref) (loop $l (local.set 1 (call $r (local.get 1))) (br $l)))",
       "(import \"e\" \"ref\" (func $r (param externref) (result externref))) (table $t 100000 externref) (func (export \"f\") (param i32) (loop $l (table.set $t (i32.rem_u (local.get 0) (i32.const 100000)) (call $r (ref.null extern))) (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br $l)))"
     ]), size(0x7FFF_FFFF), []}
  end

  def make(:nested_calls) do
    {:guest,
     one([
       "(import \"e\" \"again\" (func $a (param i32))) (func (export \"f\") (param i32) (call $a (local.get 0)))",
       "(import \"e\" \"again\" (func $a (param i32))) (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $a (i32.const 5))))) (func (export \"f\") (param i32) (call $deep (i32.const 8000)))",
       "(import \"e\" \"again\" (func $a (param i32))) (func $deep (param i32) (call $a (i32.const 1)) (call $deep (local.get 0))) (func (export \"f\") (param i32) (call $deep (i32.const 1)))",
       "(import \"e\" \"again\" (func $a (param i32))) (tag $t) (func (export \"f\") (param i32) (block $c (try_table (catch_all $c) (call $a (local.get 0)))) (throw $t))",
       "(import \"e\" \"again\" (func $a (param i32))) (memory 1) (func (export \"f\") (param i32) (drop (memory.grow (i32.const 100))) (call $a (local.get 0)) (i32.store (i32.const -1) (i32.const 0)))"
     ]), size(1_000), []}
  end

  # What runs while it is made.
  def make(:instant) do
    {:guest,
     one([
       "(func $s (loop $l (br $l))) (start $s) (func (export \"f\") (param i32))",
       "(func $s unreachable) (start $s) (func (export \"f\") (param i32))",
       "(func $s (call $s)) (start $s) (func (export \"f\") (param i32))",
       "(memory 1) (func $s (loop $l (drop (memory.grow (i32.const 1))) (br $l))) (start $s) (func (export \"f\") (param i32))",
       "(import \"e\" \"up\" (func $up (param i32))) (func $s (call $up (i32.const 1))) (start $s) (func (export \"f\") (param i32))",
       "(tag $t) (func $s (throw $t)) (start $s) (func (export \"f\") (param i32))",
       "(memory #{one([65_536, 65_535, 40_000])}) (func (export \"f\") (param i32) (i32.store (i32.const 0) (i32.const 1)))",
       "(memory i64 #{one([0x1_0000_0000_0000, 0xFFFF_FFFF_FFFF, 1_000_000_000])}) (func (export \"f\") (param i32))",
       "(table #{one([10_000_001, 4_294_967_295, 10_000_000])} funcref) (func (export \"f\") (param i32))",
       "(table i64 #{one([0xFFFF_FFFF_FFFF_FFFF, 0x1_0000_0000, 10_000_000])} externref) (func (export \"f\") (param i32))",
       "(memory 1) (data (i32.const 65536) \"x\") (func (export \"f\") (param i32))",
       "(memory 65536) (data (i32.const -1) \"x\") (func (export \"f\") (param i32))",
       "(memory 0 65536 shared) (func (export \"f\") (param i32))",
       "(type $a (array i64)) (global (ref $a) (array.new_default $a (i32.const #{one([-1, 100_000])}))) (func (export \"f\") (param i32))",
       String.duplicate("(memory 65536)", size(99)) <> "(func (export \"f\") (param i32))",
       String.duplicate("(table 10000000 externref)", size(99)) <>
         "(func (export \"f\") (param i32))",
       String.duplicate("(table 1000000 (ref null any) (ref.i31 (i32.const 1)))", size(99)) <>
         "(func (export \"f\") (param i32))"
     ]), 1, []}
  end

  def make(:fuelled) do
    {:guest, wat, number, []} = make(one(@kinds -- [:fuelled]))
    fuel = one([0, 1, 2, 1_000, 0x7FFF_FFFF_FFFF_FFFF])
    {:guest, wat, number, [fuel: fuel]}
  end

  # Small and large alike.
  defp size(most), do: max(1, round(:math.pow(most, :rand.uniform())))
  defp one(list), do: Enum.random(list)
end
