defmodule Mix.Tasks.Wasmex.Completion do
  @shortdoc "Prints shell completion of the tasks"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @shells ["bash", "zsh", "fish"]
  @options Options.table([], "mix wasmex.completion")

  @moduledoc """
  Prints a script that completes `mix wasmex.*` in a shell: the tasks, their options, files.

      mix wasmex.completion bash >> ~/.bashrc
      mix wasmex.completion zsh >> ~/.zshrc
      mix wasmex.completion fish > ~/.config/fish/completions/mix.wasmex.fish

  `wasmex completion SHELL` does the same for the command `wasmex` (see `mix wasmex.install`).

  Shells: #{Enum.join(@shells, ", ")}.
  """

  use Mix.Task

  alias Mix.Tasks.Wasmex, as: Tasks
  alias Wasmex.CLI

  @tasks [
    Tasks.Call,
    Tasks.Compile,
    Tasks.Inspect,
    Tasks.New,
    Tasks.Run,
    Tasks.Serve,
    Tasks.Snapshot
  ]

  @impl true
  def run(argv) do
    {_opts, shell} =
      CLI.one_argument(__MODULE__, "the shell (#{Enum.join(@shells, ", ")})", argv, @options)

    if shell in @shells,
      do: shell |> script(tasks()) |> CLI.print(),
      else: CLI.misuse(__MODULE__, "#{shell}: the shells are #{Enum.join(@shells, ", ")}")
  end

  # Names and their flags. `wasmex.new` needs a Mix project.
  defp tasks do
    for task <- @tasks, task != Tasks.New or not CLI.standalone?() do
      {_program, name} = CLI.command(task)
      {name, Enum.map(Flag.all(task.__options__()), &Flag.name/1)}
    end
  end

  defp program, do: if(CLI.standalone?(), do: "wasmex", else: "mix")

  # zsh can read bash's completions.
  defp script("zsh", tasks),
    do: ["autoload -Uz bashcompinit && bashcompinit\n", script("bash", tasks)]

  defp script("bash", tasks) do
    cases = for {name, flags} <- tasks, do: "      #{name}) words='#{Enum.join(flags, " ")}' ;;\n"
    names = Enum.map_join(tasks, " ", &elem(&1, 0))

    """
    _#{program()}_wasmex() {
      local word="${COMP_WORDS[COMP_CWORD]}" words=''
      if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '#{names}' -- "$word"))
        return
      fi
      case "${COMP_WORDS[1]}" in
    #{cases}  esac
      case "$word" in
        -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
      esac
    }
    complete -o default -F _#{program()}_wasmex #{program()}
    """
    |> String.trim_trailing()
  end

  defp script("fish", tasks) do
    for {name, flags} <- tasks do
      [
        "complete -c #{program()} -n __fish_use_subcommand -a #{name}\n",
        for(
          "--" <> flag <- flags,
          do: "complete -c #{program()} -n '__fish_seen_subcommand_from #{name}' -l #{flag}\n"
        )
      ]
    end
  end
end
