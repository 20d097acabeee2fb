defmodule Wasmex.CLI do
  @moduledoc false
  # What the mix tasks share: they parse, call one public function, and print.

  alias Wasmex.Compiler

  @doc "Compiles and loads the project, quietly: standard output belongs to the task."
  @spec start() :: :ok
  def start do
    shell = Mix.shell()
    Mix.shell(Mix.Shell.Quiet)
    Mix.Task.run("app.config")
    Mix.shell(shell)
    {:ok, _} = Application.ensure_all_started(:wasmex)
    :ok
  end

  # As a shell has it for a program that SIGPIPE ended.
  @sigpipe 141

  @doc "Prints the task's own output. Whoever closed the pipe has what they wanted: the task ends without a word."
  @spec print(iodata()) :: :ok
  def print(text) do
    IO.puts(text)
  rescue
    error in ErlangError ->
      if error.original in [:terminated, :epipe],
        do: System.halt(@sigpipe),
        else: reraise(error, __STACKTRACE__)
  end

  @doc "Whether standard output is a terminal that wants colours (see https://no-color.org)."
  @spec colours?() :: boolean()
  def colours?,
    do: System.get_env("NO_COLOR") in [nil, ""] and match?({:ok, _}, :io.columns(:standard_io))

  @doc "Ends the task: what went wrong, and the exit status (2 for a wrong command line)."
  @spec fail(String.t()) :: no_return()
  def fail(text), do: fail(text, 1)

  @spec fail(String.t(), pos_integer()) :: no_return()
  def fail(text, status) do
    IO.puts(:stderr, Wasmex.Printable.text(text))
    exit({:shutdown, status})
  end

  @doc "The same for a command line that makes no sense."
  @spec misuse(module(), String.t()) :: no_return()
  def misuse(task, text),
    do: fail("#{text}\nSee mix help #{Mix.Task.task_name(task)}.", 2)

  @doc """
  Parses a task's command line (see `Wasmex.CLI.Options.parse/3`). `--help`, `--version` and mistakes end the task.
  """
  @spec options(module(), [String.t()], Wasmex.Options.t(), keyword()) ::
          {keyword(), [String.t()]}
  def options(task, argv, table, opts \\ []) do
    case Wasmex.CLI.Options.parse(argv, table, opts) do
      {:ok, [help: true], _rest} -> help(task)
      {:ok, [{common, true} | _], _rest} when common in [:help, :version] -> version()
      {:ok, found, rest} -> {found, rest}
      {:error, text} -> misuse(task, text)
    end
  end

  @spec help(module()) :: no_return()
  defp help(task) do
    Mix.Task.rerun("help", [Mix.Task.task_name(task)])
    exit({:shutdown, 0})
  end

  @spec version() :: no_return()
  defp version do
    Application.load(:wasmex)
    IO.puts("wasmex #{Application.spec(:wasmex, :vsn)}")
    exit({:shutdown, 0})
  end

  @doc "The command line of a task that takes one argument, `what`: the options and that argument."
  @spec one_argument(module(), String.t(), [String.t()], Wasmex.Options.t()) ::
          {keyword(), String.t()}
  def one_argument(task, what, argv, table) do
    case options(task, argv, table) do
      {found, [argument]} -> {found, argument}
      {_found, []} -> misuse(task, "#{what} is missing")
      {_, [_, other | _]} -> misuse(task, "one argument is expected; there is also #{other}")
    end
  end

  @doc "A file's bytes, or why not."
  @spec read(Path.t()) :: {:ok, binary()} | {:error, String.t()}
  def read(path) do
    with {:error, posix} <- File.read(path),
         do: {:error, "can't read #{path}: #{:file.format_error(posix)}"}
  end

  @doc "Writes a file in one piece: who looks sees the old one or the new one."
  @spec write(Path.t(), iodata()) :: :ok | {:error, String.t()}
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

  @doc "Where and how a task compiles: in a process of its own unless the command line says, for files may come from anybody."
  @spec compile_options(module(), keyword()) :: keyword()
  def compile_options(task, opts) do
    defaults = [compile: :isolated, cache: true]
    given = Keyword.merge(defaults, Keyword.take(opts, Compiler.Options.keys()))
    _ = Compiler.Options.new!(given)
    given
  rescue
    error in ArgumentError -> misuse(task, Exception.message(error))
  end
end
