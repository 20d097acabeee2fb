defmodule Wasmex.Hostile.Lifting do
  @moduledoc "Components that misbehave where values and resources cross: in `realloc`, after the return, in destructors."

  @kinds ~w(reallocs destructors)a

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded."
  # What the host writes goes where the guest says, and what the guest returns is read from there.
  def make(:reallocs) do
    encoding = one(["utf8", "utf16", "latin1+utf16"])
    post = one(["", "(post-return (core func $i \"post\"))"])

    type =
      one([
        "string",
        "(list u8)",
        "(list string)",
        "(list (list u16))",
        "(list (tuple u8 string))"
      ])

    text = one(["x", "é", "\u20AC", "\u{10FFFF}"])

    wat = """
    (component
      (import "up" (func $up))
      (core func $up' (canon lower (func $up)))
      (core instance $e (export "up" (func $up')))
      (core module $m
        (import "e" "up" (func $up))
        (memory (export "memory") 2)
        (global $at (mut i32) (i32.const 4096))
        (func $next (param i32) (result i32)
          (global.get $at) (global.set $at (i32.add (global.get $at) (i32.and (i32.add (local.get 0) (i32.const 15)) (i32.const -8)))))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) #{one(reallocs())})
        (func (export "post") (param i32) #{one(bodies())})
        (func (export "f") (param i32 i32) (result i32)
          (i32.store (i32.const 0) #{one(["(local.get 0)", "(i32.const -1)", "(i32.const 1)"])})
          (i32.store (i32.const 4) #{one(["(local.get 1)", "(i32.const -1)", "(i32.const 0x7fffffff)"])})
          #{one(["(i32.const 0)", "(i32.const 1)", "(i32.const -4)"])}))
      (core instance $i (instantiate $m (with "e" (instance $e))))
      (func (export "f") (param "a" #{type}) (result #{type})
        (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
          string-encoding=#{encoding} #{post})))
    """

    {:lifted, wat, value(type, String.duplicate(text, size(1_000_000)))}
  end

  def make(:destructors) do
    wat = """
    (component
      (import "up" (func $up))
      (core func $up' (canon lower (func $up)))
      (core instance $e (export "up" (func $up')))
      (core module $d
        (import "e" "up" (func $up))
        (memory 1)
        (func (export "dtor") (param i32) #{one(bodies())}))
      (core instance $d (instantiate $d (with "e" (instance $e))))
      (type $r' (resource (rep i32) (dtor (func $d "dtor"))))
      (export $r "r" (type $r'))
      (core func $new (canon resource.new $r'))
      (core func $drop (canon resource.drop $r'))
      (core instance $n (export "new" (func $new)) (export "drop" (func $drop)))
      (core module $m
        (import "n" "new" (func $new (param i32) (result i32)))
        (import "n" "drop" (func $drop (param i32)))
        (func (export "make") (result i32) (call $new (i32.const 7)))
        (func (export "both") (call $drop (call $new (i32.const 8)))))
      (core instance $i (instantiate $m (with "n" (instance $n))))
      (func (export "make") (result (own $r)) (canon lift (core func $i "make")))
      (func (export "both") (canon lift (core func $i "both"))))
    """

    {:resource, wat, one([:drop, :collect, :close, :kill, :again, :elsewhere])}
  end

  # What a guest does when it is asked to forget something.
  defp bodies do
    [
      "",
      "unreachable",
      "(loop $l (br $l))",
      "(call $up)",
      "(loop $l (call $up) (br $l))",
      "(local.set 0 (i32.load (i32.const -1)))",
      "(loop $l (drop (memory.grow (i32.const 1))) (br $l))",
      "(local.set 0 (i32.const 10000000)) (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))"
    ]
  end

  defp reallocs do
    [
      "(call $next (local.get 3))",
      "(call $next (local.get 3))",
      "(drop (memory.grow (i32.const 100))) (call $next (local.get 3))",
      "(i32.const 0)",
      "(i32.const -1)",
      "(i32.const 1)",
      "(i32.const 131071)",
      "unreachable",
      "(call $up) (i32.const 4096)",
      "(loop $l (br $l)) (i32.const 0)",
      "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (i32.const 0)"
    ]
  end

  defp value("string", text), do: text
  defp value("(list u8)", text), do: text
  defp value("(list string)", text), do: List.duplicate(String.slice(text, 0, 100), size(10_000))

  defp value("(list (list u16))", _text),
    do: List.duplicate(Enum.to_list(1..size(100)), size(1_000))

  defp value(_tuples, text), do: List.duplicate({1, String.slice(text, 0, 100)}, size(10_000))

  # Small and large alike.
  defp size(most), do: max(1, round(:math.pow(most, :rand.uniform())))
  defp one(list), do: Enum.random(list)
end
