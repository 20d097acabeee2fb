defmodule Bench.Many do
  @moduledoc "Many instances: asleep with default settings, and a hundred thousand for density."

  import Bench
  alias Wasmex.{Engine, EngineConfig, Instance, Store, Template}
  alias Wasmex.Wasi.WasiOptions

  @sleeper """
  (module
    (import "wasi_snapshot_preview1" "poll_oneoff"
      (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "nap") (param $nanoseconds i64) (result i32)
      (i32.store (i32.const 16) (i32.const 1))
      (i64.store (i32.const 24) (local.get $nanoseconds))
      (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
  """

  # In ms.
  @returned 5_000

  def run(quick?) do
    asleep = asleep(Engine.default(), if(quick?, do: 1_000, else: 10_000), 2)

    rows = [
      row("asleep: memory each", asleep.rss, "KiB",
        goal: "16 KiB",
        test: {:at_most, 16},
        readme: true
      ),
      row("asleep: threads added", asleep.threads, "", goal: "0", test: {:at_most, 0}),
      row("asleep for 2 s: in all", asleep.ms / 1000, "s", goal: "little more")
    ]

    if quick?, do: rows, else: rows ++ density()
  end

  defp density do
    config = %EngineConfig{cranelift_opt_level: :speed, memory64: true, density: true}
    {:ok, engine} = Engine.new(config)
    many = asleep(engine, 100_000, 20)

    [
      row("100,000 alive: memory each", many.alive_rss, "KiB", goal: "they fit"),
      row("100,000 alive: mappings", many.alive_mappings, "",
        goal: "65,530",
        test: {:at_most, 65_530}
      ),
      row("100,000 asleep: memory each", many.rss, "KiB",
        goal: "8 KiB",
        test: {:at_most, 8},
        readme: true
      ),
      row("100,000 asleep: mappings", many.mappings, "",
        goal: "65,530",
        test: {:at_most, 65_530}
      ),
      row("100,000 asleep: threads added", many.threads, "", goal: "0", test: {:at_most, 0})
    ]
  end

  defp asleep(engine, count, seconds) do
    template = template(@sleeper, engine)
    # One of each first, to exclude one-time initialisation.
    nap(template, engine, 0)
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    {rss, threads} = {rss(), threads()}
    parent = self()

    processes =
      for _ <- 1..count, do: spawn_monitor(fn -> sleeper(template, engine, seconds, parent) end)

    for _ <- processes, do: receive(do: (:alive -> :ok))
    alive = {rss(), mappings()}
    started = System.monotonic_time(:millisecond)
    for {pid, _} <- processes, do: send(pid, :sleep)
    Process.sleep(div(seconds * 1000, 2))
    asleep = {rss(), mappings(), threads()}

    for {_, monitor} <- processes do
      receive do
        {:DOWN, ^monitor, :process, _, :normal} -> :ok
      end
    end

    ms = System.monotonic_time(:millisecond) - started

    %{
      alive_rss: (elem(alive, 0) - rss) / count,
      alive_mappings: elem(alive, 1),
      rss: (elem(asleep, 0) - rss) / count,
      mappings: elem(asleep, 1),
      threads: elem(asleep, 2) - threads,
      ms: ms
    }
  end

  @doc "Prints the memory of `count` sleeping guests, by parts."
  def sleepers(engine, count) do
    template = template(@sleeper, engine)
    nap(template, engine, 0)
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    before = parts()
    parent = self()
    seconds = 60 + div(count, 5_000)
    {microseconds, pids} = :timer.tc(fn -> start(template, engine, count, seconds, parent) end)
    for pid <- pids, do: send(pid, :sleep)
    Process.sleep(1_000 + div(count, 50))
    asleep = parts()
    true = Enum.all?(pids, &Process.alive?/1)

    IO.puts("#{count} guests asleep, each in a process; started in #{div(microseconds, 1000)} ms")

    for {name, value} <- asleep do
      IO.puts(
        String.pad_trailing(name, 36) <> "#{round((value - before[name]) / count)} bytes each"
      )
    end

    IO.puts("mappings in all                     #{mappings()}")
    for pid <- pids, do: Process.exit(pid, :kill)
    Process.sleep(@returned)

    IO.puts(
      "kept after they were killed         #{div(rss() - div(before["resident"], 1024), 1024)} MiB"
    )
  end

  defp start(template, engine, count, seconds, parent) do
    for _ <- 1..count do
      pid = spawn(fn -> sleeper(template, engine, seconds, parent) end)
      receive(do: (:alive -> pid))
    end
  end

  defp parts do
    memory = :erlang.memory()

    %{
      "resident" => rss() * 1024,
      "page tables" => page_tables() * 1024,
      "of the VM: processes" => memory[:processes],
      "of the VM: resources" => memory[:binary]
    }
  end

  defp sleeper(template, engine, seconds, parent) do
    {:ok, store} = Store.new_wasi(%WasiOptions{}, nil, engine)
    {:ok, instance} = Template.instantiate(template, store)
    send(parent, :alive)

    receive do
      :sleep -> {:ok, [0]} = Instance.call(instance, "nap", [seconds * 1_000_000_000])
    end
  end

  defp nap(template, engine, nanoseconds) do
    {:ok, store} = Store.new_wasi(%WasiOptions{}, nil, engine)
    {:ok, instance} = Template.instantiate(template, store)
    {:ok, [0]} = Instance.call(instance, "nap", [nanoseconds])
    Store.close(store)
  end
end
