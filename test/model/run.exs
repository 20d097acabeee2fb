# Models of the library beside the library: random commands to both, and what differs made as small as it gets.
# See script/model.
#
#   mix run test/model/run.exs SECONDS [NAME…]

alias Wasmex.Model.{Calls, KeyValues, Pipes, Pools, PropEr, Values}

{:ok, _} = Application.ensure_all_started(:wasmex)
Logger.configure(level: :none)

models = [calls: Calls, pipes: Pipes, pools: Pools, values: Values, key_values: KeyValues]
[seconds | only] = System.argv()

models =
  for {name, model} <- models, only == [] or Atom.to_string(name) in only, do: {name, model}

# As much time for each.
share = div(String.to_integer(seconds) * 1000, max(length(models), 1))

garbage = fn -> for pid <- Process.list(), do: :erlang.garbage_collect(pid) end

# What a model has made is gone when it has ended.
gone? = fn gone?, before, tries ->
  garbage.()
  left = for {kind, count} <- Wasmex.live_objects(), count > before[kind], do: {kind, count}

  cond do
    kinds = Keyword.drop(left, [:engine, :module, :component]) == [] -> kinds
    tries == 0 -> IO.puts("left behind: #{inspect(left)}") && false
    true -> Process.sleep(20) && gone?.(gone?, before, tries - 1)
  end
end

for {name, model} <- models do
  before = Wasmex.live_objects()

  # A killed user of a pool leaves its queue within a second.
  batch = if name == :pools, do: 10, else: 50

  case PropEr.check(model.property(), System.monotonic_time(:millisecond) + share, batch) do
    {:failed, counterexample} ->
      IO.puts("FAILED #{name}: #{inspect(counterexample, limit: :infinity, pretty: true)}")
      System.halt(1)

    tests ->
      unless gone?.(gone?, before, 500), do: System.halt(1)
      IO.puts("#{name}: #{tests} tests")
  end
end
