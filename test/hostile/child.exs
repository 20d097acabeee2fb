# Reads kinds and seeds, a line each, and feeds the library what they stand for. Tells when it begins and ends each.
# Run by run.exs, which watches it.
{:ok, _} = Application.ensure_all_started(:wasmex)
Logger.configure(level: :none)
Process.flag(:trap_exit, true)

alias Wasmex.{Components, Engine, Inspection, WIT, Wat}
alias Wasmex.Hostile.Generator

watch = fn watch ->
  receive do
    {:monitor, pid, :long_schedule, info} ->
      IO.puts("long #{info[:timeout]} #{inspect(pid)} #{inspect(info)}")
  end

  watch.(watch)
end

monitor = spawn(fn -> watch.(watch) end)
:erlang.system_monitor(monitor, [{:long_schedule, 50}])

inspect_it = fn bytes ->
  with {:ok, inspection} <- Inspection.from_bytes(bytes),
       do: Inspection.Report.text(inspection, "file")
end

feed = fn
  {:wit, text} ->
    WIT.world({:text, text})

  {:wat, text} ->
    Wat.to_wasm(text)

  {:wasm, <<_::binary-size(6), 0, _::binary>> = bytes} ->
    inspect_it.(bytes)
    result = Wasmex.run(bytes, [], timeout: 500, invoke: {"f", [3]})
    with {:error, error} <- result, do: Exception.message(error)

  {:wasm, bytes} ->
    inspect_it.(bytes)
    WIT.world({:component, bytes})

    with {:ok, component} <- Components.Component.compile(Engine.default(), bytes) do
      Components.Component.imports(component)
      Components.Component.exports(component)
    end
end

# Garbage of the one before is not the next one's.
for line <- IO.stream(:stdio, :line) do
  [kind, seed] = String.split(line)
  input = Generator.input(String.to_existing_atom(kind), String.to_integer(seed))
  IO.puts("begin #{kind} #{seed}")

  {microseconds, _} =
    :timer.tc(fn -> Task.await(Task.async(fn -> feed.(input) end), :infinity) end)

  IO.puts("end #{kind} #{seed} #{div(microseconds, 1000)}")
end
