defmodule Wasmex.CLI.Main do
  @moduledoc false
  # The command `wasmex`, which runs the tasks without Mix. `mix wasmex.install` writes the launcher that starts this
  # module with Erlang only.

  alias Mix.Tasks.Wasmex, as: Tasks
  alias Wasmex.CLI

  # `wasmex.new` changes a Mix project, so it stays a task.
  @commands [
    {"run", Tasks.Run},
    {"serve", Tasks.Serve},
    {"call", Tasks.Call},
    {"inspect", Tasks.Inspect},
    {"compile", Tasks.Compile},
    {"snapshot", Tasks.Snapshot},
    {"completion", Tasks.Completion}
  ]

  @doc "The names of the commands and their tasks."
  @spec commands() :: [{String.t(), module()}]
  def commands, do: @commands

  @doc "Runs the command line of the launcher, and ends the VM."
  @spec main() :: no_return()
  def main do
    :init.get_plain_arguments()
    |> Enum.map(&List.to_string/1)
    |> status()
    |> System.halt()
  end

  @doc "Runs a command line. Returns the exit status: a failed task exits with it, as under Mix."
  @spec status([String.t()]) :: non_neg_integer()
  def status(argv) do
    :io.setopts(:standard_io, binary: true, encoding: :unicode)
    :io.setopts(:standard_error, encoding: :unicode)
    CLI.standalone()
    run(argv)
    0
  catch
    :exit, {:shutdown, status} when is_integer(status) ->
      status

    kind, reason ->
      text = Exception.format(kind, reason, __STACKTRACE__)
      IO.puts(:stderr, Wasmex.Printable.text(text))
      1
  end

  defp run([word]) when word in ["--version", "-v"], do: CLI.version()
  defp run([word]) when word in ["--help", "-h", "help"], do: CLI.print(usage())
  defp run([]), do: CLI.fail(usage(), 2)
  defp run(["help", command]), do: run([command, "--help"])

  # Running a program does not need Elixir's application, whose start takes as long as that of the VM.
  defp run(["run" | argv]), do: Tasks.Run.run(argv)

  defp run([command | argv]) do
    {:ok, _} = Application.ensure_all_started(:elixir)

    case List.keyfind(@commands, command, 0) do
      {_, task} -> task.run(argv)
      nil -> CLI.fail("unknown command #{command}\n\n#{usage()}", 2)
    end
  end

  defp usage do
    lines =
      for {command, task} <- @commands,
          do: "  #{String.pad_trailing(command, 12)}#{shortdoc(task)}\n"

    "Usage: wasmex COMMAND [ARGS…]\n\n#{lines}\nwasmex help COMMAND shows its options."
  end

  # What Mix.Task.shortdoc/1 reads.
  defp shortdoc(task), do: task.__info__(:attributes)[:shortdoc]
end
