defmodule Wasmex.Components.LargeValuesTest do
  # Values that take longer than a slice become terms on a dirty scheduler: while the guest is suspended where it enters
  # `post-return`, after its function, or in an import.
  use ExUnit.Case, async: true

  alias Wasmex.Components
  alias Wasmex.StoreLimits

  @mib 1_048_576

  defp component(wat, imports \\ %{}, limits \\ %StoreLimits{}) do
    {:ok, store} = Components.Store.new(limits)
    {:ok, component} = Components.Component.new(store, wat)
    {:ok, instance} = Components.Instance.new(store, component, imports)
    instance
  end

  # `f` returns a list at 64, of `n` elements. `post` overwrites it; `posts` says how often it ran.
  defp lists(type, opts \\ []) do
    post = if opts[:post] == false, do: "", else: ~s|(post-return (core func $i "post"))|
    encoding = opts[:encoding] || "utf8"

    """
    (component
      (core module $m
        (memory (export "memory") 200)
        (global $posts (mut i32) (i32.const 0))
        (data (i32.const 64) "#{opts[:data]}")
        (func (export "fill") (param i32 i32)
          (memory.fill (i32.const 64) (local.get 0) (local.get 1)))
        (func (export "f") (param i32) (result i32)
          (i32.store (i32.const 0) (i32.const 64))
          (i32.store (i32.const 4) (local.get 0))
          (i32.const 0))
        (func (export "post") (param i32) (local i32)
          (memory.fill (i32.const 0) (i32.const 255) (i32.const 12000000))
          (global.set $posts (i32.add (global.get $posts) (i32.const 1)))
          (local.set 1 (i32.const #{opts[:loops] || 1}))
          (loop $l
            (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
            (br_if $l (local.get 1))))
        (func (export "posts") (result i32) (global.get $posts)))
      (core instance $i (instantiate $m))
      #{opts[:types]}
      (func (export "fill") (param "byte" u32) (param "n" u32) (canon lift (core func $i "fill")))
      (func (export "posts") (result u32) (canon lift (core func $i "posts")))
      (func (export "f") (param "n" u32) (result #{type})
        (canon lift (core func $i "f") (memory (core memory $i "memory")) string-encoding=#{encoding} #{post})))
    """
  end

  defp call(instance, name, args), do: Components.Instance.call(instance, name, args)

  defp check(instance, count, size, byte, expected) do
    {:ok, _} = call(instance, "fill", [byte, count * size])
    assert {:ok, result} = call(instance, "f", [count])
    assert result == expected
  end

  for {post, loops} <- [{true, 1}, {true, 3_000_000}, {false, 1}] do
    @post post
    @loops loops
    describe "a large result, post-return: #{post}, #{loops} loops" do
      test "of numbers" do
        instance = component(lists("(list u32)", post: @post, loops: @loops))
        check(instance, 500_000, 4, 1, List.duplicate(0x01010101, 500_000))
        check(instance, 2, 4, 2, List.duplicate(0x02020202, 2))
        if @post, do: assert(call(instance, "posts", []) == {:ok, 2})
      end

      test "of bytes" do
        {:ok, store} = Wasmex.Components.Store.new()

        {:ok, component} =
          Components.Component.new(store, lists("(list u8)", post: @post, loops: @loops))

        {:ok, instance} = Components.Instance.new(store, component, %{})

        for count <- [3 * @mib, 10, 9 * @mib] do
          {:ok, _} = call(instance, "fill", [7, count])
          assert {:ok, bytes} = Components.Instance.call(instance, "f", [count], lists: :binary)
          assert IO.iodata_length(List.wrap(packed(bytes))) == count
          assert :binary.match(packed(bytes), <<255>>) == :nomatch
        end
      end

      test "of strings, in each encoding" do
        for {encoding, count, byte, expected} <- [
              {"utf8", 5 * @mib, ?a, String.duplicate("a", 5 * @mib)},
              {"utf16", 2 * @mib, 0x20, String.duplicate("\u2020", 2 * @mib)},
              {"latin1+utf16", 3 * @mib, 0xE9, String.duplicate("é", 3 * @mib)}
            ] do
          instance = component(lists("string", post: @post, loops: @loops, encoding: encoding))
          size = if encoding == "utf16", do: 2, else: 1
          check(instance, count, size, byte, expected)
          check(instance, 1, size, byte, String.first(expected))
        end
      end

      test "of records" do
        types =
          ~s|(type $r' (record (field "a" u16) (field "b" (option u8)))) (export $r "r" (type $r'))|

        instance = component(lists("(list $r)", post: @post, loops: @loops, types: types))
        {:ok, _} = call(instance, "fill", [1, 100_000 * 4])
        assert {:ok, records} = call(instance, "f", [100_000])
        assert length(records) == 100_000
        assert Enum.uniq(records) == [%{"a" => 0x0101, "b" => {:some, 1}}]
      end
    end
  end

  defp packed({_type, bytes}), do: bytes
  defp packed(bytes), do: bytes

  test "a large result that is invalid is an error, and the next one too" do
    for post <- [true, false] do
      instance = component(lists("string", post: post))
      {:ok, _} = call(instance, "fill", [255, 4 * @mib])
      assert {:error, error} = call(instance, "f", [4 * @mib])
      assert Exception.message(error) =~ "utf-8"
      assert {:error, _} = call(instance, "posts", [])
    end
  end

  test "a large result is limited" do
    limits = %StoreLimits{hostcall_fuel: 3 * @mib}
    instance = component(lists("string"), %{}, limits)
    check(instance, 2 * @mib, 1, ?a, String.duplicate("a", 2 * @mib))
    {:ok, _} = call(instance, "fill", [?a, 4 * @mib])
    assert {:error, error} = call(instance, "f", [4 * @mib])
    assert Exception.message(error) =~ "too much data"
  end

  @import """
  (component
    (import "take" (func $take (param "text" string) (param "n" u32) (result u32)))
    (core module $memory (memory (export "memory") 100)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
    (core instance $mem (instantiate $memory))
    (core func $take' (canon lower (func $take) (memory (core memory $mem "memory"))))
    (core module $m
      (import "e" "memory" (memory 1))
      (import "e" "take" (func $take (param i32 i32 i32) (result i32)))
      (func (export "f") (param i32 i32) (result i32)
        (memory.fill (i32.const 64) (i32.const 0x61) (local.get 0))
        (call $take (i32.const 64) (local.get 0) (local.get 1))))
    (core instance $e (export "memory" (memory $mem "memory")) (export "take" (func $take')))
    (core instance $i (instantiate $m (with "e" (instance $e))))
    (func (export "f") (param "length" u32) (param "n" u32) (result u32) (canon lift (core func $i "f"))))
  """

  test "large arguments of an import" do
    me = self()

    take = fn text, n ->
      send(me, {:taken, byte_size(text), n, self()})
      n + 1
    end

    instance = component(@import, %{"take" => {:fn, take}})

    for length <- [10, 5 * @mib, 6 * @mib, 3] do
      assert call(instance, "f", [length, length + 7]) == {:ok, length + 8}
      assert_received {:taken, ^length, n, ^me} when n == length + 7
    end
  end

  @handles """
  (component
    (type $r' (resource (rep i32)))
    (core func $new (canon resource.new $r'))
    (core func $rep (canon resource.rep $r'))
    (core module $m
      (import "e" "new" (func $new (param i32) (result i32)))
      (import "e" "rep" (func $rep (param i32) (result i32)))
      (memory (export "memory") 200)
      (func (export "f") (param i32 i32) (result i32) (local i32)
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (local.get 0))
        (i32.store (i32.const 8) (i32.const 2000000))
        (i32.store (i32.const 12) (local.get 1))
        (block $b (loop $l
          (br_if $b (i32.ge_u (local.get 2) (local.get 0)))
          (i32.store
            (i32.add (i32.const 64) (i32.shl (local.get 2) (i32.const 2)))
            (call $new (i32.add (local.get 2) (i32.const 100))))
          (local.set 2 (i32.add (local.get 2) (i32.const 1)))
          (br $l)))
        (i32.const 0))
      (func (export "post") (param i32) (memory.fill (i32.const 0) (i32.const 255) (i32.const 12000000)))
      (func (export "rep") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m (with "e" (instance (export "new" (func $new)) (export "rep" (func $rep))))))
    (export $r "r" (type $r'))
    (func (export "f") (param "n" u32) (param "bytes" u32) (result (tuple (list (own $r)) (list u8)))
      (canon lift (core func $i "f") (memory (core memory $i "memory")) (post-return (core func $i "post"))))
    (func (export "rep") (param "r" (borrow $r)) (result u32) (canon lift (core func $i "rep"))))
  """

  test "resources in a large result" do
    instance = component(@handles)

    for {handles, bytes} <- [{1, 4 * @mib}, {10_000, 10}, {0, 3 * @mib}, {1_000, 2 * @mib}] do
      assert {:ok, {list, taken}} =
               Components.Instance.call(instance, "f", [handles, bytes], lists: :binary)

      assert length(list) == handles and byte_size(taken) == bytes
      assert Enum.uniq(list) == list

      for {handle, index} <- Enum.with_index(list), rem(index, 97) == 0 do
        assert call(instance, "rep", [handle]) == {:ok, index + 100}
      end
    end

    assert {:error, error} = call(instance, "f", [16_385, 0])
    assert Exception.message(error) =~ "16384 resources"
  end

  test "a guest that is killed while its large result waits gives the store back, and no other memory is read" do
    wat = lists("(list u32)", loops: 100_000)

    for _ <- 1..20 do
      instance = component(wat)
      {pid, ref} = spawn_monitor(fn -> call(instance, "f", [2_000_000]) end)
      Process.sleep(:rand.uniform(12) - 1)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^ref, :process, ^pid, _}
      assert {_, _} = call(instance, "posts", [])
    end
  end
end
