defmodule Wasmex.Call.NestedTest do
  # Calls within the imports of others, so deep that they run on dirty schedulers.
  use ExUnit.Case, async: true

  import Wasmex.Guest, only: [instance: 3]

  alias Wasmex.{Instance, Plugin, Store}

  @deepest 12

  # What it gets goes back through Elixir from the innermost call.
  @wat """
  (module
    (import "e" "again" (func $again (param i32) (result externref)))
    (func (export "f") (param i32 externref) (result externref)
      (if (result externref) (local.get 0)
        (then (call $again (local.get 0)))
        (else (local.get 1)))))
  """

  # While this process calls, its terms are moved all the time.
  defp while_collected(fun) do
    me = self()
    collector = spawn_link(fn -> collect(me) end)
    result = fun.()
    Process.unlink(collector)
    Process.exit(collector, :kill)
    result
  end

  defp collect(pid) do
    :erlang.garbage_collect(pid)
    collect(pid)
  end

  defp term(depth, round), do: {depth, Enum.map(1..40, &{round, &1}), "#{round} #{depth}"}

  test "take their terms from the NIF that begins them" do
    {:ok, store} = Store.new()
    round = fn -> Process.get(:round) end

    again = fn _context, depth ->
      {:ok, [got]} =
        Instance.call(Process.get(:instance), "f", [depth - 1, term(depth - 1, round.())])

      assert got == term(0, round.())
      got
    end

    instance = instance(store, @wat, %{"e" => %{"again" => {:fn, [:i32], [:externref], again}}})
    Process.put(:instance, instance)

    while_collected(fn ->
      for round <- 1..3 do
        Process.put(:round, round)
        assert {:ok, [got]} = Instance.call(instance, "f", [@deepest, term(@deepest, round)])
        assert got == term(0, round)
      end
    end)
  end

  @plugin """
  (module
    (import "extism:host/user" "again" (func $again (param i64) (result i64)))
    (import "extism:host/env" "input_offset" (func $input (result i64)))
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (func (export "ask") (result i32)
      (local $got i64)
      (local.set $got (call $again (call $input)))
      (call $output (local.get $got) (call $length (local.get $got)))
      (i32.const 0)))
  """

  test "of a plug-in take their input from it, too" do
    again = fn
      _context, "0" ->
        "end"

      context, depth ->
        less = Integer.to_string(String.to_integer(depth) - 1)
        depth <> "," <> Plugin.call!(context.plugin, "ask", less)
    end

    functions = %{"extism:host/user" => %{"again" => {:fn, [:bytes], [:bytes], again}}}
    {:ok, plugin} = Plugin.new({:bytes, @plugin}, functions: functions)
    counted = Enum.join(@deepest..1//-1, ",") <> ",end"

    while_collected(fn ->
      for _ <- 1..3 do
        assert Plugin.call(plugin, "ask", Integer.to_string(@deepest)) == {:ok, counted}
      end
    end)
  end
end
