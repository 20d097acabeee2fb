defmodule Wasmex.DeployTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Code, Deploy, Error, Guest, Pool}

  @moduletag :capture_log

  # Version n; "fail" traps where `fails`.
  defp code(n, fails \\ false) do
    Code.new!(
      {:bytes,
       ~s|(module (memory 1) (func (export "v") (result i32) i32.const #{n})
         (func (export "secret") (result i32) i32.const 0)
         (func (export "spin") (loop br 0))
         (func (export "work") (result i32) #{if fails, do: "unreachable", else: "i32.const #{n}"}))|},
      version: "#{n}"
    )
  end

  setup do
    name = {:deploy, make_ref()}
    on_exit(fn -> Deploy.undeploy(name, 100) end)
    {:ok, name: name}
  end

  test "new calls go to the new version, the old one ends when its calls have", %{name: name} do
    assert {:error, %Error{reason: :not_deployed}} = Deploy.call(name, "v", [])
    assert Deploy.deploy(name, code(1)) == {:ok, 1}
    assert Deploy.call(name, "v", []) == {:ok, [1]}
    {:ok, [%{pool: old}]} = Deploy.versions(name)
    {:ok, lease} = Pool.checkout(old)

    assert Deploy.deploy(name, code(2)) == {:ok, 2}
    assert Deploy.call(name, "v", []) == {:ok, [2]}
    # The lease is a call that is under way.
    assert Process.alive?(old)
    Pool.checkin(lease)
    Guest.wait_until(fn -> not Process.alive?(old) end)
    assert name in Deploy.names()
  end

  test "versions change under load: no call fails, each is answered once", %{name: name} do
    {:ok, 1} = Deploy.deploy(name, code(1), max_queue: 10_000)

    callers =
      for _ <- 1..20 do
        Task.async(fn -> for _ <- 1..100, do: Deploy.call(name, "v", []) end)
      end

    for n <- 2..6, do: {:ok, ^n} = Deploy.deploy(name, code(n), max_queue: 10_000)
    results = callers |> Task.await_many(60_000) |> List.flatten()
    assert length(results) == 2_000
    assert Enum.all?(results, &match?({:ok, [n]} when n in 1..6, &1))
    assert Deploy.call(name, "v", []) == {:ok, [6]}
  end

  test "a canary gets its part of the calls, until it is promoted", %{name: name} do
    {:ok, 1} = Deploy.deploy(name, code(1))
    {:ok, 2} = Deploy.deploy(name, code(2), canary: 30)
    got = Enum.frequencies(for _ <- 1..500, do: Deploy.call(name, "v", []))
    assert got[{:ok, [2]}] in 80..220
    assert got[{:ok, [1]}] + got[{:ok, [2]}] == 500

    assert {:ok,
            [%{version: 2, percent: 30, calls: calls, errors: 0}, %{version: 1, percent: 70}]} =
             Deploy.versions(name)

    assert calls == got[{:ok, [2]}]
    assert Deploy.promote(name) == {:ok, 2}
    assert Enum.uniq(for _ <- 1..50, do: Deploy.call(name, "v", [])) == [{:ok, [2]}]
    assert {:error, %Error{}} = Deploy.promote(name)

    assert {:ok, [%{what: :promoted}, %{what: :canary}, %{what: :deployed}]} =
             Deploy.history(name)
  end

  test "rollback: a canary goes away, or the version before comes back", %{name: name} do
    {:ok, 1} = Deploy.deploy(name, code(1))
    {:ok, 2} = Deploy.deploy(name, code(2), canary: 99)
    assert Deploy.rollback(name) == {:ok, 1}
    assert Deploy.call(name, "v", []) == {:ok, [1]}
    assert {:error, %Error{}} = Deploy.rollback(name)
    {:ok, 3} = Deploy.deploy(name, code(3))
    assert Deploy.rollback(name) == {:ok, 4}
    assert Deploy.call(name, "v", []) == {:ok, [1]}
  end

  test "a version that fails too often goes back by itself", %{name: name} do
    {:ok, 1} = Deploy.deploy(name, code(1))
    {:ok, 2} = Deploy.deploy(name, code(2, true), rollback: [errors: 0.5, calls: 5])
    for _ <- 1..5, do: assert({:error, %Wasmex.Trap{}} = Deploy.call(name, "work", []))
    Guest.wait_until(fn -> Deploy.call(name, "work", []) == {:ok, [1]} end)
    assert {:ok, [%{what: :rolled_back, why: why, version: 2} | _]} = Deploy.history(name)
    assert why =~ ~r/\d of \d calls failed/

    # A canary too, and mistakes of callers are none of its own.
    {:ok, _} = Deploy.deploy(name, code(5), canary: 99, rollback: [errors: 0.1, calls: 5])
    for _ <- 1..50, do: assert({:error, %Error{}} = Deploy.call(name, "nothing", []))
    assert {:ok, [%{percent: 99}, _]} = Deploy.versions(name)
    {:ok, _} = Deploy.deploy(name, code(6, true), canary: 99, rollback: [errors: 0.1, calls: 5])
    for _ <- 1..20, do: Deploy.call(name, "work", [])
    Guest.wait_until(fn -> match?({:ok, [%{percent: 100}]}, Deploy.versions(name)) end)
  end

  test "only the functions of the deploy, within its time", %{name: name} do
    {:ok, 1} = Deploy.deploy(name, code(1), functions: ["v", "spin"], timeout: 20)
    assert Deploy.call(name, "v", []) == {:ok, [1]}
    assert {:error, %Error{reason: :not_allowed} = error} = Deploy.call(name, "secret", [])
    assert Exception.message(error) =~ "may not be called"
    assert {:error, %Error{reason: :timeout}} = Deploy.call(name, "spin", [], timeout: :infinity)
  end

  test "a version that can't be made changes nothing", %{name: name} do
    {:ok, 1} = Deploy.deploy(name, code(1))
    needs = Code.new!({:bytes, ~s|(module (import "a" "b" (func)))|})
    assert {:error, %Error{reason: :missing_import}} = Deploy.deploy(name, needs)
    starts = Code.new!({:bytes, ~s|(module (func $f unreachable) (start $f))|})
    assert {:error, %Wasmex.Trap{}} = Deploy.deploy(name, starts)
    assert Deploy.call(name, "v", []) == {:ok, [1]}
    assert {:error, %Error{}} = Deploy.deploy({:another, make_ref()}, needs)

    assert_raise ArgumentError, ~r/rollback/, fn ->
      Deploy.deploy(name, code(2), rollback: [errors: 2])
    end

    assert_raise ArgumentError, fn -> Deploy.deploy(name, code(2), size: 0) end
    assert_raise ArgumentError, ~r/Wasmex.Code/, fn -> Deploy.deploy(name, "path") end
  end

  test "a pool that is killed is made anew", %{name: name} do
    {:ok, 1} = Deploy.deploy(name, code(1))
    {:ok, [%{pool: pool}]} = Deploy.versions(name)
    Process.exit(pool, :kill)
    Guest.wait_until(fn -> not match?({:ok, [%{pool: ^pool}]}, Deploy.versions(name)) end)
    assert Deploy.call(name, "v", []) == {:ok, [1]}
  end

  test "a name whose process is killed is gone, and can be deployed again", %{name: name} do
    {:ok, 1} = Deploy.deploy(name, code(1))
    {:ok, %{server: server}} = Deploy.Routes.fetch(name)
    Process.exit(server, :kill)

    Guest.wait_until(fn ->
      match?({:error, %Error{reason: :not_deployed}}, Deploy.call(name, "v", []))
    end)

    assert Deploy.deploy(name, code(2)) == {:ok, 1}
    assert Deploy.call(name, "v", []) == {:ok, [2]}
  end

  test "plug-ins and programs", %{name: name} do
    {:ok, echo} = Code.new("test/guests/plugins/echo.wasm")
    {:ok, 1} = Deploy.deploy(name, echo, as: :plugin)
    assert Deploy.call(name, "echo", "hi") == {:ok, "hi"}
    {:ok, program} = Code.new("test/guests/programs/go/program.wasm")
    {:ok, 2} = Deploy.deploy(name, program, as: :program, timeout: 60_000)
    assert {:ok, %{status: 0}} = Deploy.call(name, :run, ["hello"])
  end
end
