defmodule Bench.Cores do
  @moduledoc "The same work in one process, and in one process per scheduler at once: locks and shared cache lines show here."

  import Bench
  alias Wasmex.Components.{Component, Instance, Store, Template}
  alias Wasmex.EngineConfig

  @component "test/guests/component_bench/component_bench.wasm"
  @small ~s|(module (memory (export "memory") 1) (func (export "f")))|
  # The most that an operation may slow down when all cores do the same.
  @most 1.15

  def run(quick?) do
    n = if quick?, do: 20, else: 1

    for {name, count, prepare} <- operations() do
      count = div(count, n)
      slower = Float.round(elapsed(cores(), count, prepare) / elapsed(1, count, prepare), 2)

      row("all cores at once, to one: " <> name, slower, "x",
        goal: "#{@most}x",
        test: {:at_most, @most},
        readme: name == "call"
      )
    end
  end

  defp cores, do: :erlang.system_info(:schedulers_online)

  # What each process prepares for itself, and then repeats.
  defp operations do
    {:ok, component} = Component.compile(Wasmex.Engine.default(), File.read!(@component))

    imports = %{"tick" => {:fn, fn n -> n end}, "shout" => {:fn, &String.upcase/1}}
    {:ok, typed} = Template.new(component, imports)

    {:ok, pool} =
      Wasmex.Pool.start_link(
        source: {:bytes, @small},
        size: 2 * cores(),
        policy: {:reuse, :infinity}
      )

    {:ok, pooling} = Wasmex.Engine.new(%EngineConfig{pooling: 100, pooling_keep_resident: 65_536})
    default = Wasmex.Engine.default()
    {plain, pooled} = {template(@small), template(@small, pooling)}

    [
      {"call", 300_000, fn -> call("add", [40, 2]) end},
      {"1,000 imports", 300, fn -> call("imports", [1_000]) end},
      {"component: add", 200_000, fn -> component_add(typed) end},
      {"Pool.call", 200_000, fn -> fn -> {:ok, _} = Wasmex.Pool.call(pool, "f", []) end end},
      {"instance from a template", 20_000, fn -> fn -> instance(plain, default) end end},
      {"the same from a pool that stays resident", 40_000,
       fn -> fn -> instance(pooled, pooling) end end}
    ]
  end

  defp call(function, params) do
    {_store, instance} = guest()
    fn -> {:ok, _} = Wasmex.Instance.call(instance, function, params) end
  end

  defp component_add(template) do
    {:ok, store} = Store.new()
    {:ok, instance} = Template.instantiate(template, store)
    fn -> {:ok, _} = Instance.call(instance, "add", [40, 2]) end
  end

  defp instance(template, engine) do
    {:ok, store} = Wasmex.Store.new(nil, engine)
    {:ok, _} = Wasmex.Template.instantiate(template, store)
    Wasmex.Store.close(store)
  end

  # Microseconds until all processes have done it `count` times: the best of three rounds.
  defp elapsed(processes, count, prepare) do
    Enum.min(for _ <- 1..3, do: round(processes, count, prepare))
  end

  defp round(processes, count, prepare) do
    tasks =
      for _ <- 1..processes do
        Task.async(fn ->
          operation = prepare.()
          repeat(operation, div(count, 20))
          receive do: (:go -> repeat(operation, count))
        end)
      end

    Process.sleep(50)

    {us, _} =
      :timer.tc(fn ->
        Enum.each(tasks, &send(&1.pid, :go))
        Task.await_many(tasks, :infinity)
      end)

    us
  end

  defp repeat(_operation, 0), do: :ok

  defp repeat(operation, n) do
    operation.()
    repeat(operation, n - 1)
  end
end
