defmodule Wasmex.TelemetryTest do
  # Spans are turned on for the whole VM.
  use ExUnit.Case, async: false

  alias Wasmex.{Guest, Instance, Telemetry}

  doctest Telemetry

  setup do
    on_exit(&Telemetry.disable/0)
    test = self()
    handler = fn event, measurements, metadata -> send(test, {event, measurements, metadata}) end
    {:ok, handler: handler}
  end

  test "calls, directly and through a server", %{handler: handler} do
    wat =
      ~s|(module (func (export "f") (param i32) (result i32) local.get 0) (func (export "t") unreachable))|

    {_store, instance} = Guest.start(wat)
    {:ok, pid} = Wasmex.start_link(%{bytes: wat})
    Telemetry.enable([:call], handler: handler)

    assert Instance.call(instance, "f", [1]) == {:ok, [1]}
    assert_received {[:wasmex, :call, :start], %{system_time: _}, %{function: "f"}}
    assert_received {[:wasmex, :call, :stop], %{duration: d}, %{function: "f", result: :ok}}
    assert d >= 0

    assert {:error, trap} = Instance.call(instance, "t", [])
    assert_received {[:wasmex, :call, :stop], _, %{result: :error, error: ^trap}}

    assert Wasmex.call_function(pid, :f, [2]) == {:ok, [2]}
    assert_received {[:wasmex, :call, :stop], _, %{function: "f", instance: %Instance{}}}

    Telemetry.disable()
    flush()
    Instance.call(instance, "f", [1])
    refute_received {[:wasmex, :call, _], _, _}
  end

  test "imports, those that raise as exceptions", %{handler: handler} do
    wat =
      ~s|(module (import "env" "f" (func $f (param i32))) (func (export "g") (param i32) local.get 0 call $f))|

    function = fn _context, n -> if n == 0, do: raise("zero") end
    {_store, instance} = Guest.start(wat, %{env: %{f: {:fn, [:i32], [], function}}})
    Telemetry.enable([:import], handler: handler)

    assert Instance.call(instance, "g", [1]) == {:ok, []}
    assert_received {[:wasmex, :import, :start], _, %{namespace: "env", name: "f"}}
    assert_received {[:wasmex, :import, :stop], %{duration: _}, %{name: "f"}}

    assert {:error, _} = Instance.call(instance, "g", [0])
    assert_received {[:wasmex, :import, :exception], _, %{reason: %RuntimeError{}, kind: :error}}
    refute_received {[:wasmex, :call, _], _, _}
  end

  test "a handler that raises ends the call, and the store goes on" do
    wat =
      ~s|(module (import "env" "f" (func $f)) (func (export "g") call $f) (func (export "one") (result i32) i32.const 1))|

    {_store, instance} = Guest.start(wat, %{env: %{f: {:fn, [], [], fn _ -> nil end}}})
    Telemetry.enable([:import], handler: fn _, _, _ -> raise "of the handler" end)
    assert_raise RuntimeError, "of the handler", fn -> Instance.call(instance, "g", []) end
    assert Instance.call(instance, "one", []) == {:ok, [1]}
    Telemetry.disable()
    assert Instance.call(instance, "g", []) == {:ok, []}
    one = Task.async(fn -> Instance.call(instance, "one", []) end)
    assert Task.await(one, :infinity) == {:ok, [1]}
  end

  test "a program: compile, instantiate, run", %{handler: handler} do
    Telemetry.enable([:compile, :run], handler: handler)
    {:ok, _} = Wasmex.run(~s|(module (func (export "_start")))|, ["a"], fuel: 1_000, name: "p")
    assert_received {[:wasmex, :compile, :stop], _, %{size: _, result: :ok}}
    assert_received {[:wasmex, :run, :start], _, %{program: "p", args: ["a"]}}
    assert_received {[:wasmex, :run, :stop], %{fuel_used: fuel, peak_memory: 0}, %{result: :ok}}
    assert fuel > 0
  end

  test "unknown spans and a missing handler are errors" do
    assert_raise ArgumentError, ~r/expected a list of spans out of .*got: \[:calls\]/, fn ->
      Telemetry.enable([:calls])
    end

    unless Code.ensure_loaded?(:telemetry),
      do: assert_raise(ArgumentError, ~r/handler/, fn -> Telemetry.enable() end)
  end

  defp flush do
    receive do
      _ -> flush()
    after
      0 -> :ok
    end
  end
end
