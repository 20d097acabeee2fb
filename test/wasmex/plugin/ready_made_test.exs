defmodule Wasmex.Plugin.ReadyMadeTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Wasmex.{Error, Plugin}
  alias Wasmex.Plugin.{KeyValue, Log, PubSub}

  # Calls one function with the input, or its two halves by the comma in it, and gives what it returns as the output.
  defp plugin(namespace, name, params, result, functions, opts) do
    call = Enum.map_join(1..params, " ", fn n -> "(call $part (i64.const #{n}))" end)

    give =
      case result do
        :i64 ->
          "(local.set $r (call $f #{call})) (call $output (local.get $r) (call $length (local.get $r)))"

        :i32 ->
          "(local.set $r (call $alloc (i64.const 1))) (call $store (local.get $r) (i32.add (i32.const 48) (call $f #{call}))) (call $output (local.get $r) (i64.const 1))"

        nil ->
          "(call $f #{call})"
      end

    type =
      String.duplicate("(param i64)", params) <> if(result, do: "(result #{result})", else: "")

    wat = """
    (module
      (import "#{namespace}" "#{name}" (func $f #{type}))
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "length" (func $length (param i64) (result i64)))
      (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
      (import "extism:host/env" "input_length" (func $size (result i64)))
      (import "extism:host/env" "input_load_u8" (func $load (param i64) (result i32)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      ;; The part of the input before the n-th comma, as a block.
      (func $part (param $n i64) (result i64) (local $i i64) (local $from i64) (local $p i64) (local $j i64)
        (block $found (loop $next
          (if (i64.ge_u (local.get $i) (call $size)) (then (br $found)))
          (if (i32.eq (call $load (local.get $i)) (i32.const 44)) (then
            (local.set $n (i64.sub (local.get $n) (i64.const 1)))
            (br_if $found (i64.eqz (local.get $n)))
            (local.set $from (i64.add (local.get $i) (i64.const 1)))))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (br $next)))
        (local.set $p (call $alloc (i64.sub (local.get $i) (local.get $from))))
        (block $done (loop $copy
          (br_if $done (i64.ge_u (i64.add (local.get $from) (local.get $j)) (local.get $i)))
          (call $store (i64.add (local.get $p) (local.get $j)) (call $load (i64.add (local.get $from) (local.get $j))))
          (local.set $j (i64.add (local.get $j) (i64.const 1)))
          (br $copy)))
        (local.get $p))
      (func (export "go") (result i32) (local $r i64) #{give} (i32.const 0)))
    """

    {:ok, plugin} = Plugin.new({:bytes, wat}, [functions: functions] ++ opts)
    plugin
  end

  describe "KeyValue" do
    setup do
      {:ok, table: start_supervised!({KeyValue, max_bytes: 200})}
    end

    test "keeps what plug-ins set, apart from each other or not", %{table: table} do
      kv = fn name, params, result, opts, plugin_opts ->
        plugin(
          "wasmex:host/kv",
          name,
          params,
          result,
          {KeyValue, [table: table] ++ opts},
          plugin_opts
        )
      end

      assert Plugin.call(kv.("kv_set", 2, :i32, [], name: :one), "go", "k,v") == {:ok, "1"}
      assert Plugin.call(kv.("kv_get", 1, :i64, [], name: :one), "go", "k") == {:ok, "v"}
      assert Plugin.call(kv.("kv_get", 1, :i64, [], name: :two), "go", "k") == {:ok, ""}
      assert KeyValue.get(table, {:plugin, :one}, "k") == "v"
      assert Plugin.call(kv.("kv_set", 2, :i32, [scope: :shared], []), "go", "k,w") == {:ok, "1"}

      assert Plugin.call(kv.("kv_keys", 1, :i64, [scope: :shared], []), "go", "") ==
               {:ok, ~s|["k"]|}

      assert Plugin.call(kv.("kv_delete", 1, :i32, [scope: :shared], []), "go", "k") == {:ok, "1"}
      assert Plugin.call(kv.("kv_delete", 1, :i32, [scope: :shared], []), "go", "k") == {:ok, "0"}

      full = kv.("kv_set", 2, :i32, [scope: :shared], [])

      assert {:error, %Plugin.Error{message: message}} =
               Plugin.call(full, "go", "k," <> String.duplicate("v", 200))

      assert message =~ "no room for"
    end

    test "lists keys by their beginning, and counts what it holds", %{table: table} do
      for key <- ~w(b aa a ab),
          do:
            :ok =
              KeyValue.put(table, :s, key, "")
              |> then(fn r -> if key == "ab", do: :ok, else: r end)

      assert KeyValue.keys(table, :s) == ["a", "aa", "b"]
      assert KeyValue.keys(table, :s, "a") == ["a", "aa"]
      assert {:error, %Error{reason: :full}} = KeyValue.put(table, :s, "c", "")
      assert KeyValue.delete(table, :s, "b")
      assert KeyValue.put(table, :s, "c", "") == :ok
    end
  end

  test "PubSub publishes to topics that are allowed" do
    with {:ok, pid} <- PubSub.start_link([]), do: Process.unlink(pid)
    topic = "orders.#{System.unique_integer([:positive])}"

    publish =
      plugin("wasmex:host/pubsub", "publish", 2, :i32, {PubSub, topics: ["orders.*"]}, name: :shop)

    assert Plugin.call(publish, "go", "#{topic},hello") == {:ok, "0"}
    :ok = PubSub.subscribe(topic)
    assert Plugin.call(publish, "go", "#{topic},hello") == {:ok, "1"}
    assert_receive {:wasmex_plugin, ^topic, "hello", :shop}

    assert {:error, %Plugin.Error{message: "publishing to other is not allowed"}} =
             Plugin.call(publish, "go", "other,hello")
  end

  test "Log has fields, and the plug-in's level" do
    log = fn level ->
      plugin("wasmex:host/log", "log", 2, nil, own_log(), log_level: level, name: :p)
    end

    assert capture_log([metadata: [:plugin]], fn ->
             assert {:ok, ""} = Plugin.call(log.(:info), "go", "warn,careful")
           end) =~ "plugin=p [warning] careful"

    refute capture_log(fn ->
             assert {:ok, ""} = Plugin.call(log.(:error), "go", "warn,unheard")
           end) =~ "unheard"

    assert {:error, %Plugin.Error{message: message}} =
             Plugin.call(log.(:info), "go", "loud,careful")

    assert message =~ "unknown log level"
  end

  # Without the fields, which this plug-in could not write.
  defp own_log do
    %{"wasmex:host/log" => %{"log" => {:fn, [_, _, _], [], function}}} = Log.functions([])

    %{
      "wasmex:host/log" => %{
        "log" =>
          {:fn, [:string, :bytes], [],
           fn context, level, text -> function.(context, level, text, %{}) end}
      }
    }
  end
end
