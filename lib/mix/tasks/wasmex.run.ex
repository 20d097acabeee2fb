defmodule Mix.Tasks.Wasmex.Run do
  @shortdoc "Runs a WASI program"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  # FILE may be untrusted, so it is compiled in a separate process by default.
  @program Keyword.merge(Options.Program.rows(), Options.Compile.rows(:isolated))

  # Options that replace those of a program with the same name, and further ones.
  @own [
    env_inherit: [
      type: :boolean,
      default: false,
      doc: "pass all environment variables of this process",
      flag: :env_inherit,
      group: :granted
    ],
    links: [
      type: {:list, Options.Type.Pair},
      default: [],
      doc: "a module that provides the imports of NAME",
      flag: {:preload, "NAME=FILE"},
      group: :granted
    ],
    trace: [
      type: :boolean,
      default: false,
      doc: "print a line on standard error for each call to WASI",
      flag: :trace,
      group: :observers
    ],
    profile: [
      type: {:or, [nil], :string},
      doc:
        "write a profile for profiler.firefox.com to FILE, and next to it a flame graph (`.svg`) and folded stacks (`.folded`)",
      flag: {:profile, "FILE"},
      group: :observers
    ],
    core_dump: [
      type: {:or, [nil], :string},
      doc: "write a core dump to FILE after a trap",
      flag: {:coredump, "FILE"},
      group: :observers
    ],
    stats: [
      type: :boolean,
      default: false,
      doc: "print time, memory and fuel on standard error",
      flag: :stats,
      group: :observers
    ],
    invoke: [
      type: {:or, [nil], :string},
      doc:
        "call a function and print its results, one per line, in WAVE (`Wasmex.Wave`): `--invoke 'add(2, 3)'`, `--invoke 'greet({name: \"Ada\", age: some(36)})'`. `--invoke NAME FILE ARG…` takes one argument per word. The interface of a component's function may be omitted if the name is unique: `ns:pkg/calc@1.0.0.add`, `calc.add`, `add`",
      flag: {:invoke, "'NAME(ARGS)'"},
      group: :others
    ]
  ]
  @options Options.table(Keyword.merge(@program, @own), "mix wasmex.run")

  @moduledoc """
  Runs a WASI program: a `.wasm` or `.wat` file, or an artefact of `mix wasmex.compile`.

      mix wasmex.run [OPTIONS] FILE [ARGS…]
      mix wasmex.run --dir . --timeout 2s wc.wasm README.md
      cat big.json | mix wasmex.run pretty.wasm | head

  The program uses the standard input, output and error of the task, byte for byte. Arguments after FILE are passed to
  the program.

  FILE may be a pipe of the shell, `<(…)`, and `-` or `/dev/stdin` is a program on standard input, which has no other input
  then:

      cat prog.wasm | mix wasmex.run - ARG

  ## Grants

  Nothing by default.

  #{Flag.docs(@options, :granted)}

  Sockets, for modules and components, and HTTP requests of components; see the guide to sockets. Addresses look like `10.0.0.5:5432` and
  `*.internal:443`:

  #{Flag.docs(@options, :network)}

  ## Limits

  #{Flag.docs(@options, :limits)}

  ## Compiling

  See `Wasmex.Compiler`.

  #{Flag.docs(@options, :compile)}

  ## Observing the program

  #{Flag.docs(@options, :observers)}

  ## Other options

  #{Flag.docs(@options, :others)}

  ## Exit status

  The exit status of the program; 134 after a trap (the backtrace is on standard error), 124 after a timeout, 130 after
  Ctrl-C, 141 if it trapped because the reader of its output closed the pipe, 1 for other errors, and 2 for an invalid
  command line.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  alias Wasmex.{CLI, Error, Module, Profile, Trap}
  alias Wasmex.CLI.{Invocation, Progress}
  alias Wasmex.Quantity
  alias Wasmex.Program
  alias Wasmex.Program.Source

  # The options that are passed to the program unchanged.
  @passed Keyword.keys(@program) -- Keyword.keys(@own)

  # The status that a shell reports for a program killed by SIGPIPE.
  @sigpipe 141

  @impl true
  def run(argv) do
    case CLI.options(__MODULE__, argv, @options, head: true) do
      {_opts, []} ->
        CLI.misuse(__MODULE__, "the FILE to run is missing")

      {opts, [file | args]} ->
        CLI.start_compiler()
        execute(file, args, opts)
    end
  end

  defp execute(file, args, opts) do
    run_opts = options(opts)

    case Progress.run("compiling #{file}", fn -> load(file, opts, run_opts) end) do
      {:ok, source} ->
        {args, run_opts, call} = invocation(source, args, opts[:invoke], run_opts)
        result = interruptible(source, args, run_opts)
        hint(result, file, run_opts[:dirs])
        report(result, opts, call)

      {:error, error} ->
        CLI.fail(Exception.message(error))
    end
  end

  # Parsing the parameters of `--invoke` needs the types of the function, so the program is loaded first.
  defp load(file, opts, run_opts) do
    invoke = if opts[:invoke], do: {opts[:invoke], []}
    options = Program.Options.new!([invoke: invoke] ++ run_opts)

    case CLI.piped(file) do
      :file -> Source.resolve(file, options)
      {:ok, bytes} -> Source.resolve_bytes(bytes, Path.basename(file), options)
      {:error, text} -> CLI.fail(text)
    end
  end

  defp options(opts) do
    [
      stdin: :inherit,
      stdout: :os,
      stderr: :os,
      links: Map.new(Keyword.get(opts, :links, []), &preload(&1, opts)),
      trace: if(opts[:trace], do: &trace/1),
      profile: opts[:profile] != nil,
      core_dump: opts[:core_dump] != nil
    ]
    |> Keyword.merge(Keyword.take(opts, @passed))
    |> Keyword.merge(CLI.compile_options(__MODULE__, opts))
    |> Keyword.merge(env: env(opts))
  end

  defp env(opts) do
    inherited = if opts[:env_inherit], do: System.get_env(), else: %{}
    Map.merge(inherited, Map.new(Keyword.get(opts, :env, [])))
  end

  defp preload({name, file}, opts) do
    with {:ok, bytes} <- CLI.read(file),
         {:ok, module} <-
           Module.compile(Wasmex.Engine.default(), bytes, CLI.compile_options(__MODULE__, opts)) do
      {name, module}
    else
      {:error, text} -> CLI.fail("--preload: #{file}: #{text}")
    end
  end

  # The arguments of the program, and its options with the function of `--invoke`.
  defp invocation(_source, args, nil, run_opts), do: {args, run_opts, nil}

  defp invocation(source, words, text, run_opts) do
    case Invocation.new(source.kind, source.module, text, words) do
      {:ok, call} -> {[], Keyword.put(run_opts, :invoke, {call.name, call.params}), call}
      {:error, :function, text} -> CLI.fail("--invoke: #{text}")
      {:error, :arguments, text} -> CLI.fail("--invoke: #{text}", 2)
    end
  end

  # Runs in a separate process, which Ctrl-C kills together with the guest.
  defp interruptible(source, args, run_opts) do
    ref = make_ref()
    Wasmex.Native.interrupt_notify(ref)

    {pid, monitor} =
      spawn_monitor(fn -> exit({:ran, raw(fn -> Wasmex.run(source, args, run_opts) end)}) end)

    receive do
      {:DOWN, ^monitor, :process, _, {:ran, result}} ->
        result

      {:DOWN, ^monitor, :process, _, reason} ->
        CLI.fail(Exception.format_exit(reason))

      {:wasmex_interrupt, ^ref} ->
        Process.exit(pid, :kill)
        receive do: ({:DOWN, ^monitor, :process, _, _} -> :ok)
        encoding(:unicode)
        exit({:shutdown, 130})
    end
  end

  # Switches the standard streams to bytes while the function runs.
  defp raw(function) do
    encoding(:latin1)
    function.()
  after
    encoding(:unicode)
  end

  defp encoding(encoding) do
    for device <- [:standard_io, :standard_error], do: :io.setopts(device, encoding: encoding)
    :io.setopts(:standard_io, binary: true)
  end

  defp trace(event), do: IO.binwrite(:stderr, [Wasmex.Trace.format(event), ?\n])

  # Go resolves paths against "/" and uses only directories below it (src/syscall/fs_wasip1.go). Its own error is
  # "Bad file number".
  defp hint({:ok, %{status: status}}, _file, _dirs) when status in [nil, 0], do: :ok

  defp hint(_failed, file, dirs) do
    with [{_guest, {host, _mode}} | _] <- Enum.reject(dirs || [], &match?({"/" <> _, _}, &1)),
         {:ok, %{language: "Go"}} <- Wasmex.Inspection.read(file) do
      IO.puts(
        :stderr,
        "hint: Go programs see only directories with absolute paths: --dir #{host}::/"
      )
    end
  end

  defp report(result, opts, call) do
    run = with {_, %{run: run}} <- result, do: run, else: ({_, run} -> run)

    if run do
      write(run, opts)
      if opts[:stats], do: stats(run)
    end

    finish(result, call, Wasmex.Native.stdio_finish())
  end

  defp write(run, opts) do
    if run.profile do
      file = opts[:profile]
      root = Path.rootname(file)

      for path <- [file, root <> ".svg", root <> ".folded"],
          do: written(Profile.write(run.profile, path), path)
    end

    if run.core_dump,
      do: opts[:core_dump] |> File.write(run.core_dump) |> written(opts[:core_dump])
  end

  defp written(:ok, path), do: IO.puts(:stderr, "wrote #{path}")

  defp written({:error, posix}, path),
    do: IO.puts(:stderr, "can't write #{path}: #{:file.format_error(posix)}")

  defp stats(run) do
    fuel = if run.fuel_used, do: ", #{run.fuel_used} fuel"

    IO.puts(
      :stderr,
      "#{Quantity.time(run.duration)}, #{Quantity.bytes(run.peak_memory)} of memory#{fuel}"
    )
  end

  # The reader of the output has left, so print nothing.
  defp finish({:error, %Trap{}}, _call, [:pipe, _]), do: exit({:shutdown, @sigpipe})

  # The program may ignore failed writes, to a full disk for example.
  defp finish({:ok, %{status: status}}, _call, [text, _])
       when is_binary(text) and status in [nil, 0],
       do: CLI.fail("standard output: #{text}")

  defp finish({:ok, %{status: nil, results: results}}, call, _stdio),
    do: call |> Invocation.print(results) |> Enum.each(&CLI.print/1)

  defp finish({:ok, %{status: 0}}, _call, _stdio), do: :ok
  defp finish({:ok, %{status: status}}, _call, _stdio), do: exit({:shutdown, shell(status)})
  defp finish({:error, %Trap{} = trap}, _call, _stdio), do: CLI.fail(trap.detail, 134)

  defp finish({:error, %Error{reason: :timeout} = error}, _call, _stdio),
    do: CLI.fail(Exception.message(error), 124)

  defp finish({:error, error}, _call, _stdio), do: CLI.fail(Exception.message(error))

  # A shell sees the low eight bits. A failure must not become 0.
  defp shell(status) when status in 0..255, do: status
  defp shell(status), do: max(rem(status, 256), 1)
end
