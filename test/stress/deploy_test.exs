defmodule Wasmex.Stress.DeployTest do
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag :capture_log
  @moduletag timeout: :infinity

  alias Wasmex.{Code, Deploy, Error, Guest, Pool}
  alias Wasmex.Code.Store

  @deploys 10_000
  @codes 20

  defp code(n) do
    Code.new!({:bytes, ~s|(module (func (export "v") (result i32) i32.const #{n}))|})
  end

  # What grows if something is left behind.
  defp state do
    :erlang.garbage_collect()

    %{
      routes: :ets.info(Deploy.Routes, :size),
      pools: :ets.info(Pool.Handles, :size),
      names: Registry.count(Deploy.Registry),
      servers: DynamicSupervisor.count_children(Deploy.Servers).active,
      watched: map_size(:sys.get_state(Deploy.Routes)),
      held: map_size(:sys.get_state(Store).held),
      holders: map_size(:sys.get_state(Store).holders),
      tables: length(:ets.all()),
      atoms: :erlang.system_info(:atom_count)
    }
  end

  defp back_to(before) do
    Guest.wait_until(fn ->
      now = state()
      Enum.all?(Map.delete(now, :atoms), fn {what, n} -> n <= Map.fetch!(before, what) end)
    end)

    assert state().atoms - before.atoms < 200
  end

  test "#{@deploys} deploys leave nothing behind" do
    codes = for n <- 1..@codes, do: code(n)
    for code <- codes, do: {:ok, _} = Code.compiled(code)
    {:ok, 1} = Deploy.deploy(:warm, hd(codes))
    :ok = Deploy.undeploy(:warm)
    before = state()
    processes = length(Process.list())

    # Many versions of few names, then many names.
    for n <- 1..div(@deploys, 2) do
      name = {:few, rem(n, 5)}
      code = Enum.at(codes, rem(n, @codes))
      {:ok, _} = Deploy.deploy(name, code, drain: 100)
      assert Deploy.call(name, "v", []) == {:ok, [rem(n, @codes) + 1]}
    end

    for n <- 0..4, do: :ok = Deploy.undeploy({:few, n})

    for n <- 1..div(@deploys, 2), do: {:ok, 1} = Deploy.deploy({:many, n}, hd(codes), size: 1)
    for n <- 1..div(@deploys, 2), do: :ok = Deploy.undeploy({:many, n})

    back_to(before)
    Guest.wait_until(fn -> length(Process.list()) <= processes + 5 end)
  end

  # Everything that can happen to a name, and kills of its processes, while it is called.
  test "whatever happens to a name, each call has its version's result or an error that says why" do
    codes = for n <- 1..@codes, do: code(n)
    # Modules that errors need are loaded by the first ones.
    for seed <- 1..10, do: chaos(seed, codes)
    before = state()
    for seed <- 11..50, do: chaos(seed, codes)
    back_to(before)
  end

  defp chaos(seed, codes) do
    :rand.seed(:exsss, {seed, 7, 7})
    name = {:chaos, seed}
    {:ok, 1} = Deploy.deploy(name, hd(codes))
    callers = for _ <- 1..4, do: Task.async(fn -> calls(name, 150, []) end)
    for _ <- 1..12, do: happens(name, codes)
    results = callers |> Task.await_many(:infinity) |> List.flatten() |> Enum.uniq()
    assert Enum.reject(results, &expected?/1) == [], "seed #{seed}"
    # Whatever state it is in, it can be deployed and called.
    {:ok, _} = Deploy.deploy(name, code(99))
    assert Deploy.call(name, "v", []) == {:ok, [99]}
    assert Deploy.undeploy(name) == :ok
    assert {:error, %Error{reason: :not_deployed}} = Deploy.call(name, "v", [])
  end

  defp calls(_name, 0, results), do: results
  defp calls(name, n, results), do: calls(name, n - 1, [Deploy.call(name, "v", []) | results])

  defp expected?({:ok, [n]}), do: n in 1..@codes
  defp expected?({:error, %Error{reason: reason}}), do: reason in [:closed, :not_deployed]
  defp expected?(_), do: false

  defp happens(name, codes) do
    case :rand.uniform(9) do
      n when n <= 3 -> Deploy.deploy(name, Enum.random(codes), drain: 50, size: Enum.random(1..2))
      4 -> Deploy.deploy(name, Enum.random(codes), canary: 50, size: 1)
      5 -> Deploy.promote(name)
      6 -> Deploy.rollback(name)
      7 -> Deploy.undeploy(name, 10)
      8 -> kill_server(name)
      9 -> kill_pool(name)
    end

    if :rand.uniform(3) == 1, do: Process.sleep(:rand.uniform(3))
  end

  defp kill_server(name) do
    with [{pid, _}] <- Registry.lookup(Deploy.Registry, name), do: Process.exit(pid, :kill)
  end

  defp kill_pool(name) do
    with {:ok, versions} <- Deploy.versions(name),
         do: for(%{pool: pool} when pool != nil <- versions, do: Process.exit(pool, :kill))
  end
end
