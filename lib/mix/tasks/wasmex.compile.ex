defmodule Mix.Tasks.Wasmex.Compile do
  @shortdoc "Compiles a wasm file ahead of time"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @engine Keyword.filter(Options.Engine.rows(), fn {_name, row} -> row[:flag] end)
  @options Options.table(
             [
               output: [
                 type: {:or, [nil], :string},
                 doc: "where to; by default FILE with the ending `.cwasm`",
                 flag: {:output, "FILE", :o}
               ]
             ] ++ @engine ++ Options.Compile.rows(:isolated),
             "mix wasmex.compile"
           )

  @moduledoc """
  Compiles a wasm file ahead of time, so that it loads in milliseconds.

      mix wasmex.compile FILE [-o FILE.cwasm]
      mix wasmex.run FILE.cwasm

  `mix wasmex.run`, `Wasmex.run/3` and `Wasmex.Module.deserialize/3` load the result, after verifying that
  it was made by this library, for this kind of machine, with the settings it is loaded for, and is
  unaltered. A digest finds damage, not malice: load only what you have made.

  #{Flag.docs(@options)}

  The exit status is 1 when the file can't be compiled, 2 for a wrong command line.
  """

  use Mix.Task

  alias Wasmex.{CLI, Compiler, Engine}
  alias Wasmex.CLI.Progress
  alias Wasmex.Quantity
  alias Wasmex.Program.Compiled

  @impl true
  def run(argv) do
    {opts, file} = CLI.one_argument(__MODULE__, "the FILE to compile", argv, @options)
    settings = settings(opts)
    compiler = __MODULE__ |> CLI.compile_options(opts) |> Compiler.Options.new!()
    CLI.start()
    output = opts[:output] || Path.rootname(file) <> ".cwasm"
    compile(file, output, Engine.shared(settings), compiler)
  end

  defp source(file, bytes) do
    if Wasmex.Artefact.artefact?(bytes), do: {:error, "#{file} is compiled already"}, else: :ok
  end

  # The default engine optimizes for speed, see `Wasmex.Engine.default/0`.
  defp settings(opts) do
    for {name, value} <- Keyword.take(opts, Keyword.keys(@engine)),
        {name, value} != {:cranelift_opt_level, :speed},
        do: {name, value}
  end

  defp compile(file, output, engine, compiler) do
    started = System.monotonic_time(:microsecond)

    if Path.expand(file) == Path.expand(output),
      do:
        CLI.fail("#{output} would be written over what it is made from: name another --output", 2)

    with {:ok, bytes} <- CLI.read(file),
         :ok <- source(file, bytes),
         {:ok, module} <-
           Progress.run("compiling #{file}", fn -> Compiled.compile(bytes, engine, compiler) end),
         {:ok, artefact} <- Compiled.kind(module).serialize(module),
         :ok <- CLI.write(output, artefact) do
      time = System.monotonic_time(:microsecond) - started

      IO.puts(
        "#{output}: #{Quantity.bytes(byte_size(artefact))} from #{Quantity.bytes(byte_size(bytes))} in #{Quantity.time(time)}"
      )
    else
      {:error, text} when is_binary(text) -> CLI.fail(text)
      {:error, error} -> CLI.fail(Wasmex.Compat.text(error))
    end
  end
end
