Code.require_file("support.exs", __DIR__)
Code.require_file("measures/many.exs", __DIR__)

alias Wasmex.{Engine, EngineConfig}

{options, [count]} = OptionParser.parse!(System.argv(), strict: [default: :boolean])
count = String.to_integer(count)

{:ok, engine} =
  if options[:default],
    do: {:ok, Engine.default()},
    else: Engine.new(%EngineConfig{density: true})

Bench.Many.sleepers(engine, count)
