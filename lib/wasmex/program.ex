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

  use GenServer, restart: :temporary

  alias Wasmex.{Error, Pipe}
  alias Wasmex.Call.Timeout
  alias Wasmex.Options.Docs
  alias Wasmex.Program.{Driver, Options, Session, Sink, Source}

  @enforce_keys [:owner, :active]
  defstruct owner: nil,
            active: true,
            stdin: nil,
            # The outcome of the last step, until the program is over.
            outcome: nil,
            timer: nil,
            # Output still to be sent, and the final message.
            chunks: [],
            last: nil

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

         Of paths and bytes; `Wasmex.Compiler` tells more.

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
      state = %__MODULE__{owner: own.owner || self(), active: own.active}
      start = {state, source, own.args, options}
      start_opts = if own.name, do: [name: own.name], else: []

      case GenServer.start_link(__MODULE__, start, start_opts) do
        {:error, {:makes_no_sense, error, stacktrace}} -> reraise error, stacktrace
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

  @impl true
  def init({state, source, args, options}) do
    start(state, source, args, options)
  rescue
    error in ArgumentError -> refuse({:makes_no_sense, error, __STACKTRACE__})
  end

  # Reported as a return value: a process that exits in `init/1` would also end its parent.
  defp refuse(reason) do
    # Use the registered name, if any.
    [parent | _] = Process.get(:"$ancestors")
    parent = if is_atom(parent), do: Process.whereis(parent), else: parent
    if parent, do: Process.unlink(parent)
    {:stop, reason}
  end

  defp start(state, source, args, options) do
    Process.monitor(state.owner)
    {:ok, stdin} = Pipe.new(mode: :stream)
    by_hand? = options.stdin == nil
    options = if by_hand?, do: %{options | stdin: stdin}, else: options

    case Session.start(source, args, options) do
      {:ok, session} ->
        state = %{state | stdin: if(by_hand?, do: stdin)}
        {:ok, state, {:continue, {:begin, pause(session, state.active)}}}

      {:error, exception} ->
        refuse(exception)
    end
  end

  @impl true
  def handle_continue({:begin, session}, state), do: step(Session.begin(session), state)

  @impl true
  def handle_call(:stdin, _from, %{stdin: nil} = state) do
    message = "the program has its own input, or has ended"
    {:reply, {:error, %Error{reason: :closed, details: %{message: message}}}, state}
  end

  def handle_call(:stdin, _from, state), do: {:reply, {:ok, state.stdin}, state}

  # An unknown request must not end the guest.
  def handle_call(other, _from, state),
    do: {:reply, {:error, "unknown request: #{inspect(other, limit: 5)}"}, state}

  @impl true
  def handle_cast({:active, active}, %{last: nil} = state) do
    outcome = update(state.outcome, &pause(&1, active))
    state = %{state | active: active, outcome: outcome}

    # Send what is buffered in the pipes, which wakes a guest that waits for room.
    case outcome |> Driver.session() |> Session.resume() do
      {:ok, session} -> deliver(%{state | outcome: update(outcome, fn _ -> session end)})
      over -> step(over, state)
    end
  end

  def handle_cast({:active, active}, state), do: deliver(%{state | active: active})
  def handle_cast(_other, state), do: {:noreply, state}

  @impl true
  def handle_info({:DOWN, _, :process, owner, _}, %{owner: owner} = state),
    do: {:stop, :normal, state}

  def handle_info(message, state) do
    case Driver.handle(message, state.outcome) do
      :other -> {:noreply, state}
      outcome -> step(outcome, state)
    end
  end

  @impl true
  def terminate(_reason, %{outcome: outcome}) when outcome != nil do
    outcome |> Driver.session() |> Session.abort(%Error{reason: :cancelled})
  end

  def terminate(_reason, _state), do: :ok

  # Handles the outcome of a step.
  defp step({:over, result}, state) do
    if state.stdin, do: Pipe.close(state.stdin)
    {chunks, last} = ending(result)
    deliver(%{state | outcome: nil, stdin: nil, chunks: state.chunks ++ chunks, last: last})
  end

  defp step(outcome, state),
    do: deliver(%{state | outcome: outcome, timer: Driver.schedule(outcome, state.timer)})

  defp ending({:ok, run}), do: {held(run), {:exit_status, run.status}}

  defp ending({:error, %{run: run} = exception}),
    do: {held(run), {:error, %{exception | run: %{run | stdout: nil, stderr: nil}}}}

  defp ending({:raised, {kind, reason, stacktrace}}) do
    message = Exception.format(kind, reason, stacktrace)
    {[], {:error, %Error{reason: :import_raised, details: %{message: message}}}}
  end

  defp held(run), do: tagged(:data, run.stdout) ++ tagged(:stderr, run.stderr)

  # Sends as many messages as the owner requested.
  defp deliver(state) do
    {chunks, outcome} = take(state.outcome)
    send_chunks(%{state | outcome: outcome, chunks: state.chunks ++ chunks})
  end

  defp take(nil), do: {[], nil}

  defp take(outcome) do
    session = Driver.session(outcome)
    {stdout, session} = take_stream(session, :stdout)
    {stderr, session} = take_stream(session, :stderr)
    chunks = tagged(:data, stdout) ++ tagged(:stderr, stderr)
    {chunks, update(outcome, fn _ -> session end)}
  end

  defp take_stream(session, stream) do
    case Map.fetch!(session, stream) do
      %Sink{kind: {:hold, _}} = sink ->
        {chunks, sink} = Sink.take(sink)
        {chunks, Map.put(session, stream, sink)}

      _ ->
        {[], session}
    end
  end

  defp tagged(tag, chunks) when is_list(chunks) and chunks != [],
    do: [{tag, IO.iodata_to_binary(chunks)}]

  defp tagged(_tag, _none), do: []

  defp send_chunks(%{chunks: [chunk | chunks], active: active} = state) when active != false do
    send(state.owner, {self(), chunk})

    if active == :once,
      do: quiet(%{state | chunks: chunks}),
      else: send_chunks(%{state | chunks: chunks})
  end

  # The final message follows after all output.
  defp send_chunks(%{chunks: [], last: last} = state) when last != nil do
    send(state.owner, {self(), last})
    {:stop, :normal, state}
  end

  defp send_chunks(state), do: {:noreply, state}

  defp quiet(state) do
    outcome = state.outcome && update(state.outcome, &pause(&1, false))
    send_chunks(%{state | active: false, outcome: outcome})
  end

  # A paused sink fills up, and then the guest waits. `:once` pauses after one message.
  defp pause(session, active) do
    paused? = active == false

    %{
      session
      | stdout: %{session.stdout | paused?: paused?},
        stderr: %{session.stderr | paused?: paused?}
    }
  end

  defp update(outcome, change), do: Driver.put(outcome, change.(Driver.session(outcome)))
end
