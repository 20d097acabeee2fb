defmodule Wasmex.Plugin.FunctionsTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Plugin}
  alias Wasmex.Plugin.Context

  # Calls `f` of the user's namespace with the input, and gives its result as the output.
  @asks ~S|(module
    (import "extism:host/user" "f" (func $f (param i64) (result i64)))
    (import "extism:host/env" "input_offset" (func $at (result i64)))
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (import "extism:host/env" "error_get" (func $error (result i64)))
    (import "extism:host/env" "error_set" (func $set_error (param i64)))
    (func $give (param i64) (call $output (local.get 0) (call $length (local.get 0))))
    (func (export "ask") (result i32) (call $give (call $f (call $at))) (i32.const 0))
    ;; What the error says is the output, and no error any more.
    (func (export "forgive") (result i32)
      (drop (call $f (call $at)))
      (call $give (call $error))
      (call $set_error (i64.const 0))
      (i32.const 0))
    (func (export "echo") (result i32) (call $give (call $at)) (i32.const 0)))|

  defp plugin(params, results, function, opts \\ []) do
    functions = %{"extism:host/user" => %{"f" => {:fn, params, results, function}}}
    {:ok, plugin} = Plugin.new({:bytes, @asks}, [functions: functions] ++ opts)
    plugin
  end

  test "bytes are any bytes, iodata as a result, nil the offset 0" do
    bytes = :binary.list_to_bin(Enum.to_list(0..255))

    assert Plugin.call(plugin([:bytes], [:bytes], fn _, b -> [b, ?x] end), "ask", bytes) ==
             {:ok, bytes <> "x"}

    assert Plugin.call(plugin([:bytes], [:bytes], fn _, _ -> nil end), "ask", "x") == {:ok, ""}

    assert Plugin.call(plugin([:bytes], [:bytes], fn _, "" -> "none" end), "ask", "") ==
             {:ok, "none"}
  end

  test "strings are UTF-8" do
    plugin = plugin([:string], [:string], fn _, text -> String.reverse(text) end)
    assert Plugin.call(plugin, "ask", "añb") == {:ok, "bña"}
    assert {:error, %Error{reason: :import_raised} = error} = Plugin.call(plugin, "ask", <<255>>)
    assert Exception.message(error) =~ "f: a :string parameter is not UTF-8"
  end

  test "json is decoded and encoded" do
    plugin = plugin([:json], [:json], fn _, term -> %{"got" => term, "n" => 1.5} end)

    assert Plugin.call(plugin, "ask", ~s|{"a": [1, null]}|) ==
             {:ok, ~s|{"got":{"a":[1,null]},"n":1.5}|}

    assert Plugin.call(plugin, "ask", "") == {:ok, ~s|{"got":null,"n":1.5}|}
    assert {:error, %Error{reason: :import_raised} = error} = Plugin.call(plugin, "ask", "{")
    assert Exception.message(error) =~ "malformed JSON"
  end

  test "an i64 is the offset itself, which the context reads, frees and makes" do
    function = fn context, offset ->
      {:ok, text} = Context.read(context, offset)
      {:ok, nil} = Context.read(context, offset + 1)
      {:ok, new} = Context.alloc(context, text <> text)
      :ok = Context.free(context, offset)
      {:ok, nil} = Context.read(context, offset)
      new
    end

    assert Plugin.call(plugin([:i64], [:i64], function), "ask", "ab") == {:ok, "abab"}
  end

  test "a large block is read and made in pieces, with each byte in its place" do
    for size <- [1024 * 1024, 1024 * 1024 + 1, 5_000_003] do
      bytes = :binary.copy("0123456789abcdefg", div(size, 17) + 1) |> binary_part(0, size)

      function = fn context, offset ->
        {:ok, ^bytes} = Context.read(context, offset)
        {:ok, new} = Context.alloc(context, "x" <> bytes)
        :ok = Context.set_error(context, bytes)
        new
      end

      plugin = plugin([:i64], [:i64], function)
      assert {:error, %Plugin.Error{message: ^bytes}} = Plugin.call(plugin, "ask", bytes)
      assert {:ok, ^bytes} = Plugin.call(plugin, "forgive", bytes)
    end
  end

  test "an error that is returned is the plug-in's to forgive" do
    plugin = plugin([:bytes], [:bytes], fn _, _ -> {:error, "no such thing"} end)
    assert Plugin.call(plugin, "forgive", "x") == {:ok, "no such thing"}

    assert {:error, %Plugin.Error{code: 0, message: "no such thing"}} =
             Plugin.call(plugin, "ask", "x")

    assert Plugin.call(plugin, "echo", "on it goes") == {:ok, "on it goes"}
  end

  test "what a function raises, throws or exits with is the caller's" do
    for {act, kind} <- [
          {fn -> raise ArgumentError, "why" end, :error},
          {fn -> throw(:why) end, :throw},
          {fn -> exit(:why) end, :exit}
        ] do
      plugin = plugin([:bytes], [:bytes], fn _, _ -> act.() end)

      assert {:error, %Error{reason: :import_raised, details: details}} =
               Plugin.call(plugin, "ask", "x")

      assert details.kind == kind
      assert [%{func_name: _} | _] = details.backtrace
      assert Plugin.call(plugin, "echo", "x") == {:ok, "x"}
    end
  end

  test "a result of another type says so" do
    plugin = plugin([:bytes], [:bytes], fn _, _ -> :atom end)
    assert {:error, %Error{reason: :bad_results} = error} = Plugin.call(plugin, "ask", "x")
    assert Exception.message(error) =~ "a binary or nil"
  end

  test "the context has the plug-in, the term of this call alone, and variables" do
    plugin =
      plugin([:bytes], [:bytes], fn context, text ->
        {:ok, vars} = Context.vars(context)

        :ok =
          Context.put_var(
            context,
            "n",
            <<Map.get(vars, "n", <<0>>) |> :binary.first() |> Kernel.+(1)>>
          )

        assert %Plugin{} = context.plugin
        inspect({text, context.context, self()})
      end)

    me = inspect(self())
    assert Plugin.call(plugin, "ask", "a", context: :one) == {:ok, ~s|{"a", :one, #{me}}|}
    assert Plugin.call(plugin, "ask", "a") == {:ok, ~s|{"a", nil, #{me}}|}
    assert Plugin.vars(plugin) == {:ok, %{"n" => <<2>>}}
  end

  test "set_error fails the call whatever the plug-in returns" do
    plugin =
      plugin([:bytes], [:bytes], fn context, b -> Context.set_error(context, <<255, 0>>) && b end)

    assert {:error, %Plugin.Error{code: 0, message: <<255, 0>>}} = Plugin.call(plugin, "ask", "x")
  end

  test "calls of the plug-in from its own function are nested, with input and output of their own" do
    plugin =
      plugin([:bytes], [:bytes], fn
        context, "0" ->
          Plugin.call!(context.plugin, "echo", "end")

        context, n ->
          n <> Plugin.call!(context.plugin, "ask", Integer.to_string(String.to_integer(n) - 1))
      end)

    assert Plugin.call(plugin, "ask", "3") == {:ok, "321end"}
  end

  test "an inner call that is stopped leaves the outer one as it was" do
    wat = ~S|(module
      (import "extism:host/user" "again" (func $again (param i64) (result i64)))
      (import "extism:host/env" "input_offset" (func $at (result i64)))
      (import "extism:host/env" "input_length" (func $length (result i64)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (func (export "spin") (loop $l (br $l)))
      (func (export "outer") (result i32)
        (drop (call $again (call $at)))
        (call $output (call $at) (call $length)) (i32.const 0)))|

    again = fn context, _ ->
      assert {:error, %Error{reason: :timeout}} =
               Plugin.call(context.plugin, "spin", "inner", timeout: 20)

      "x"
    end

    functions = %{"extism:host/user" => %{"again" => {:fn, [:bytes], [:bytes], again}}}
    {:ok, plugin} = Plugin.new({:bytes, wat}, functions: functions)
    assert Plugin.call(plugin, "outer", "intact") == {:ok, "intact"}
    assert Plugin.call(plugin, "outer", "again") == {:ok, "again"}
  end

  test "a call from another process that the function waits for is a deadlock, not a wait" do
    plugin =
      plugin([:bytes], [:bytes], fn context, _ ->
        {:error, %Error{reason: reason}} =
          Task.await(Task.async(fn -> Plugin.call(context.plugin, "echo", "x") end))

        Atom.to_string(reason)
      end)

    assert Plugin.call(plugin, "ask", "x") == {:ok, "deadlock"}
  end

  test "numbers of each type, and several results" do
    wat = ~S|(module
      (import "math" "swap" (func $swap (param i32 f64) (result f64 i32)))
      (import "math" "big" (func $big (param i64 f32) (result i64)))
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (func (export "go") (result i32) (local $p i64) (local $f f64) (local $i i32)
        (local.set $p (call $alloc (i64.const 24)))
        (call $swap (i32.const -7) (f64.const 2.5))
        (local.set $i) (local.set $f)
        (call $store (local.get $p) (i64.reinterpret_f64 (local.get $f)))
        (call $store (i64.add (local.get $p) (i64.const 8)) (i64.extend_i32_s (local.get $i)))
        (call $store (i64.add (local.get $p) (i64.const 16)) (call $big (i64.const -1) (f32.const 0.5)))
        (call $output (local.get $p) (i64.const 24)) (i32.const 0)))|

    functions = %{
      math: %{
        swap: {:fn, [:i32, :f64], [:f64, :i32], fn _, i, f -> [f, i] end},
        big: {:fn, [:i64, :f32], [:i64], fn _, -1, 0.5 -> 0xFFFF_FFFF_FFFF_FFFE end}
      }
    }

    {:ok, plugin} = Plugin.new({:bytes, wat}, functions: functions)
    assert Plugin.call(plugin, "go") == {:ok, <<2.5::little-float, -7::little-64, -2::little-64>>}
  end

  defmodule Shop do
    @behaviour Wasmex.Plugin.Functions
    @impl true
    def functions(opts) do
      answer = Keyword.get(opts, :answer, "shop")
      %{"extism:host/user" => %{"f" => {:fn, [:bytes], [:bytes], fn _, _ -> answer end}}}
    end
  end

  test "modules with the behaviour, with options, in lists where the later one counts" do
    ask = fn functions ->
      {:ok, plugin} = Plugin.new({:bytes, @asks}, functions: functions)
      Plugin.call!(plugin, "ask", "x")
    end

    assert ask.(Shop) == "shop"
    assert ask.({Shop, answer: "mine"}) == "mine"
    assert ask.([Shop, {Shop, answer: "later"}]) == "later"
  end

  test "functions of the user may take the place of the library's" do
    wat = ~S|(module
      (import "extism:host/env" "config_get" (func $get (param i64) (result i64)))
      (import "extism:host/env" "length" (func $length (param i64) (result i64)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (func (export "go") (result i32) (local $p i64)
        (local.set $p (call $get (i64.const 0)))
        (call $output (local.get $p) (call $length (local.get $p))) (i32.const 0)))|

    functions = %{
      "extism:host/env" => %{"config_get" => {:fn, [:bytes], [:bytes], fn _, _ -> "mine" end}}
    }

    {:ok, plugin} = Plugin.new({:bytes, wat}, functions: functions)
    assert Plugin.call(plugin, "go") == {:ok, "mine"}
  end

  test "a function that waits makes its caller wait and nobody else" do
    test = self()

    plugin_of = fn ->
      plugin([:bytes], [:bytes], fn _, _ ->
        send(test, {:waiting, self()})
        receive do: ({:go, answer} -> answer)
      end)
    end

    tasks = for n <- 1..50, do: {n, Task.async(fn -> Plugin.call(plugin_of.(), "ask", "x") end)}

    for {n, task} <- tasks do
      assert_receive {:waiting, pid} when pid == task.pid
      send(pid, {:go, "#{n}"})
    end

    for {n, task} <- tasks, do: assert(Task.await(task, 60_000) == {:ok, "#{n}"})
  end

  test "invalid declarations raise with their place" do
    compile = fn functions -> Plugin.compile({:bytes, @asks}, functions: functions) end
    ns = fn definition -> %{"extism:host/user" => %{"f" => definition}} end

    assert_raise ArgumentError, ~r/extism:host\/user.f: unknown type :text/, fn ->
      compile.(ns.({:fn, [:text], [], fn _, _ -> nil end}))
    end

    assert_raise ArgumentError, ~r/must take the context and 1 parameters, but it takes 1/, fn ->
      compile.(ns.({:fn, [:bytes], [], fn _ -> nil end}))
    end

    assert_raise ArgumentError, ~r/does not implement functions\/1/, fn -> compile.(String) end
    assert_raise ArgumentError, ~r/a map of namespaces.* got: 7/, fn -> compile.(7) end
  end

  test "missing ones are named with their types, others with both types" do
    assert {:error, %Error{reason: :missing_import, details: details} = error} =
             Plugin.compile({:bytes, @asks})

    assert {details.namespace, details.name} == {"extism:host/user", "f"}

    assert Exception.message(error) =~
             "`extism:host/user::f` has not been defined (expected: func (param i64) (result i64)"

    functions = %{"extism:host/user" => %{"f" => {:fn, [:i32], [:i64], fn _, _ -> 0 end}}}

    assert {:error, %Error{reason: :incompatible_import} = error} =
             Plugin.compile({:bytes, @asks}, functions: functions)

    assert Exception.message(error) =~ "extism:host/user::f"
  end
end
