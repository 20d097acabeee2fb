defmodule Mix.Tasks.Wasmex.Compile do
  @shortdoc "Compiles a wasm file ahead of time"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @engine Keyword.filter(Options.Engine.rows(), fn {_name, row} -> row[:flag] end)
  @options Options.table(
             [
               output: [
                 type: {:or, [nil], :string},
                 doc: "the output file, by default FILE with the extension `.cwasm`",
                 flag: {:output, "FILE", :o}
               ]
             ] ++ @engine ++ Options.Compile.rows(:isolated),
             "mix wasmex.compile"
           )

  @moduledoc """
  Compiles a wasm file ahead of time, so that loading it takes milliseconds.

      mix wasmex.compile FILE [-o FILE.cwasm]
      mix wasmex.run FILE.cwasm

  `mix wasmex.run`, `Wasmex.run/3` and `Wasmex.Module.deserialize/3` load the result. They verify that it is unmodified
  and was compiled by the same version of this library, for the same architecture and engine settings. The digest detects
  damage, not tampering: load only files from trusted sources.

  #{Flag.docs(@options)}

  The exit status is 1 if the file cannot be compiled, and 2 for an invalid command line.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

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
    if Wasmex.Artefact.artefact?(bytes), do: {:error, "#{file} is already compiled"}, else: :ok
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
      do: CLI.fail("#{output} would overwrite its input: pass another --output", 2)

    with {:ok, bytes} <- CLI.read(file),
         :ok <- source(file, bytes),
         {:ok, module} <-
           Progress.run("compiling #{file}", fn -> Compiled.compile(bytes, engine, compiler) end),
         {:ok, artefact} <- Compiled.kind(module).serialize(module),
         :ok <- CLI.write(output, artefact) do
      time = System.monotonic_time(:microsecond) - started

      CLI.print(
        "#{output}: #{Quantity.bytes(byte_size(artefact))} from #{Quantity.bytes(byte_size(bytes))} in #{Quantity.time(time)}"
      )
    else
      {:error, text} when is_binary(text) -> CLI.fail(text)
      {:error, error} -> CLI.fail(Wasmex.Compat.text(error))
    end
  end
end
