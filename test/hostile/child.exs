# Reads kinds and seeds, a line each, and feeds the library what they stand for. Tells when it begins and ends each.
# Run by run.exs, which watches it.
{:ok, _} = Application.ensure_all_started(:wasmex)
Logger.configure(level: :none)
Process.flag(:trap_exit, true)

alias Wasmex.Hostile.{Feed, Generator}

# Ms that a scheduler may be held; see `again/3` in run.exs.
limit = String.to_integer(System.get_env("WASMEX_LONG_SCHEDULE", "5"))

# This process makes the inputs, which takes long lists. The code server loads modules that the compiler of Elixir made.
others = [self(), Process.whereis(:code_server)]

# Whether the input is compiled to a module of Elixir, whose compiler holds schedulers itself.
elixir = :atomics.new(1, [])

watch = fn watch ->
  receive do
    {:monitor, pid, :long_schedule, info} ->
      unless pid in others or :atomics.get(elixir, 1) == 1,
        do: IO.puts("long #{info[:timeout]} #{inspect(pid)} #{inspect(info)}")
  end

  watch.(watch)
end

shared = Feed.setup()
monitor = spawn(fn -> watch.(watch) end)
:erlang.system_monitor(monitor, [{:long_schedule, limit}])

for line <- IO.stream(:stdio, :line) do
  [kind, seed] = String.split(line)
  input = Generator.input(String.to_existing_atom(kind), String.to_integer(seed))
  :atomics.put(elixir, 1, if(kind == "generated", do: 1, else: 0))
  IO.puts("begin #{kind} #{seed}")
  {microseconds, reason} = :timer.tc(fn -> Feed.run(input, shared) end)

  unless reason == :normal,
    do: IO.puts("raised #{inspect(reason, limit: 10, printable_limit: 300)}")

  IO.puts("end #{kind} #{seed} #{div(microseconds, 1000)}")
end
