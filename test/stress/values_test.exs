defmodule Wasmex.Stress.ValuesTest do
  # The largest values that components pass, in each direction, hold no scheduler.
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  import Wasmex.Held

  alias Wasmex.Components
  alias Wasmex.StoreLimits

  @mib 1_048_576

  defp component(wat, imports \\ %{}) do
    {:ok, store} = Components.Store.new(%StoreLimits{memory_size: 1_000 * @mib})
    {:ok, component} = Components.Component.new(store, wat)
    {:ok, instance} = Components.Instance.new(store, component, imports)
    instance
  end

  # A function `f` whose result is a list at 64, of `n` elements; the same memory each time.
  defp results(type, opts) do
    post = if opts[:post], do: ~s|(post-return (core func $i "post"))|, else: ""

    component("""
    (component
      (core module $m
        (memory (export "memory") 2100)
        (func (export "prepare") (param i32 i32)
          (loop $l
            (i32.store (i32.add (i32.const 64) (local.get 0)) (i32.const #{opts[:first] || 1}))
            (i32.store (i32.add (i32.const 68) (local.get 0)) (i32.const #{opts[:second] || 1}))
            (local.set 0 (i32.add (local.get 0) (i32.const 8)))
            (br_if $l (i32.lt_u (local.get 0) (local.get 1)))))
        (func (export "f") (param i32) (result i32)
          (i32.store (i32.const 0) (i32.const 64))
          (i32.store (i32.const 4) (local.get 0))
          (i32.const 0))
        (func (export "post") (param i32) (local i32)
          (local.set 1 (i32.const #{opts[:loops] || 1}))
          (loop $l
            (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
            (br_if $l (local.get 1)))))
      (core instance $i (instantiate $m))
      #{opts[:types]}
      (func (export "prepare") (param "at" u32) (param "end" u32) (canon lift (core func $i "prepare")))
      (func (export "f") (param "n" u32) (result #{type})
        (canon lift (core func $i "f") (memory (core memory $i "memory"))
          string-encoding=#{opts[:encoding] || "utf8"} #{post})))
    """)
  end

  defp call(instance, name, args, opts \\ []),
    do: Components.Instance.call(instance, name, args, opts)

  for {what, type, count, size, opts} <- [
        {"bytes", "(list u8)", 120 * @mib, 1, [call: [lists: :binary]]},
        {"numbers in a binary", "(list u32)", 30 * @mib, 4, [call: [lists: :binary]]},
        {"integers", "(list u32)", 2_000_000, 4, []},
        {"floats", "(list f64)", 1_000_000, 8, []},
        {"a string", "string", 120 * @mib, 1, [first: 0x61616161, second: 0x61616161]},
        {"a string in UTF-16", "string", 60 * @mib, 2, [encoding: "utf16", first: 0x20202020]},
        {"a string in Latin-1", "string", 100 * @mib, 1,
         [encoding: "latin1+utf16", first: 0x61E961E9]},
        {"strings", "(list string)", 400_000, 8, [first: 64, second: 5]},
        {"records", "(list $r)", 200_000, 8,
         [
           types:
             ~s|(type $r' (record (field "a" u32) (field "b" u32))) (export $r "r" (type $r'))|
         ]},
        {"lists that are all the same", "(list (list u8))", 1_900, 8,
         [first: 64, second: 65_536, call: [lists: :binary]]},
        {"empty lists", "(list (list u8))", 1_000_000, 8, [first: 64, second: 0]},
        {"options in options", "(list (option (option u8)))", 400_000, 4, []}
      ],
      {kind, more} <- [
        {"with post-return", [post: true]},
        {"with a long post-return", [post: true, loops: 20_000_000]},
        {"without post-return", []}
      ] do
    @case {type, count, size, opts ++ more}
    test "a large result #{kind}: #{what}" do
      {type, count, size, opts} = @case
      instance = results(type, opts)
      # Functions without a result.
      {:ok, _} = call(instance, "prepare", [0, count * size])

      assert_not_held(fn ->
        {:ok, _} = call(instance, "f", [count], opts[:call] || [])
        :ok
      end)
    end
  end

  # `f` passes `n` bytes to the import, which returns as many; its allocator takes several slices.
  @echo """
  (component
    (import "echo" (func $echo (param "bytes" (list u8)) (result (list u8))))
    (core module $memory
      (memory (export "memory") 4100)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (local.set 0 (i32.const 5000000))
        (loop $l
          (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
          (br_if $l (local.get 0)))
        (i32.const 134217728)))
    (core instance $mem (instantiate $memory))
    (core func $echo'
      (canon lower (func $echo) (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
    (core module $m
      (import "e" "memory" (memory 1))
      (import "e" "echo" (func $echo (param i32 i32 i32)))
      (func (export "f") (param i32) (result i32)
        (call $echo (i32.const 64) (local.get 0) (i32.const 0))
        (i32.load (i32.const 4)))
      (func (export "count") (param i32 i32) (result i32) (local.get 1)))
    (core instance $e (export "memory" (memory $mem "memory")) (export "echo" (func $echo')))
    (core instance $i (instantiate $m (with "e" (instance $e))))
    (func (export "f") (param "n" u32) (result u32) (canon lift (core func $i "f")))
    (func (export "count") (param "bytes" (list u8)) (result u32)
      (canon lift (core func $i "count") (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")))))
  """

  test "large arguments and results of an import" do
    bytes = :binary.copy("x", 100 * @mib)
    echo = fn _bytes -> bytes end
    instance = component(@echo, %{"echo" => {:fn, echo}})
    size = 100 * @mib
    # Bytes are integers unless they are few.
    for n <- [1 * @mib, 1_900_000] do
      assert_not_held(fn -> {:ok, ^size} = call(instance, "f", [n]) end)
    end
  end

  test "large arguments" do
    instance = component(@echo, %{"echo" => {:fn, fn bytes -> bytes end}})
    bytes = :binary.copy("x", 100 * @mib)
    assert_not_held(fn -> {:ok, _} = call(instance, "count", [bytes]) end)
    list = List.duplicate(1, 5_000_000)
    assert_not_held(fn -> {:ok, 5_000_000} = call(instance, "count", [list]) end)
  end
end
