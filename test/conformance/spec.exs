# The core suite of WebAssembly; started by script/conformance.
for file <- ~w(spec_values spec_runner), do: Code.require_file("#{file}.ex", __DIR__)

alias Wasmex.Conformance.SpecRunner

[dir | only] = System.argv()
engine = SpecRunner.engine()

# By file and line, with the reason.
{known, _} = Code.eval_file("known.exs", __DIR__)

results =
  Path.join(dir, "**/*.json")
  |> Path.wildcard()
  |> Enum.filter(fn file -> only == [] or Path.basename(file, ".json") in only end)
  |> Task.async_stream(
    fn file -> {Path.relative_to(file, dir), SpecRunner.run(file, engine)} end,
    timeout: :infinity,
    ordered: false
  )
  |> Enum.flat_map(fn {:ok, {file, results}} ->
    for {line, result} <- results, do: {file, line, result}
  end)
  |> Enum.sort()

failed = for {file, line, {:failed, why}} <- results, do: {"#{file}:#{line}", why}

unexpected =
  for {place, why} <- failed, not is_map_key(known, place) do
    IO.puts("FAILED #{place}: #{String.slice(why, 0, 400)}")
  end

for {place, _} <- failed, reason = known[place], do: IO.puts("known  #{place}: #{reason}")

passes_now =
  for {place, _} <- known, only == [], not List.keymember?(failed, place, 0) do
    IO.puts("PASSES #{place}: take it out of the list of known failures")
  end

IO.puts("#{length(results) - length(failed)}/#{length(results)}")
if unexpected != [] or passes_now != [], do: exit({:shutdown, 1})
