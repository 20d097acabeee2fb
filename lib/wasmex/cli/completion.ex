defmodule Wasmex.CLI.Completion do
  @moduledoc false
  # Scripts that complete a command line in bash, zsh and fish. They contain the flags, so that completing starts no VM.

  alias Wasmex.CLI.Flag

  @type command :: {name :: String.t(), about :: String.t(), [Flag.t()]}

  # The length of a description that fits beside the flags.
  @most 70

  @doc "The script for a shell, which completes the commands of a program."
  @spec script(String.t(), String.t(), [command()]) :: iodata()
  def script("bash", program, commands), do: bash(program, commands)
  def script("zsh", program, commands), do: zsh(program, commands)
  def script("fish", program, commands), do: fish(program, commands)

  # A completion of Mix that was there before completes the other tasks. Without candidates, bash completes files
  # (`-o default`).
  defp bash(program, commands) do
    """
    _#{program}_wasmex() {
      local word="${COMP_WORDS[COMP_CWORD]}" flag="${COMP_WORDS[COMP_CWORD-1]}" words=''
      COMPREPLY=()
      if [ "$COMP_CWORD" -eq 1 ]; then
        [ -z "$_#{program}_wasmex_other" ] || "$_#{program}_wasmex_other" "$@"
        COMPREPLY+=($(compgen -W '#{Enum.map_join(commands, " ", &elem(&1, 0))}' -- "$word"))
        return
      fi
      case "${COMP_WORDS[1]} $flag" in
    #{for {name, _, flags} <- commands, flag <- flags, do: bash_values(name, flag)}  esac
      if [ -n "$words" ]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
        return
      fi
      case "${COMP_WORDS[1]}" in
    #{for command <- commands, do: bash_flags(command)}    *) [ -z "$_#{program}_wasmex_other" ] || "$_#{program}_wasmex_other" "$@" ;;
      esac
      case "$word" in
        -*) [ -z "$words" ] || COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
      esac
    }
    _#{program}_wasmex_other=$(complete -p #{program} 2>/dev/null | sed -n 's/.* -F \\([^ ]*\\) .*/\\1/p')
    [ "$_#{program}_wasmex_other" != _#{program}_wasmex ] || _#{program}_wasmex_other=''
    complete -o default -F _#{program}_wasmex #{program}\
    """
  end

  defp bash_values(name, flag) do
    case Flag.values(flag) do
      [] -> []
      values -> "    '#{name} #{Flag.name(flag)}') words='#{Enum.join(values, " ")}' ;;\n"
    end
  end

  defp bash_flags({name, _about, flags}),
    do: "    #{name}) words='#{flags |> Enum.flat_map(&names/1) |> Enum.join(" ")}' ;;\n"

  defp zsh(program, commands) do
    """
    #compdef #{program}
    _#{program}_wasmex() {
      local -a commands
      if (( CURRENT == 2 )); then
        commands=(
    #{for {name, about, _} <- commands, do: "      #{quoted(colon(name) <> ":" <> short(about))}\n"}    )
        _describe -t wasmex 'wasmex' commands
        [[ -z $_#{program}_wasmex_other ]] || $_#{program}_wasmex_other
        return
      fi
      case $words[2] in
    #{for command <- commands, do: zsh_command(command)}    *) ${_#{program}_wasmex_other:-_default} ;;
      esac
    }
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    _#{program}_wasmex_other=${_comps[#{program}]:#_#{program}_wasmex}
    compdef _#{program}_wasmex #{program}\
    """
  end

  defp zsh_command({name, _about, flags}) do
    [
      "    #{name})\n      shift words; (( CURRENT-- ))\n      _arguments -S \\\n",
      for(flag <- flags, do: ["        ", zsh_flag(flag), " \\\n"]),
      "        '*:file:_files' ;;\n"
    ]
  end

  # `(-o --output)'{-o,--output}'[the output file]:FILE:_files`
  defp zsh_flag(flag) do
    once = if Flag.repeats?(flag), do: "*", else: "(#{Enum.join(names(flag), " ")})"
    about = "[#{flag |> about() |> bracket()}]"

    value =
      case {Flag.placeholder(flag), Flag.values(flag)} do
        {"", _} -> ""
        {placeholder, []} -> ":#{colon(placeholder)}:_files"
        {placeholder, values} -> ":#{colon(placeholder)}:(#{Enum.join(values, " ")})"
      end

    case names(flag) do
      [name] -> quoted(once <> name <> about <> value)
      names -> "#{quoted(once)}{#{Enum.join(names, ",")}}#{quoted(about <> value)}"
    end
  end

  defp fish(program, commands) do
    for {name, about, flags} <- commands do
      [
        "complete -c #{program} -n __fish_use_subcommand -a #{name} -d #{fish_quoted(short(about))}\n",
        for(flag <- flags, do: fish_flag(program, name, flag))
      ]
    end
  end

  defp fish_flag(program, name, flag) do
    "--" <> long = Flag.name(flag)
    alias = if flag.alias, do: " -s #{flag.alias}"

    value =
      case {Flag.placeholder(flag), Flag.values(flag)} do
        {"", _} -> ""
        {_, []} -> " -r"
        {_, values} -> " -x -a '#{Enum.join(values, " ")}'"
      end

    "complete -c #{program} -n '__fish_seen_subcommand_from #{name}' -l #{long}#{alias}#{value} -d #{fish_quoted(about(flag))}\n"
  end

  defp names(%{alias: nil} = flag), do: [Flag.name(flag)]
  defp names(flag), do: ["-#{flag.alias}", Flag.name(flag)]

  defp about(flag), do: flag |> Flag.about() |> short()

  # One line of plain text.
  defp short(text) do
    text =
      text
      |> String.replace(~r/\s+/, " ")
      |> String.replace("`", "")
      |> String.split(~r/(?<=[a-z)]{2})[.:;] /, parts: 2)
      |> hd()

    if String.length(text) > @most, do: String.slice(text, 0, @most - 1) <> "…", else: text
  end

  defp quoted(text), do: "'#{String.replace(text, "'", "'\\''")}'"
  defp colon(text), do: String.replace(text, ":", "\\:")
  defp bracket(text), do: String.replace(text, ["[", "]"], &("\\" <> &1))

  defp fish_quoted(text),
    do: "'#{text |> String.replace("\\", "\\\\") |> String.replace("'", "\\'")}'"
end
