defmodule Wasmex.CLI do
  @moduledoc false
  # What the mix tasks share: they parse, call one public function, and print.

  @doc "Compiles and loads the project, quietly: standard output belongs to the task."
  def start do
    shell = Mix.shell()
    Mix.shell(Mix.Shell.Quiet)
    Mix.Task.run("app.config")
    Mix.shell(shell)
    {:ok, _} = Application.ensure_all_started(:wasmex)
    :ok
  end

  @doc "Ends the task: what went wrong, and the exit status (2 for a wrong command line)."
  @spec fail(String.t()) :: no_return()
  def fail(text), do: fail(text, 1)

  @spec fail(String.t(), pos_integer()) :: no_return()
  def fail(text, status) do
    IO.puts(:stderr, text)
    exit({:shutdown, status})
  end

  @doc "The same for a command line that makes no sense."
  @spec misuse(module(), String.t()) :: no_return()
  def misuse(task, text),
    do: fail("#{text}\nSee mix help #{Mix.Task.task_name(task)}.", 2)

  @doc "The command line of a task that works on one file: its options and the file. `to_what` ends a sentence."
  def one_file(task, to_what, argv, switches, opts \\ []) do
    case Wasmex.CLI.Options.parse(argv, switches, opts) do
      {:ok, found, [file]} -> {found, file}
      {:ok, _found, []} -> misuse(task, "the FILE to #{to_what} is missing")
      {:ok, _, [_, other | _]} -> misuse(task, "one FILE at a time; there is also #{other}")
      {:error, text} -> misuse(task, text)
    end
  end

  @doc "A file's bytes, or why not."
  def read(path) do
    with {:error, posix} <- File.read(path),
         do: {:error, "can't read #{path}: #{:file.format_error(posix)}"}
  end

  @doc "Writes a file in one piece: who looks sees the old one or the new one."
  def write(path, bytes) do
    temporary = "#{path}.#{System.pid()}.tmp"

    with :ok <- File.write(temporary, bytes),
         :ok <- File.rename(temporary, path) do
      :ok
    else
      {:error, posix} ->
        File.rm(temporary)
        {:error, "can't write #{path}: #{:file.format_error(posix)}"}
    end
  end
end
