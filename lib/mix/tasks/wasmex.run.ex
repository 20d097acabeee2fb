defmodule Mix.Tasks.Wasmex.Run do
  @shortdoc "Runs a WASI program"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  # FILE may come from anybody, so it is compiled in a process of its own.
  @program Keyword.merge(Options.Program.rows(), Options.Compile.rows(:isolated))

  # In place of a program's options of these names, or besides them.
  @own [
    env_inherit: [
      type: :boolean,
      default: false,
      doc: "all of this process's environment variables",
      flag: :env_inherit,
      group: :granted
    ],
    links: [
      type: {:list, Options.Type.Pair},
      default: [],
      doc: "a module whose exports can be imported from NAME",
      flag: {:preload, "NAME=FILE"},
      group: :granted
    ],
    trace: [
      type: :boolean,
      default: false,
      doc: "a line on standard error for each call to WASI",
      flag: :trace,
      group: :observers
    ],
    profile: [
      type: {:or, [nil], :string},
      doc:
        "where it spends its time: FILE for profiler.firefox.com, beside it a flame graph (`.svg`) and folded stacks (`.folded`)",
      flag: {:profile, "FILE"},
      group: :observers
    ],
    core_dump: [
      type: {:or, [nil], :string},
      doc: "its state at a trap",
      flag: {:coredump, "FILE"},
      group: :observers
    ],
    stats: [
      type: :boolean,
      default: false,
      doc: "time, memory and fuel on standard error",
      flag: :stats,
      group: :observers
    ],
    invoke: [
      type: {:or, [nil], :string},
      doc:
        "calls a function and prints its results, a line each, in WAVE (`Wasmex.Wave`): `--invoke 'add(2, 3)'`, `--invoke 'greet({name: \"Ada\", age: some(36)})'`. `--invoke NAME FILE ARG…` is the same with one argument a word. A component's function may be named without its interface, as long as only one has that name: `ns:pkg/calc@1.0.0.add`, `calc.add`, `add`",
      flag: {:invoke, "'NAME(ARGS)'"},
      group: :others
    ]
  ]
  @options Options.table(Keyword.merge(@program, @own), "mix wasmex.run")

  @moduledoc """
  Runs a WASI program: a `.wasm` or `.wat` file, or what `mix wasmex.compile` made of one.

      mix wasmex.run [OPTIONS] FILE [ARGS…]
      mix wasmex.run --dir . --timeout 2s wc.wasm README.md
      cat big.json | mix wasmex.run pretty.wasm | head

  Standard input, output and error are the terminal's or the pipe's, byte for byte. What follows FILE
  belongs to the program.

  ## What it is granted

  Nothing by default.

  #{Flag.docs(@options, :granted)}

  What a component may reach, with addresses such as `10.0.0.5:5432` and `*.internal:443`:

  #{Flag.docs(@options, :network)}

  ## Limits

  #{Flag.docs(@options, :limits)}

  ## Compiling

  `Wasmex.Compiler` tells more.

  #{Flag.docs(@options, :compile)}

  ## To see what it does

  #{Flag.docs(@options, :observers)}

  ## Others

  #{Flag.docs(@options, :others)}

  ## Exit status

  The program's own; 134 when it trapped (the backtrace is on standard error), 124 when its time was up,
  130 after Ctrl-C, 141 when it trapped because its output was read no further, 1 for other trouble, 2 for a wrong command line.
  """

  use Mix.Task

  alias Wasmex.{CLI, Error, Module, Profile, Trap}
  alias Wasmex.CLI.{Invocation, Progress}
  alias Wasmex.Quantity
  alias Wasmex.Program
  alias Wasmex.Program.Source

  # Those that go to the program as they are.
  @passed Keyword.keys(@program) -- Keyword.keys(@own)

  # As a shell has it for a program that SIGPIPE ended.
  @sigpipe 141

  @impl true
  def run(argv) do
    case CLI.options(__MODULE__, argv, @options, head: true) do
      {_opts, []} ->
        CLI.misuse(__MODULE__, "the FILE to run is missing")

      {opts, [file | args]} ->
        CLI.start()
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

  # The parameters of a function to invoke can be read once its types are known.
  defp load(file, opts, run_opts) do
    invoke = if opts[:invoke], do: {opts[:invoke], []}
    Source.resolve(file, Program.Options.new!([invoke: invoke] ++ run_opts))
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
    with {:ok, bytes} <- File.read(file),
         {:ok, module} <-
           Module.compile(Wasmex.Engine.default(), bytes, CLI.compile_options(__MODULE__, opts)) do
      {name, module}
    else
      {:error, posix} when is_atom(posix) ->
        CLI.fail("--preload: can't read #{file}: #{:file.format_error(posix)}")

      {:error, text} ->
        CLI.fail("--preload: #{file}: #{text}")
    end
  end

  # The program's arguments, and its options with the function that `--invoke` names.
  defp invocation(_source, args, nil, run_opts), do: {args, run_opts, nil}

  defp invocation(source, words, text, run_opts) do
    case Invocation.new(source.kind, source.module, text, words) do
      {:ok, call} -> {[], Keyword.put(run_opts, :invoke, {call.name, call.params}), call}
      {:error, :function, text} -> CLI.fail("--invoke: #{text}")
      {:error, :arguments, text} -> CLI.fail("--invoke: #{text}", 2)
    end
  end

  # In a process of its own: that is killed by Ctrl-C, and a guest with it.
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

  # Bytes, not characters, go through the standard streams meanwhile.
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

  # Go resolves paths against "/" and takes only directories below it (src/syscall/fs_wasip1.go); what it says itself is
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

  # Whoever read the output has left: no reason for a word of ours.
  defp finish({:error, %Trap{}}, _call, [:pipe, _]), do: exit({:shutdown, @sigpipe})

  # A program may not look at what became of its output. The file may be full.
  defp finish({:ok, %{status: status}}, _call, [text, _])
       when is_binary(text) and status in [nil, 0],
       do: CLI.fail("standard output: #{text}")

  defp finish({:ok, %{status: nil, results: results}}, call, _stdio),
    do: call |> Invocation.print(results) |> Enum.each(&IO.puts/1)

  defp finish({:ok, %{status: 0}}, _call, _stdio), do: :ok
  defp finish({:ok, %{status: status}}, _call, _stdio), do: exit({:shutdown, shell(status)})
  defp finish({:error, %Trap{} = trap}, _call, _stdio), do: CLI.fail(trap.detail, 134)

  defp finish({:error, %Error{reason: :timeout} = error}, _call, _stdio),
    do: CLI.fail(Exception.message(error), 124)

  defp finish({:error, error}, _call, _stdio), do: CLI.fail(Exception.message(error))

  # A shell sees the low eight bits. A failure stays one.
  defp shell(status) when status in 0..255, do: status
  defp shell(status), do: max(rem(status, 256), 1)
end
