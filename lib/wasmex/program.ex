defmodule Wasmex.Program do
  @moduledoc """
  Runs WASI programs: to completion, as a stream, or as a process.

  `run/3` runs a program like `System.cmd/3`; `stream!/3` returns its output as a stream. Both are also
  available in `Wasmex`.

  `start_link/1` runs a program in a process that works like a `Port`: it accepts input at any time and sends
  output as messages.

      {:ok, pid} = Wasmex.Program.start_link(program: "chat.wasm", args: ["-v"])
      Wasmex.Program.write(pid, "hello\\n")
      receive do: ({^pid, {:data, bytes}} -> bytes)

  The owner (by default the process that called `start_link/1`) receives

  - `{pid, {:data, binary}}` for standard output, `{pid, {:stderr, binary}}` for standard error,
  - `{pid, {:exit_status, status}}` or `{pid, {:error, exception}}` at the end, after which the process
    exits normally.

  The program is stopped when the owner exits, by `stop/2`, or by its supervisor.

  ## Back-pressure

  With `active: true` (the default), output is sent as it is printed, up to `max_output:` (64 MiB by
  default). With `active: :once`, each `active(pid, :once)` requests one message, and the program waits in
  between.

  ## Example

      iex> wat = ~s|(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      ...>   (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 3))))|
      iex> {:ok, pid} = Wasmex.Program.start_link(program: wat)
      iex> receive do: ({^pid, {:exit_status, status}} -> status)
      3

  ## Lifetime

  The instance and its memory are freed when the program ends, before its exit status is sent.
  """

  alias Wasmex.{Error, Pipe}
  alias Wasmex.Call.Timeout
  alias Wasmex.Options.Docs
  alias Wasmex.Program.{Driver, Options, Server, Session, Source}

  @default_output 64 * 1024 * 1024

  @doc ~S"""
       Runs a WASI preview 1 program to completion in the calling process. Returns `{:ok, %Wasmex.Run{}}` with
       its exit status and output, whatever the status is.

       The program is a path (compiled once, and again when the file changes), wasm bytes or WAT (compiled
       each time), a `Wasmex.Module` or a `Wasmex.Template`. Files and bytes may also be artefacts
       of `Wasmex.Module.serialize/2`, which are verified.

           iex> wat = ~s|(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
           ...>   (memory (export "memory") 1) (data (i32.const 8) "hello\\n")
           ...>   (func (export "_start") (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 6))
           ...>     (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))|
           iex> {:ok, run} = Wasmex.run(wat)
           iex> {run.status, run.stdout}
           {0, "hello\n"}

       ## Streams

       """ <>
         Docs.table(Options.__options__(), :streams) <>
         ~S"""


         An Enumerable as `:stdin` is consumed as the guest reads. An element `{:error, exception}` (a
         `Wasmex.Error`) ends the program with that error. `:inherit` is the group leader for `:stdin` and `:stdout`, and the
         VM's standard error for `:stderr`. `:capture` returns the output in the result. `:logger` logs it line by line, with the
         metadata `:wasm` (the program's name) and `:stream`.

         ## Grants

         Nothing is granted by default.

         """ <>
         Docs.table(Options.__options__(), :granted) <>
         ~S"""


         A WASI 0.2 component (`wasi:cli/command`) works as well: bytes, a file or a `Wasmex.Components.Component`.

         Sockets, see `guides/sockets.md`; addresses are explained at `Wasmex.Wasi.WasiP2Options`. HTTP requests are for components:

         """ <>
         Docs.table(Options.__options__(), :network) <>
         ~S"""


         The exit status of a component is 0 or 1, the only ones in WASI 0.2. `:trace`, `:profile` and `:links` require a module.

         ## Limits

         A program that exceeds a limit ends with an error.

         """ <>
         Docs.table(Options.__options__(), :limits) <>
         ~S"""


         ## Compiling

         For paths and bytes; see `Wasmex.Compiler`.

         """ <>
         Docs.table(Options.__options__(), :compile) <>
         ~S"""


         ## Observing a program

         """ <>
         Docs.table(Options.__options__(), :observers) <>
         ~S"""


         ## Other options

         """ <>
         Docs.table(Options.__options__(), :others) <>
         ~S"""


         ## Errors

         Errors are `{:error, exception}`: `Wasmex.Trap`, or `Wasmex.Error` with the reason `:timeout`,
         `:output_limit`, `:file`, `:not_a_program`, `:missing_import`, `:compile`, `:wasi`, …; its field
         `run` has the output so far. If a function, an Enumerable or a Collectable passed as an option raises, the program
         is stopped and the exception propagates.
         """
  @spec run(program(), [String.t()], keyword()) :: {:ok, Wasmex.Run.t()} | {:error, Exception.t()}
  def run(program, args \\ [], opts \\ []) do
    with {:ok, session} <- Session.start(program, args, Options.new!(opts)) do
      case session |> Session.begin() |> Driver.finish() do
        {:raised, {kind, reason, stacktrace}} -> :erlang.raise(kind, reason, stacktrace)
        result -> result
      end
    end
  end

  @typedoc "A path, wasm bytes or WAT, a module or component, or a template of one."
  @type program ::
          Path.t()
          | binary()
          | Wasmex.Code.t()
          | Wasmex.Module.t()
          | Wasmex.Template.t()
          | Wasmex.Components.Component.t()
          | Wasmex.Components.Template.t()

  @doc "Like `run/3`, but returns the `Wasmex.Run` or raises. An exit status other than 0 does not raise."
  @spec run!(program(), [String.t()], keyword()) :: Wasmex.Run.t()
  def run!(program, args \\ [], opts \\ []) do
    case run(program, args, opts) do
      {:ok, run} -> run
      {:error, exception} -> raise exception
    end
  end

  @doc """
  Runs a program as a lazy stream of its standard output, or as a filter between streams.

      stream!("report.wasm", ["2026"])
      File.stream!("in.txt") |> Wasmex.stream!("upcase.wasm") |> Enum.take(3)

  The program starts when the stream is first read, runs on demand in the reading process, and is stopped
  when the reader halts. If the first argument is an Enumerable, it is the program's input.

  Options: those of `run/3`, and `as:`, which is `:chunks` (the default) or `:lines` (without line ends).
  Standard error is captured in the exception's `run`.

  An exit status other than 0 raises `Wasmex.Exit` after all output has been read. A trap, a timeout or a
  limit raises its exception.

      iex> cat = ~S|(module
      ...>   (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
      ...>   (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
      ...>   (memory (export "memory") 1)
      ...>   (func (export "_start")
      ...>     (loop $again
      ...>       (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 4096))
      ...>       (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
      ...>       (if (i32.load (i32.const 4))
      ...>         (then (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again))))))|
      iex> ["a", "b\\nc"] |> Wasmex.stream!(cat) |> Wasmex.stream!(cat, [], as: :lines) |> Enum.to_list()
      ["ab", "c"]
  """
  @spec stream!(program() | Enumerable.t(), [String.t()] | program(), keyword() | [String.t()]) ::
          Enumerable.t()
  def stream!(program_or_input, args_or_program \\ [], opts_or_args \\ [])

  def stream!(program, args, opts) when is_list(args),
    do: Wasmex.Program.Stream.new(program, args, opts)

  def stream!(input, program, args), do: stream!(input, program, args, [])

  @doc "Like `stream!/3`, with an input and options."
  @spec stream!(Enumerable.t(), program(), [String.t()], keyword()) :: Enumerable.t()
  def stream!(input, program, args, opts),
    do: Wasmex.Program.Stream.new(program, args, Keyword.put(opts, :stdin, input))

  @own [
    program: [
      type: :any,
      required: true,
      doc: "the program to run, see `t:program/0`",
      example: ~s|"chat.wasm"|
    ],
    args: [type: {:list, :string}, default: [], doc: "its arguments", example: ~s|["-v"]|],
    arg0: [type: {:or, [nil], :string}, default_doc: "the file's name", doc: "argv[0]"],
    owner: [
      type: {:or, [nil], :pid},
      default_doc: "the caller",
      doc: "the process that receives the messages"
    ],
    active: [
      type: {:one_of, [true, false, :once]},
      default: true,
      doc: "whether to send output as messages, see above"
    ],
    name: [type: :any, doc: "a name to register the process"]
  ]
  @options Options.table(@own, "Wasmex.Program.start_link/1")

  @doc "The child spec. A program is not restarted."
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts),
    do: %{id: __MODULE__, start: {__MODULE__, :start_link, [opts]}, restart: :temporary}

  @doc """
  Starts a program.

  #{Docs.table(Wasmex.Options.table(@own, ""))}

  The other options are those of `run/3` except `:stdout`; `:stderr` is `:owner` by default.

  The program is compiled in the caller. Returns `{:error, exception}` if it does not exist.
  """
  @spec start_link(keyword()) :: {:ok, pid()} | {:error, Exception.t() | term()}
  def start_link(opts) do
    defaults = [stdout: :hold, stderr: :hold, max_output: @default_output]
    {own, options} = Options.split!(opts, @options, @own, defaults)
    stderr = if options.stderr == :owner, do: :hold, else: options.stderr
    options = %{options | name: own.arg0, stderr: stderr}

    if options.stdout != :hold,
      do:
        raise(
          ArgumentError,
          "stdout: output is sent to the owner; for other destinations, use Wasmex.run/3"
        )

    with :ok <- Session.check(own.args, options),
         {:ok, source} <- Source.resolve(own.program, options) do
      state = %Server{owner: own.owner || self(), active: own.active}
      start = {state, source, own.args, options}
      start_opts = if own.name, do: [name: own.name], else: []

      case GenServer.start_link(Server, start, start_opts) do
        {:error, {:invalid_options, error, stacktrace}} -> reraise error, stacktrace
        started_or_not -> started_or_not
      end
    end
  end

  @doc """
  Writes to the program's standard input and returns `{:ok, bytes}`. Waits until the program reads, at most
  `timeout` ms.

  Errors: `:closed` if the program has ended or its input was closed, `:timeout`.
  """
  @spec write(GenServer.server(), iodata(), timeout()) ::
          {:ok, non_neg_integer()} | {:error, Error.t()}
  def write(program, iodata, timeout \\ 5000) do
    deadline = timeout |> Timeout.check!() |> Timeout.deadline()

    with {:ok, pipe} <- stdin(program, timeout),
         do: Pipe.write(pipe, iodata, Timeout.left(deadline))
  end

  @doc """
  Closes the program's standard input, so that it reads end of file. Does nothing if the input is already
  closed or the program has ended.

  Error: `:timeout` if the program's process does not reply within `timeout` ms, because it is busy in one of
  your functions.
  """
  @spec close_stdin(GenServer.server(), timeout()) :: :ok | {:error, Error.t()}
  def close_stdin(program, timeout \\ 5000) do
    case stdin(program, Timeout.check!(timeout)) do
      {:ok, pipe} -> Pipe.close(pipe)
      {:error, %Error{reason: :closed}} -> :ok
      error -> error
    end
  end

  # Writes to the pipe from the caller, so that a program that does not read blocks only the writer.
  defp stdin(program, timeout) do
    GenServer.call(Wasmex.Utils.server!(program), :stdin, Timeout.capped(timeout))
  catch
    :exit, {:timeout, _} ->
      {:error, %Error{reason: :timeout, details: %{message: "the program did not reply in time"}}}

    :exit, {reason, _} when reason in [:noproc, :normal] ->
      {:error, %Error{reason: :closed, details: %{message: "the program has ended"}}}
  end

  @doc "Requests the next output message (`:once`), all of them (`true`), or none (`false`)."
  @spec active(GenServer.server(), true | false | :once) :: :ok
  def active(program, active) when active in [true, false, :once],
    do: GenServer.cast(program, {:active, active})

  def active(_program, other), do: Wasmex.Options.misuse!("true, false or :once", other)

  @doc "Stops the program, whatever it is doing."
  @spec stop(GenServer.server(), timeout()) :: :ok
  def stop(program, timeout \\ 5000), do: GenServer.stop(program, :normal, timeout)
end
