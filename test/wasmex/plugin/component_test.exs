defmodule Wasmex.Plugin.ComponentTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Plugin, Trap}

  # `echo` gives the input back, or an error when there is none; `count` says how often it was called.
  @component ~S|(component
    (core module $m
      (memory (export "memory") 1)
      (global $next (mut i32) (i32.const 1024))
      (global $calls (mut i32) (i32.const 48))
      (data (i32.const 64) "nothing")
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (local.get 3))))
      (func $answer (param $tag i32) (param $at i32) (param $length i32) (result i32)
        (i32.store (i32.const 16) (local.get $tag))
        (i32.store (i32.const 20) (local.get $at))
        (i32.store (i32.const 24) (local.get $length))
        (i32.const 16))
      (func (export "echo") (param i32 i32) (result i32)
        (if (result i32) (local.get 1)
          (then (call $answer (i32.const 0) (local.get 0) (local.get 1)))
          (else (call $answer (i32.const 1) (i32.const 64) (i32.const 7)))))
      (func (export "count") (param i32 i32) (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 32) (global.get $calls))
        (call $answer (i32.const 0) (i32.const 32) (i32.const 1)))
      (func (export "trap") (param i32 i32) (result i32) (unreachable))
      (func (export "spin") (param i32 i32) (result i32) (loop $l (br $l)) (i32.const 0))
      (func (export "other") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m))
    (type $bytes (func (param "input" (list u8)) (result (result (list u8) (error string)))))
    (func (export "echo") (type $bytes) (canon lift (core func $i "echo") (memory $i "memory") (realloc (func $i "realloc"))))
    (func (export "count") (type $bytes) (canon lift (core func $i "count") (memory $i "memory") (realloc (func $i "realloc"))))
    (func (export "trap") (type $bytes) (canon lift (core func $i "trap") (memory $i "memory") (realloc (func $i "realloc"))))
    (func (export "spin") (type $bytes) (canon lift (core func $i "spin") (memory $i "memory") (realloc (func $i "realloc"))))
    (func (export "other") (param "n" u32) (result u32) (canon lift (core func $i "other"))))|

  setup_all do
    {:ok, wasm} = Wasmex.Wat.parse(@component, %Wasmex.Limits{})
    {:ok, wasm: wasm}
  end

  test "the same calls as of a module", %{wasm: wasm} do
    {:ok, compiled} = Plugin.compile({:bytes, wasm})
    {:ok, plugin} = Plugin.new(compiled)
    assert Enum.sort(Plugin.functions(plugin)) == ["count", "echo", "spin", "trap"]
    assert Plugin.call(plugin, "echo", <<0, 255>>) == {:ok, <<0, 255>>}
    assert {:error, %Plugin.Error{code: 1, message: "nothing"}} = Plugin.call(plugin, "echo", "")
    assert Plugin.call(plugin, "count") == {:ok, "1"}
    assert Plugin.call(plugin, "count") == {:ok, "2"}
    assert {:error, %Error{reason: :unknown_export}} = Plugin.call(plugin, "other", "x")
    assert {:error, %Error{reason: :unknown_export}} = Plugin.call(plugin, "none", "x")
  end

  test "its hosts are those of components", %{wasm: wasm} do
    new = &Plugin.new(%{wasm: [%{data: {:bytes, wasm}}], allowed_hosts: [&1]}, wasi: true)
    assert {:ok, _} = new.("*.example.com")
    assert {:error, %Error{reason: :manifest} = error} = new.("[a-z].example.com")
    assert Exception.message(error) =~ ~s|got "[a-z].example.com"|
  end

  test "after a call that was cut off another instance answers", %{wasm: wasm} do
    {:ok, plugin} = Plugin.new({:bytes, wasm})
    assert Plugin.call(plugin, "count") == {:ok, "1"}
    assert {:error, %Trap{}} = Plugin.call(plugin, "trap")
    assert Plugin.call(plugin, "count") == {:ok, "1"}
    assert {:error, %Error{reason: :timeout}} = Plugin.call(plugin, "spin", "", timeout: 20)
    assert Plugin.call(plugin, "count") == {:ok, "1"}
    assert Plugin.close(plugin) == :ok
    assert {:error, %Error{reason: :closed}} = Plugin.call(plugin, "count")
  end

  test "in a pool, and as a process", %{wasm: wasm} do
    pool = start_supervised!({Plugin.Pool, source: {:bytes, wasm}, size: 2})
    assert Plugin.Pool.call(pool, "count") == {:ok, "1"}
    pid = start_supervised!({Plugin, source: {:bytes, wasm}})
    assert Plugin.call(pid, "echo", "x") == {:ok, "x"}
  end

  test "what only modules have", %{wasm: wasm} do
    {:ok, plugin} = Plugin.new({:bytes, wasm})
    assert_raise ArgumentError, ~r/a component does not support/, fn -> Plugin.vars(plugin) end
    hash = %{wasm: [%{data: {:bytes, wasm}, hash: "00"}]}
    assert {:error, %Error{reason: :manifest}} = Plugin.new(hash)
  end
end
