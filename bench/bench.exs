# Runs all measurements and reports them with the baseline's figures; started by bench/run.

for file <-
      ~w(support report measures/call measures/pool measures/snapshot measures/instantiate measures/latency measures/many measures/programs measures/components measures/compile measures/cores) do
  Code.require_file("#{file}.exs", __DIR__)
end

quick? = "--quick" in System.argv()

# A flat object of numbers: needs no JSON library, which OTP 25 lacks.
figures = fn json ->
  Regex.scan(~r/"(\w+)": ([-0-9.]+)/, json)
  |> Map.new(fn [_, key, value] -> {key, String.to_float(value)} end)
end

rust = figures.(File.read!("bench/results/baseline.json"))

rows =
  Enum.flat_map(
    # First, since memory that others leave would be used again and not be counted.
    [
      Bench.Many,
      Bench.Call,
      Bench.Cores,
      Bench.Pool,
      Bench.Snapshot,
      Bench.Instantiate,
      Bench.Compile,
      Bench.Programs,
      Bench.Components,
      Bench.Latency
    ],
    fn measure ->
      IO.puts(:stderr, "==> #{inspect(measure)}")

      # In a separate process: leftovers of one measurement, such as a large heap, do not affect the next.
      fn -> measure.run(quick?) end |> Task.async() |> Task.await(:infinity)
    end
  )

# Again at the end: load may start in between.
{share, 0} = System.cmd(System.fetch_env!("BASELINE"), ["--share"])
rust = Map.put(rust, "share_after", figures.(share)["share"])
Bench.Report.finish(rows, rust, quick?)
