defmodule Wasmex.CLI do
  @moduledoc false
  # Shared by the Mix tasks, which parse, call one public function, and print. They also run without Mix, as the commands
  # of `wasmex` (`Wasmex.CLI.Main`).

  alias Wasmex.{Compiler, Native}

  @doc "From now on the tasks run without Mix."
  @spec standalone() :: :ok
  def standalone, do: :persistent_term.put({__MODULE__, :standalone}, true)

  @spec standalone?() :: boolean()
  def standalone?, do: :persistent_term.get({__MODULE__, :standalone}, false)

  @doc ~s|The program and the command of a task: `{"mix", "wasmex.run"}`, or `{"wasmex", "run"}`.|
  @spec command(module()) :: {String.t(), String.t()}
  def command(task) do
    name = task |> Module.split() |> List.last() |> Macro.underscore()
    if standalone?(), do: {"wasmex", name}, else: {"mix", "wasmex.#{name}"}
  end

  @doc """
  Starts the application. Under Mix, first compiles and loads the project without printing: standard output belongs to
  the task.
  """
  @spec start() :: :ok
  def start do
    unless standalone?(), do: load_project()
    {:ok, _} = Application.ensure_all_started(:wasmex)
    :ok
  end

  @doc """
  Starts what a task needs to compile and run one program. Without Mix, that is only a part of the application, which
  takes a fraction of the time.
  """
  @spec start_compiler() :: :ok
  def start_compiler do
    if standalone?(),
      do: {:ok, _} = Supervisor.start_link(Wasmex.Application.compiler(), strategy: :one_for_one),
      else: start()

    :ok
  end

  defp load_project do
    shell = Mix.shell()
    Mix.shell(Mix.Shell.Quiet)
    Mix.Task.run("app.config")
    Mix.shell(shell)
  end

  # The status that a shell reports for a program ended by SIGPIPE.
  @sigpipe 141

  @doc """
  Prints a line of the task's own output. If its reader has closed the pipe, the task ends silently; if it cannot be
  written, because the disk is full, the task fails.
  """
  @spec print(IO.chardata()) :: :ok
  def print(text) do
    if own_device?(),
      do: write(IO.chardata_to_string([text, ?\n])),
      else: IO.puts(text)
  end

  @doc "The same for bytes, without a line's end."
  @spec print_bytes(iodata()) :: :ok
  def print_bytes(bytes) do
    if own_device?(),
      do: write(IO.iodata_to_binary(bytes)),
      else: IO.binwrite(bytes)
  end

  # The VM's own device reports success before a byte is written. Another device is that of a test or a shell.
  defp own_device?, do: Process.group_leader() == Process.whereis(:user)

  defp write(bytes) do
    :ok = Native.stdio_print(bytes)

    case Native.stdio_finish() do
      [nil, _] -> :ok
      [:pipe, _] -> System.halt(@sigpipe)
      [text, _] -> fail("standard output: #{text}")
    end
  end

  @doc "Whether standard output is a terminal with colours enabled (see https://no-color.org)."
  @spec colours?() :: boolean()
  def colours?,
    do: System.get_env("NO_COLOR") in [nil, ""] and match?({:ok, _}, :io.columns(:standard_io))

  @doc "Ends the task with an error message and an exit status (2 for an invalid command line)."
  @spec fail(String.t()) :: no_return()
  def fail(text), do: fail(text, 1)

  @spec fail(String.t(), pos_integer()) :: no_return()
  def fail(text, status) do
    IO.puts(:stderr, Wasmex.Printable.text(text))
    exit({:shutdown, status})
  end

  @doc "Ends the task because of an invalid command line."
  @spec misuse(module(), String.t()) :: no_return()
  def misuse(task, text) do
    {program, name} = command(task)
    fail("#{text}\nSee #{program} help #{name}.", 2)
  end

  @doc """
  Parses the command line of a task, see `Wasmex.CLI.Options.parse/3`. `--help`, `--version` and errors end the task.
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
    if standalone?(),
      do: print_docs(task),
      else: Mix.Task.rerun("help", [Mix.Task.task_name(task)])

    exit({:shutdown, 0})
  rescue
    # The reader has closed the pipe.
    error in ErlangError ->
      if error.original in [:terminated, :epipe],
        do: System.halt(@sigpipe),
        else: reraise(error, __STACKTRACE__)
  end

  # As `mix help` prints them.
  defp print_docs(task) do
    {:docs_v1, _, _, format, %{"en" => docs}, _, _} = Code.fetch_docs(task)
    docs = Regex.replace(~r/\bmix wasmex\.(?!new|install)(?=\w)/, docs, "wasmex ")
    IO.ANSI.Docs.print(docs, format, enabled: colours?(), width: 100)
  end

  @doc "Prints the version and ends the task."
  @spec version() :: no_return()
  def version do
    Application.load(:wasmex)
    IO.puts("wasmex #{Application.spec(:wasmex, :vsn)}")
    exit({:shutdown, 0})
  end

  @doc "Parses the command line of a task with one argument, which `label` describes. Returns the options and the argument."
  @spec one_argument(module(), String.t(), [String.t()], Wasmex.Options.t()) ::
          {keyword(), String.t()}
  def one_argument(task, label, argv, table) do
    case options(task, argv, table) do
      {found, [argument]} -> {found, argument}
      {_found, []} -> misuse(task, "#{label} is missing")
      {_, [_, other | _]} -> misuse(task, "expected one argument, also got #{other}")
    end
  end

  @standard_input ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]

  # As `Wasmex.Bytes` allows for files.
  @longest_input 512 * 1024 * 1024

  @doc """
  The bytes of a file of a command line that can be read only once: standard input, `-` or `/dev/stdin`, or a pipe of the
  shell, `<(…)`. `:file` for any other. Unlike the paths of guests and manifests, these are the user's own.
  """
  @spec piped(Path.t()) :: :file | {:ok, binary()} | {:error, String.t()}
  def piped(file) when file in @standard_input do
    :io.setopts(:standard_io, binary: true, encoding: :latin1)
    gather("standard input", :standard_io)
  after
    :io.setopts(:standard_io, encoding: :unicode)
  end

  def piped(file) do
    case File.stat(file) do
      {:ok, %{type: type}} when type in [:device, :other] -> open(file)
      _ -> :file
    end
  end

  defp open(file) do
    case File.open(file, [:read, :raw, :binary], &gather(file, &1)) do
      {:ok, read} -> read
      {:error, posix} -> {:error, unreadable(file, :file.format_error(posix))}
    end
  end

  defp gather(name, device, gathered \\ [], size \\ 0)

  defp gather(name, _device, _gathered, size) when size > @longest_input,
    do: {:error, unreadable(name, "it has more than #{Wasmex.Quantity.bytes(@longest_input)}")}

  defp gather(name, device, gathered, size) do
    case :file.read(device, 65_536) do
      {:ok, bytes} -> gather(name, device, [gathered, bytes], size + byte_size(bytes))
      :eof -> {:ok, IO.iodata_to_binary(gathered)}
      {:error, reason} -> {:error, unreadable(name, :file.format_error(reason))}
    end
  end

  defp unreadable(name, why), do: "cannot read #{name}: #{why}"

  @doc "Reads a file, standard input, or a pipe."
  @spec read(Path.t()) :: {:ok, binary()} | {:error, String.t()}
  def read(path) do
    with :file <- piped(path),
         {:error, posix} <- File.read(path),
         do: {:error, unreadable(path, :file.format_error(posix))}
  end

  @doc "Writes a file atomically: readers see the old or the new content."
  @spec write(Path.t(), iodata()) :: :ok | {:error, String.t()}
  def write(path, bytes) do
    temporary = "#{path}.#{System.pid()}.tmp"

    with :ok <- File.write(temporary, bytes),
         :ok <- File.rename(temporary, path) do
      :ok
    else
      {:error, posix} ->
        File.rm(temporary)
        {:error, "cannot write #{path}: #{:file.format_error(posix)}"}
    end
  end

  @doc "The compile options of a task. The default is a separate process, because files may be untrusted."
  @spec compile_options(module(), keyword()) :: keyword()
  def compile_options(task, opts) do
    defaults = [compile: :isolated, cache: true]
    options = Keyword.merge(defaults, Keyword.take(opts, Compiler.Options.keys()))
    _ = Compiler.Options.new!(options)
    options
  rescue
    error in ArgumentError -> misuse(task, Exception.message(error))
  end
end
