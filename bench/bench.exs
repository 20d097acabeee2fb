# Runs all measures and reports them beside the baseline's figures; started by bench/run.

for file <-
      ~w(support report measures/call measures/pool measures/snapshot measures/instantiate measures/latency measures/many measures/programs measures/components measures/compile) do
  Code.require_file("#{file}.exs", __DIR__)
end

quick? = "--quick" in System.argv()

# A flat object of numbers: no JSON library is needed, and OTP 25 has none.
figures = fn json ->
  Regex.scan(~r/"(\w+)": ([-0-9.]+)/, json)
  |> Map.new(fn [_, key, value] -> {key, String.to_float(value)} end)
end

rust = figures.(File.read!("bench/results/baseline.json"))

rows =
  Enum.flat_map(
    [
      Bench.Call,
      Bench.Pool,
      Bench.Snapshot,
      Bench.Instantiate,
      Bench.Compile,
      Bench.Programs,
      Bench.Components
    ] ++
      [Bench.Latency, Bench.Many],
    fn measure ->
      IO.puts(:stderr, "==> #{inspect(measure)}")

      # In a process of its own: what one leaves behind, such as a large heap, is not the next one's.
      fn -> measure.run(quick?) end |> Task.async() |> Task.await(:infinity)
    end
  )

# Once more at the end: load may come in between.
{share, 0} = System.cmd(System.fetch_env!("BASELINE"), ["--share"])
rust = Map.put(rust, "share_after", figures.(share)["share"])
Bench.Report.finish(rows, rust, quick?)
