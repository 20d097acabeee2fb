defmodule Mix.Tasks.Wasmex.Inspect do
  @shortdoc "Shows the contents of a wasm file"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @options Options.table(
             [
               json: [type: :boolean, default: false, doc: "print JSON", flag: :json],
               wit: [
                 type: :boolean,
                 default: false,
                 doc: "of a component: its world and interfaces as WIT",
                 flag: :wit
               ]
             ],
             "mix wasmex.inspect"
           )

  @moduledoc """
  Shows the contents of a wasm file: its kind and language, imports and exports with their types, whether it
  needs WASI, and the sizes of its sections.

      mix wasmex.inspect [--json | --wit] FILE
      mix wasmex.inspect --json greet.wasm | jq '.exports[].name'
      mix wasmex.inspect --wit texts.wasm

  FILE is a `.wasm` or `.wat` file, a module or component, or an artefact of `mix wasmex.compile`. In Elixir, use
  `Wasmex.Inspection`.

  #{Flag.docs(@options)}

  The exit status is 1 if the file is not wasm, and 2 for an invalid command line.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  alias Wasmex.{CLI, Inspection, WIT}
  alias Wasmex.Components.Component
  alias Wasmex.Inspection.Report

  @impl true
  def run(argv) do
    {opts, file} = CLI.one_argument(__MODULE__, "the FILE to inspect", argv, @options)
    CLI.start()
    show(file, opts)
  end

  defp show(file, opts) do
    with {:ok, bytes} <- CLI.read(file),
         {:ok, text} <- text(bytes, file, opts) do
      CLI.print(text)
    else
      {:error, text} when is_binary(text) -> CLI.fail(text)
      {:error, error} -> CLI.fail("#{file}: #{Exception.message(error)}")
    end
  end

  defp text(bytes, _file, wit: true) do
    with {:ok, component} <- Component.to_component(bytes, %Wasmex.Limits{}),
         {:ok, world} <- WIT.world({:component, component}),
         do: {:ok, String.trim_trailing(WIT.print(world))}
  end

  defp text(bytes, file, opts) do
    with {:ok, inspection} <- Inspection.from_bytes(bytes) do
      if opts[:json],
        do: {:ok, Wasmex.JSON.encode(Report.plain(inspection))},
        else: {:ok, Report.text(inspection, file, CLI.colours?())}
    end
  end
end
