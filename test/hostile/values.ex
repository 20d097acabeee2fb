defmodule Wasmex.Hostile.Values do
  @moduledoc "Components that pass much at once, in each direction: the same for the same kind and seed."

  @kinds ~w(results params)a

  # Type, size of an element, what each eight bytes of it are.
  @types [
    {"(list u8)", 1, {1, 1}},
    {"(list u32)", 4, {7, 7}},
    {"(list s64)", 8, {7, 7}},
    {"(list f32)", 4, {7, 7}},
    {"(list bool)", 1, {1, 1}},
    {"(list char)", 4, {97, 98}},
    {"string", 1, {0x61616161, 0x61616161}},
    {"string", 1, {0x61616161, 0xFF616161}},
    {"(list string)", 8, {64, 5}},
    {"(list (list u8))", 8, {64, 65_536}},
    {"(list (list u8))", 8, {64, 0}},
    {"(list (list (list u32)))", 8, {64, 100}},
    {"(list (option (option u8)))", 4, {1, 1}},
    {"(list (tuple u8 u32))", 8, {1, 1}},
    {"(list (result u32 (error string)))", 12, {1, 1}}
  ]

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded: WAT, the number of elements, options of the call."
  def make(:results) do
    {type, size, {first, second}} = one(@types)
    encoding = one(["utf8", "utf16", "latin1+utf16"])
    post = one(["", ~s|(post-return (core func $i "post"))|])

    wat = """
    (component
      (core module $m
        (memory (export "memory") 2100)
        (func (export "f") (param i32) (result i32) (local i32)
          #{fill(size, first, second)}
          (i32.store (i32.const 0) (i32.const 64))
          (i32.store (i32.const 4) (local.get 0))
          (i32.const 0))
        (func (export "post") (param i32) (local i32)
          (local.set 1 (i32.const #{one([1, 1_000_000])}))
          (loop $l
            (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
            (br_if $l (local.get 1)))))
      (core instance $i (instantiate $m))
      (func (export "f") (param "n" u32) (result #{type})
        (canon lift (core func $i "f") (memory (core memory $i "memory")) string-encoding=#{encoding} #{post})))
    """

    {:values, wat, count(size), lists: one([:list, :binary])}
  end

  def make(:params) do
    {type, size, {first, second}} = one(@types)

    wat = """
    (component
      (import "take" (func $take (param "x" #{type}) (param "n" u32) (result #{type})))
      (core module $mem
        (memory (export "memory") 2100)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
          (i32.and (i32.add (i32.const 100000000) (local.get 2)) (i32.sub (i32.const 0) (local.get 2)))))
      (core instance $mem (instantiate $mem))
      (core func $take'
        (canon lower (func $take) (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
      (core module $m
        (import "e" "memory" (memory 1))
        (import "e" "take" (func $take (param i32 i32 i32 i32)))
        (func (export "f") (param i32) (result i32) (local i32)
          #{fill(size, first, second)}
          (call $take (i32.const 64) (local.get 0) (local.get 0) (i32.const 0))
          (i32.load (i32.const 4))))
      (core instance $e (export "memory" (memory $mem "memory")) (export "take" (func $take')))
      (core instance $i (instantiate $m (with "e" (instance $e))))
      (func (export "f") (param "n" u32) (result u32) (canon lift (core func $i "f"))))
    """

    {:values, wat, count(size), []}
  end

  defp count(size), do: :rand.uniform(div(one([1_000, 1_000_000, 100_000_000]), size))

  # Of the list that begins at 64.
  defp fill(size, first, second) do
    """
    (loop $fill
      (i32.store (i32.add (i32.const 64) (local.get 1)) (i32.const #{first}))
      (i32.store (i32.add (i32.const 68) (local.get 1)) (i32.const #{second}))
      (local.set 1 (i32.add (local.get 1) (i32.const 8)))
      (br_if $fill (i32.lt_u (local.get 1) (i32.mul (local.get 0) (i32.const #{size})))))
    """
  end

  defp one(list), do: Enum.random(list)
end
