defmodule Wasmex.GrowingGuests do
  @moduledoc "Guests whose function `grow` takes more of one thing until it gets no more."

  @doc "By what they take: the module, and how much of it they may get by default, in bytes of memory that they use."
  def all do
    gib = 1024 * 1024 * 1024

    %{
      "pages of memory" => {
        """
        (module (memory (export "m") 0)
          (func (export "grow") (result i32)
            (local $at i32)
            (loop $again
              (local.set $at (memory.grow (i32.const 16)))
              (if (i32.lt_s (local.get $at) (i32.const 0)) (then (return (local.get $at))))
              (memory.fill (i32.shl (local.get $at) (i32.const 16)) (i32.const 1) (i32.const 1048576))
              (br $again))
            (unreachable)))
        """,
        4 * gib
      },
      "pages of memories with 64-bit addresses" => {
        """
        (module (memory (export "m") i64 0)
          (func (export "grow") (result i32)
            (local $at i64)
            (loop $again
              (local.set $at (memory.grow (i64.const 16)))
              (if (i64.lt_s (local.get $at) (i64.const 0)) (then (return (i32.const -1))))
              (memory.fill (i64.shl (local.get $at) (i64.const 16)) (i32.const 1) (i64.const 1048576))
              (br $again))
            (unreachable)))
        """,
        4 * gib
      },
      "pages of many memories" => {
        """
        (module #{String.duplicate("(memory 0)", 20)}
          (func (export "grow") (result i32)
            (local $at i32)
            #{for memory <- 0..19 do
          """
          (block $full#{memory} (loop $again
            (local.set $at (memory.grow #{memory} (i32.const 64)))
            (br_if $full#{memory} (i32.lt_s (local.get $at) (i32.const 0)))
            (memory.fill #{memory} (i32.shl (local.get $at) (i32.const 16)) (i32.const 1) (i32.const 4194304))
            (br $again)))
          """
        end}
            (i32.const -1)))
        """,
        4 * gib
      },
      "objects" => {
        """
        (module
          (type $node (struct (field (ref null $node)) (field i64 i64 i64)))
          (global $head (mut (ref null $node)) (ref.null $node))
          (func (export "clear") (global.set $head (ref.null $node)))
          (func (export "grow")
            (loop $again
              (global.set $head (struct.new $node (global.get $head) (i64.const 1) (i64.const 2) (i64.const 3)))
              (br $again))))
        """,
        4 * gib
      },
      "arrays" => {
        """
        (module
          (type $bytes (array (mut i8)))
          (type $node (struct (field (ref null $node)) (field (ref $bytes))))
          (global $head (mut (ref null $node)) (ref.null $node))
          (func (export "grow")
            (loop $again
              (global.set $head
                (struct.new $node (global.get $head) (array.new $bytes (i32.const 1) (i32.const 100000))))
              (br $again))))
        """,
        4 * gib
      },
      "exceptions" => {
        """
        (module
          (tag $one (param exnref))
          (global $last (mut exnref) (ref.null exn))
          (func (export "grow")
            (loop $again
              (global.set $last
                (block $caught (result exnref)
                  (try_table (catch_all_ref $caught) (throw $one (global.get $last)))
                  (unreachable)))
              (br $again))))
        """,
        4 * gib
      },
      "elements of a table" => {
        """
        (module (table funcref (elem $f)) (func $f)
          (func (export "grow") (result i32)
            (loop $again
              (br_if $again (i32.ge_s (table.grow (ref.func $f) (i32.const 1000)) (i32.const 0))))
            (i32.const -1)))
        """,
        gib
      },
      "elements of many tables" => {
        """
        (module #{String.duplicate("(table 0 externref)", 20)}
          (func (export "grow") (result i32)
            #{for table <- 0..19 do
          "(loop $again (br_if $again (i32.ge_s (table.grow #{table} (ref.null extern) (i32.const 1000)) (i32.const 0))))"
        end}
            (i32.const -1)))
        """,
        gib
      },
      "elements of tables of objects" => {
        """
        (module
          (type $node (struct (field i64)))
          #{String.duplicate("(table 0 (ref null $node))", 20)}
          (func $garbage
            (local $left i32)
            (local.set $left (i32.const 1000))
            (loop $again
              (drop (struct.new $node (i64.const 1)))
              (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
          (func (export "grow") (result i32)
            (local $node (ref null $node))
            (local.set $node (struct.new $node (i64.const 1)))
            #{for table <- 0..19 do
          """
          (loop $again
            (call $garbage)
            (br_if $again (i32.ge_s (table.grow #{table} (local.get $node) (i32.const 400000)) (i32.const 0))))
          """
        end}
            (i32.const -1)))
        """,
        gib
      },
      "terms of a few words" => {terms("small"), gib},
      "terms of a single word" => {terms("word"), 2 * gib},
      "binaries" => {terms("binary"), gib},
      "terms" => {
        """
        (module (import "host" "term" (func $term (result externref)))
          (table $terms 100000 externref)
          (func (export "grow")
            (local $at i32)
            (loop $again
              (table.set $terms (local.get $at) (call $term))
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (br $again))))
        """,
        gib
      }
    }
  end

  # A table of what this import returns, which grows with it.
  defp terms(import) do
    """
    (module (import "host" "#{import}" (func $term (result externref)))
      (table $terms 0 externref)
      (func (export "grow") (result i32)
        (local $at i32)
        (loop $again
          (if (i32.ge_u (local.get $at) (table.size $terms))
            (then
              (if (i32.lt_s (table.grow $terms (ref.null extern) (i32.const 1000)) (i32.const 0))
                (then (return (i32.const -1))))))
          (table.set $terms (local.get $at) (call $term))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $again))
        (unreachable)))
    """
  end

  @doc "Terms of 100 kB, of a few words and of one, each time a new one, for those that take terms."
  def imports do
    %{
      "host" => %{
        "term" => {:fn, [], [:externref], fn _ -> List.duplicate(1, 6_000) end},
        "small" => {:fn, [], [:externref], fn _ -> {System.unique_integer()} end},
        "word" => {:fn, [], [:externref], fn _ -> :rand.uniform(1_000) end},
        "binary" => {:fn, [], [:externref], fn _ -> :binary.copy("x", 100_000) end}
      }
    }
  end
end
