defmodule Mix.Tasks.Wasmex.Completion do
  @shortdoc "Prints shell completion of the tasks"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @shells ["bash", "zsh", "fish"]
  @options Options.table([], "mix wasmex.completion")

  @moduledoc """
  Prints a script that completes `mix wasmex.*` in a shell: the tasks, their options, the values of options, and files.

      mix wasmex.completion bash >> ~/.bashrc
      mix wasmex.completion zsh >> ~/.zshrc
      mix wasmex.completion fish > ~/.config/fish/conf.d/mix_wasmex.fish

  `wasmex completion SHELL` does the same for the command `wasmex` (see `mix wasmex.install`). Other completions of `mix`
  remain in use for all other tasks.

  Shells: #{Enum.join(@shells, ", ")}.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  alias Mix.Tasks.Wasmex, as: Tasks
  alias Wasmex.{CLI, CLI.Completion}

  @tasks [
    Tasks.Call,
    Tasks.Compile,
    Tasks.Completion,
    Tasks.Inspect,
    Tasks.Install,
    Tasks.New,
    Tasks.Run,
    Tasks.Serve,
    Tasks.Snapshot
  ]
  # They need Mix.
  @only_mix [Tasks.Install, Tasks.New]

  @impl true
  def run(argv) do
    {_opts, shell} =
      CLI.one_argument(__MODULE__, "the shell (#{Enum.join(@shells, ", ")})", argv, @options)

    if shell in @shells,
      do: shell |> Completion.script(program(), commands()) |> CLI.print(),
      else: CLI.misuse(__MODULE__, "#{shell}: the shells are #{Enum.join(@shells, ", ")}")
  end

  defp commands do
    for task <- @tasks, task not in @only_mix or not CLI.standalone?() do
      {_program, name} = CLI.command(task)
      {name, task.__info__(:attributes)[:shortdoc] |> hd(), Flag.all(task.__options__())}
    end
  end

  defp program, do: if(CLI.standalone?(), do: "wasmex", else: "mix")
end
