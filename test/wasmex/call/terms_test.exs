defmodule Wasmex.Call.TermsTest do
  # The same arguments and results by every way of calling a core function.
  use ExUnit.Case, async: false

  alias Wasmex.{Error, Guest, Instance}

  # An allocator that counts what is in use, and functions that return what they were given in every form.
  @wat """
  (module
    (memory (export "memory") 1 100)
    (global $next (mut i32) (i32.const 1024))
    (global $live (mut i32) (i32.const 0))
    (func $alloc (export "alloc") (param $size i32) (result i32) (local $at i32)
      (global.set $live (i32.add (global.get $live) (i32.const 1)))
      (local.set $at (global.get $next))
      (global.set $next (i32.add (global.get $next) (i32.add (local.get $size) (i32.const 8))))
      (block $fits (loop $grow
        (br_if $fits (i32.lt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $fits (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
        (br $grow)))
      (local.get $at))
    (func (export "dealloc") (param i32 i32)
      (global.set $live (i32.sub (global.get $live) (i32.const 1))))
    (func (export "live") (result i32) global.get $live)
    (func (export "pair") (param i32 i32) (result i32 i32) local.get 0 local.get 1)
    (func (export "packed") (param i64) (result i64) local.get 0)
    (func (export "pair_to_packed") (param i32 i32) (result i64)
      (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1))))
    (func (export "text") (param i32 i32) (result i32)
      (i32.store8 (i32.add (local.get 0) (local.get 1)) (i32.const 0)) local.get 0)
    (func (export "beyond") (result i64) (i64.const -1))
    (func (export "nothing") (param i32 i32))
    (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
    (func (export "boom") (param i32 i32) (result i64) unreachable)
    (func (export "mixed") (param f64 i32 i32 externref) (result i32) local.get 2)
    (func (export "spin") (param i32 i32) (result i64) (loop br 0) (i64.const 0)))
  """

  setup do
    {_, instance} = Guest.start(@wat)
    {:ok, pid} = Wasmex.start_link(bytes: @wat)
    %{instance: instance, pid: pid}
  end

  defp each_way(%{instance: instance, pid: pid}) do
    [
      fn name, params, opts -> Instance.call(instance, name, params, opts) end,
      fn name, params, opts -> Wasmex.call_function(pid, name, params, opts) end
    ]
  end

  test "strings, bytes and JSON go in and come back, in every form", context do
    for call <- each_way(context), name <- ["pair", "packed", "pair_to_packed"] do
      assert call.(name, [{:string, "grüß"}], returns: :string) == {:ok, "grüß"}
      assert call.(name, [{:bytes, [<<0, 255>>, "a"]}], returns: :bytes) == {:ok, <<0, 255, "a">>}
      assert call.(name, [{:bytes, ""}], returns: :bytes) == {:ok, ""}
      term = %{"a" => [1, 2.5, nil, true], "b" => %{"c" => "d"}}
      assert call.(name, [{:json, term}], returns: :json) == {:ok, term}
    end

    for call <- each_way(context) do
      assert call.("text", [{:string, "up to the NUL"}], returns: :string) ==
               {:ok, "up to the NUL"}

      assert call.("text", [{:json, [1]}], returns: :json) == {:ok, [1]}
      assert call.("half", [5], []) == {:ok, [2.5]}
      assert {:ok, [_, 3]} = call.("pair", [{:string, "abc"}], [])
      assert call.("nothing", [{:string, "abc"}], []) == {:ok, []}
      assert call.("live", [], []) == {:ok, [0]}
    end
  end

  test "without options, too", %{instance: instance, pid: pid} do
    assert {:ok, [_, 3]} = Instance.call(instance, "pair", [{:string, "abc"}])
    assert {:ok, [_, 3]} = Wasmex.call_function(pid, :pair, [{:string, "abc"}])
    assert Instance.call!(instance, "pair", [{:string, "abc"}], returns: :string) == "abc"

    assert Instance.call(instance, :mixed, [1, {:bytes, "ab"}, {:bytes, "term"}]) |> elem(0) ==
             :error

    assert Instance.call(instance, :mixed, [1, {:bytes, "ab"}, self()]) == {:ok, [2]}
  end

  test "megabytes cross in slices", %{instance: instance} do
    bytes = :binary.copy("0123456789abcdef", 200_000)
    assert Instance.call(instance, "pair", [{:bytes, bytes}], returns: :bytes) == {:ok, bytes}
    assert Instance.call(instance, "live", []) == {:ok, [0]}
  end

  test "what is returned can be freed", %{instance: instance} do
    opts = [returns: :bytes, free_result: true]
    assert Instance.call(instance, "pair", [{:bytes, "x"}], opts) == {:ok, "x"}
    # The argument and the result are the same block here, which counts twice.
    assert Instance.call(instance, "live", []) == {:ok, [-1]}
  end

  test "memory goes back after a trap, and the error is the trap's", context do
    assert {:error, %Wasmex.Trap{code: :unreachable}} =
             Instance.call(context.instance, "boom", [{:bytes, "x"}], returns: :bytes)

    assert Instance.call(context.instance, "live", []) == {:ok, [0]}

    assert {:error, %Error{reason: :timeout}} =
             Instance.call(context.instance, "spin", [{:bytes, "x"}], timeout: 20)

    assert {:error, text} = Wasmex.call_function(context.pid, :boom, [{:bytes, "x"}])
    assert text =~ "unreachable"
  end

  test "what is wrong is said", context do
    for call <- each_way(context) do
      assert {:error, error} = call.("half", [1], returns: :string)
      assert text(error) =~ "returns (f64)"
      assert {:error, error} = call.("beyond", [], returns: :bytes)
      assert text(error) =~ "out of bounds"
      assert {:error, error} = call.("pair", [{:bytes, <<255>>}], returns: :string)
      assert text(error) =~ "not valid UTF-8"
      assert {:error, error} = call.("pair", [{:bytes, "{"}], returns: :json)
      assert text(error) =~ "malformed JSON"
      assert {:error, error} = call.("pair", [{:bytes, "x"}, 1], [])
      assert text(error) =~ "number of params"
      assert {:error, error} = call.("pair", [{:bytes, "x"}], allocator: "malloc")
      assert text(error) =~ "malloc"
      assert {:error, error} = call.("pair", [{:bytes, "x"}], memory: "mem")
      assert text(error) =~ "mem"

      assert_raise ArgumentError, ~r/UTF-8 as argument #1/, fn ->
        call.("pair", [{:string, <<255>>}], [])
      end

      assert_raise ArgumentError, ~r/iodata as argument #1/, fn ->
        call.("pair", [{:bytes, :a}], [])
      end

      assert_raise ArgumentError, ~r/:returns/, fn -> call.("pair", [], returns: :text) end
    end

    {_, bare} =
      Guest.start(
        ~s|(module (func (export "f") (param i32 i32)) (func (export "g") (result i64) (i64.const 0)))|
      )

    assert {:error, %Error{reason: :params} = error} = Instance.call(bare, "f", [{:bytes, "x"}])
    assert text(error) =~ "allocator"

    assert {:error, %Error{reason: :unknown_export}} =
             Instance.call(bare, "g", [], returns: :bytes)
  end

  defp text(error) when is_binary(error), do: error
  defp text(error), do: Exception.message(error)

  test "imported functions call back with terms", %{instance: _} do
    wat = """
    (module (import "env" "ask" (func $ask)) (memory (export "memory") 1)
      (func (export "malloc") (param i32) (result i32) (i32.const 64))
      (func (export "echo") (param i32 i32) (result i32 i32) local.get 0 local.get 1)
      (func (export "run") call $ask))
    """

    test = self()

    ask = fn %{pid: pid, instance: instance} ->
      send(test, Instance.call(instance, "echo", [{:string, "in"}], returns: :string))
      # nil while the process starts, itself afterwards.
      send(test, Wasmex.call_function(pid, :echo, [{:json, 1}], returns: :json))
    end

    {:ok, pid} = Wasmex.start_link(bytes: wat, imports: %{env: %{ask: {:fn, [], [], ask}}})
    assert Wasmex.call_function(pid, :run, []) == {:ok, []}
    assert_received {:ok, "in"}
    assert_received {:ok, 1}
  end

  test "programs and plug-ins have them, too" do
    run = fn invoke -> Wasmex.run(@wat, [], invoke: invoke) end
    assert {:ok, %{results: ["grüß"]}} = run.({"pair", [{:string, "grüß"}], returns: :string})
    assert {:ok, %{results: [%{"a" => 1}]}} = run.({"packed", [{:json, %{a: 1}}], returns: :json})
    assert {:ok, %{results: [_, 3]}} = run.({"pair", [{:string, "abc"}]})

    assert {:error, %Error{reason: :json, run: %Wasmex.Run{}}} =
             run.({"pair", [{:bytes, "{"}], returns: :json})

    assert_raise ArgumentError, ~r/:retruns/, fn -> run.({"pair", [], retruns: :json}) end
    assert_raise ArgumentError, ~r/a function's name/, fn -> run.({"pair", [], 1}) end

    {:ok, plugin} = Wasmex.Plugin.new("test/guests/plugins/echo.wasm")
    [echo | _] = Wasmex.Plugin.functions(plugin)
    assert Wasmex.Plugin.call(plugin, echo, {:string, "grüß"}, returns: :string) == {:ok, "grüß"}

    assert Wasmex.Plugin.call(plugin, echo, {:json, %{a: [1]}}, returns: :json) ==
             {:ok, %{"a" => [1]}}

    assert {:error, %Error{reason: :json}} = Wasmex.Plugin.call(plugin, echo, "{", returns: :json)
  end

  test "a call with terms is one span", %{instance: instance} do
    # Telemetry is of the whole VM: only calls of this instance count.
    test = self()

    handler = fn event, _, meta ->
      if meta[:instance] == instance, do: send(test, {event, meta.function})
    end

    Wasmex.Telemetry.enable([:call], handler: handler)
    Instance.call(instance, "pair", [{:string, "abc"}], returns: :string)
    Wasmex.Telemetry.disable()
    assert_received {[:wasmex, :call, :start], "pair"}
    assert_received {[:wasmex, :call, :stop], "pair"}
    refute_received {[:wasmex, :call, _], _}
  end
end
