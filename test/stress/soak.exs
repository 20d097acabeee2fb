# A mixed load for some minutes, and what it did to the VM: script/soak [MINUTES].

defmodule Wasmex.Soak do
  @moduledoc false

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components.{Instance, Store, Template}

  def main([minutes, report]) do
    {:ok, _} = Application.ensure_all_started(:wasmex)
    Logger.configure(level: :none)
    seconds = round(String.to_float(minutes) * 60)
    counters = :counters.new(8, [:write_concurrency])
    names = [:call, :import, :server, :program, :component, :resource, :http, :killed]
    loads = loads(counters)
    for load <- loads, do: load.()
    # What is made once is there before the first look.
    await_idle()
    before = look(0, counters)
    started = System.monotonic_time(:second)
    pids = for load <- loads, _ <- 1..2, do: spawn_link(fn -> forever(load) end)
    samples = sample(started, seconds, counters, [before])

    for pid <- pids do
      Process.unlink(pid)
      Process.exit(pid, :kill)
    end

    await_idle()
    last = look(System.monotonic_time(:second) - started, counters)

    totals =
      for {name, index} <- Enum.with_index(names, 1), do: {name, :counters.get(counters, index)}

    File.write!(report, svg(Enum.reverse([last | samples])))
    print(totals, before, last, Enum.max_by(samples, & &1.rss), report)
  end

  defp forever(load) do
    load.()
    forever(load)
  end

  defp await_idle do
    for _ <- 1..20 do
      for pid <- Process.list(), do: :erlang.garbage_collect(pid)
      Process.sleep(50)
    end
  end

  defp loads(counters) do
    count = fn index -> :counters.add(counters, index, 1) end

    wat =
      ~s|(module (import "e" "f" (func $f (param i32) (result i32))) (memory (export "memory") 1)
      (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
      (func (export "g") (param i32) (result i32) local.get 0 call $f)
      (func (export "spin") (loop br 0)))|

    imports = %{e: %{f: {:fn, [:i32], [:i32], fn _, n -> n + 1 end}}}
    {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), wat)
    {:ok, types} = Template.new(Guests.component("types"), Guests.types_imports())
    {:ok, resources} = Template.new(Guests.component("resources"), Guests.resources_imports())
    {:ok, http} = Wasmex.HTTP.load(Guests.path("http"), timeout: 1_000)

    instance = fn ->
      {:ok, store} = Wasmex.Store.new()
      {:ok, instance} = Wasmex.Instance.new(store, module, imports)
      instance
    end

    component = fn template ->
      {:ok, store} = Store.new()
      {:ok, instance} = Template.instantiate(template, store)
      instance
    end

    [
      fn ->
        i = instance.()
        for n <- 1..500, do: {:ok, [_]} = Wasmex.Instance.call(i, "add", [n, 1])
        count.(1)
      end,
      fn ->
        i = instance.()
        for n <- 1..500, do: {:ok, [_]} = Wasmex.Instance.call(i, "g", [n])
        count.(2)
      end,
      fn ->
        {:ok, pid} = Wasmex.start_link(%{bytes: wat, imports: imports})
        for n <- 1..50, do: {:ok, [_]} = Wasmex.call_function(pid, "g", [n])
        Wasmex.stop(pid)
        count.(3)
      end,
      fn ->
        %{status: 0} = Wasmex.run!("test/guests/programs/c/program.wasm", ["hello"])

        %{status: 0} =
          Wasmex.run!("test/guests/component_command/component_command.wasm", ["hello"])

        count.(4)
      end,
      fn ->
        i = component.(types)
        for n <- 1..100, do: {:ok, _} = Instance.call(i, "greet", ["#{n}"])
        {:error, _} = Instance.call(i, "panic", ["x"])
        count.(5)
      end,
      fn ->
        i = component.(resources)

        for n <- 1..50,
            do: {:ok, _} = Instance.call(i, {"test:resources/counters@1.0.0", "make"}, [n])

        count.(6)
      end,
      fn ->
        for path <- ["/hello", "/long?100000", "/trap"] do
          Wasmex.HTTP.call(http, Wasmex.HTTP.Request.new("GET", path, [{"host", "h"}]))
        end

        count.(7)
      end,
      fn ->
        # Linked, so that it does not outlive this one, which is killed at the end.
        pid = spawn_link(fn -> Wasmex.Instance.call(instance.(), "spin", []) end)
        Process.sleep(2)
        Process.unlink(pid)
        Process.exit(pid, :kill)
        count.(8)
      end
    ]
  end

  defp sample(started, seconds, counters, samples) do
    passed = System.monotonic_time(:second) - started

    if passed >= seconds do
      samples
    else
      Process.sleep(1_000)
      sample(started, seconds, counters, [look(passed, counters) | samples])
    end
  end

  defp look(second, _counters) do
    %{
      second: second,
      rss: status("VmRSS"),
      threads: status("Threads"),
      files: length(File.ls!("/proc/self/fd")),
      processes: length(Process.list()),
      memory: div(:erlang.memory(:total), 1024),
      objects:
        Wasmex.live_objects()
        |> Keyword.drop([:engine, :module, :component, :template])
        |> Keyword.values()
        |> Enum.sum()
    }
  end

  defp status(key) do
    [_, number] = Regex.run(~r/^#{key}:\s+(\d+)/m, File.read!("/proc/self/status"))
    String.to_integer(number)
  end

  defp print(totals, before, last, most, report) do
    IO.puts(Enum.map_join(totals, ", ", fn {name, count} -> "#{name} #{count}" end))
    IO.puts("                before   most   after")

    for key <- [:rss, :memory, :threads, :files, :processes, :objects] do
      [a, b, c] =
        for look <- [before, most, last],
            do: look |> Map.fetch!(key) |> to_string() |> String.pad_leading(8)

      unit = if key in [:rss, :memory], do: "KiB", else: ""
      IO.puts("#{String.pad_trailing("#{key} #{unit}", 12)}#{a}#{b}#{c}")
    end

    IO.puts("chart: #{report}")

    same =
      Enum.all?(
        [:threads, :files, :processes, :objects],
        &(Map.fetch!(last, &1) <= Map.fetch!(before, &1) + 2)
      )

    unless same, do: System.halt(1)
  end

  # Resident memory over time.
  defp svg(samples) do
    most = samples |> Enum.map(& &1.rss) |> Enum.max()
    last = max(List.last(samples).second, 1)

    points =
      Enum.map_join(samples, " ", fn sample ->
        x = 50 + sample.second / last * 640
        y = 250 - sample.rss / most * 220
        "#{Float.round(x, 1)},#{Float.round(y, 1)}"
      end)

    """
    <svg xmlns="http://www.w3.org/2000/svg" width="720" height="300" font-family="sans-serif" font-size="12">
      <rect width="720" height="300" fill="white"/>
      <text x="50" y="20">resident memory, at most #{div(most, 1024)} MiB, over #{last} s of mixed load</text>
      <line x1="50" y1="250" x2="690" y2="250" stroke="black"/>
      <polyline points="#{points}" fill="none" stroke="#47a" stroke-width="1.5"/>
    </svg>
    """
  end
end

Wasmex.Soak.main(System.argv())
