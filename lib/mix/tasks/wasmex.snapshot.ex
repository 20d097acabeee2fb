defmodule Mix.Tasks.Wasmex.Snapshot do
  @shortdoc "Initialises a wasm file and writes its state as a wasm file"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @options Options.table(
             [
               output: [
                 type: {:or, [nil], :string},
                 doc: "the output file, by default FILE with the extension `.snapshot.wasm`",
                 flag: {:output, "FILE", :o}
               ],
               init: [
                 type: {:or, [nil], :string},
                 doc: "the exported function that initialises the guest",
                 flag: {:init, "NAME"}
               ],
               start: [
                 type: {:or, [nil], :string},
                 doc: "the exported function that becomes `_start`, for programs",
                 flag: {:start, "NAME"}
               ],
               stdin: [
                 type: {:or, [nil], :string},
                 doc:
                   "a file for standard input during initialisation, such as a script; for modules",
                 flag: {:stdin, "FILE"}
               ],
               timeout: [
                 type: {:milliseconds, 1..0x7FFF_FFFF},
                 default: 30_000,
                 doc: "the time limit",
                 flag: {:timeout, "30s"}
               ]
             ] ++ Options.Compile.rows(:isolated),
             "mix wasmex.snapshot"
           )

  @moduledoc """
  Initialises a module or component and writes its state to a file, whose instances start from this state.

      mix wasmex.snapshot FILE [-o FILE.snapshot.wasm] [--init NAME] [--stdin SCRIPT]

  See `Wasmex.Snapshot` for what all instances then have in common.

  #{Flag.docs(@options)}

  The exit status is 1 if no snapshot can be taken, and 2 for an invalid command line.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  alias Wasmex.{CLI, Compiler, Pipe, Quantity, Snapshot}
  alias Wasmex.CLI.Progress
  alias Wasmex.Wasi.WasiOptions

  @impl true
  def run(argv) do
    {opts, file} = CLI.one_argument(__MODULE__, "the FILE to initialise", argv, @options)
    compile = CLI.compile_options(__MODULE__, opts)
    _ = Compiler.Options.new!(compile)
    CLI.start()
    output = opts[:output] || Path.rootname(file) <> ".snapshot.wasm"

    if Path.expand(file) == Path.expand(output),
      do: CLI.fail("#{output} would overwrite its input: pass another --output", 2)

    own = Keyword.take(opts, [:init, :start, :timeout])
    take(file, output, own ++ wasi(opts[:stdin]) ++ compile)
  end

  defp wasi(nil), do: []

  defp wasi(path) do
    case CLI.read(path) do
      {:ok, bytes} ->
        {:ok, pipe} = Pipe.new()
        {:ok, _} = Pipe.write(pipe, bytes)
        Pipe.seek(pipe, 0)
        [wasi: %WasiOptions{stdin: pipe}]

      {:error, text} ->
        CLI.fail(text)
    end
  end

  defp take(file, output, opts) do
    started = System.monotonic_time(:microsecond)

    with {:ok, bytes} <- CLI.read(file),
         {:ok, snapshot} <-
           Progress.run("initialising #{file}", fn -> Snapshot.take({:bytes, bytes}, opts) end),
         :ok <- CLI.write(output, snapshot.bytes) do
      time = Quantity.time(System.monotonic_time(:microsecond) - started)
      [size, before] = for all <- [snapshot.bytes, bytes], do: Quantity.bytes(byte_size(all))
      CLI.print("#{output}: #{size} from #{before} in #{time}#{repeats(snapshot.uses)}")
    else
      {:error, text} when is_binary(text) -> CLI.fail(text)
      {:error, error} -> CLI.fail(Wasmex.Compat.text(error))
    end
  end

  defp repeats(uses) when uses in [[], :unknown], do: ""
  defp repeats(uses), do: "; shared by all instances: #{Enum.join(uses, ", ")}"
end
