defmodule Wasmex.Program.Session do
  @moduledoc false
  # A running program: its call, and its streams, which are pumped between slices. Everything happens in the process that
  # runs the program.
  #
  # `start/3` creates a session. `begin/1` and `go_on/1` drive it one step further and return an outcome:
  #
  #     {:again, session}        the guest can continue
  #     {:wait, ref, session}    wait for the message {:wasmex_wake, ref} or {:wasmex_turn, ref}
  #     {:over, result}          `{:ok, %Run{}}`, `{:error, exception}` or `{:raised, raised}`; if the source
  #                              has `keep?`, `{:kept, %Run{}, instance}` instead of ok
  #
  # `Wasmex.Program.Driver` drives sessions. However a session ends, `finish/2` has released all its resources.

  alias Wasmex.{Call, Error, Native, Run, Store, Telemetry, Trace}
  alias Wasmex.Call.{Context, Turn}
  alias Wasmex.Program.{Options, Result, SessionStore, Sink, Source, Stdin}

  @enforce_keys [:source, :options, :store]
  defstruct source: nil,
            options: nil,
            # A `Wasmex.Program.Entry`.
            entry: nil,
            store: nil,
            stdin: nil,
            stdout: nil,
            stderr: nil,
            # The current call: first the instantiation, then the entry.
            call: nil,
            phase: :instantiate,
            # The message to wait for: {:wake, ref}, {:turn, ref} or nil.
            waiting: nil,
            # The resource of the instance.
            resource: nil,
            # What to do with the store at the end: :close, :leave, or :keep it for another request if all went well.
            store_after: :close,
            started: 0,
            span: nil

  @type t :: %__MODULE__{}
  @type raised :: {atom(), term(), list()}
  @type result ::
          {:ok, Run.t()}
          | {:kept, Run.t(), Source.instance()}
          | {:error, Exception.t()}
          | {:raised, raised()}
  @type outcome :: {:again, t()} | {:wait, reference(), t()} | {:over, result()}

  @doc "Creates a session. The program has not started yet."
  @spec start(term(), [String.t()], Options.t()) :: {:ok, t()} | {:error, Exception.t()}
  def start(program, args, %Options{} = options) do
    with :ok <- check(args, options),
         {:ok, source} <- Source.resolve(program, options) do
      open(%{source | name: options.name || source.name}, args, options)
    end
  end

  @doc "Validates arguments and options."
  @spec check(term(), Options.t()) :: :ok | {:error, Exception.t()}
  def check(args, options) do
    Wasmex.Options.argument!(args, :args, {:list, :string}, "Wasmex.run/3")
    Options.check_dirs(options)
  end

  defp open(source, args, options) do
    stdout = Sink.open(options.stdout, :stdout, source.name)

    # A single pipe for both streams, to keep the order of the output.
    stderr =
      if options.stderr == :stdout,
        do: %Sink{pipe: stdout.pipe, stream: :stderr},
        else: Sink.open(options.stderr, :stderr, source.name)

    stdin = Stdin.open(options.stdin)
    entry = options.entry || source.kind.entry(source.module, options.invoke)
    session = %__MODULE__{source: source, options: options, entry: entry, store: nil}
    with_store(%{session | stdin: stdin, stdout: stdout, stderr: stderr}, args)
  end

  defp with_store(session, args) do
    with {:ok, session} <- SessionStore.open(session, args) do
      span =
        Telemetry.start(:run, %{
          program: session.source.name,
          args: args,
          tags: session.options.tags
        })

      {:ok, %{session | span: span, started: System.monotonic_time()}}
    else
      {:error, error} ->
        Stdin.close(session.stdin)
        {:error, error}
    end
  rescue
    error ->
      Stdin.close(session.stdin)
      reraise error, __STACKTRACE__
  end

  @doc "Starts the program."
  @spec begin(t()) :: outcome()
  def begin(%{resource: resource} = session) when resource != nil,
    do: begin_start(session, resource)

  def begin(%{store: %{resource: store}, source: source} = session) do
    again = source.kind.instantiation(store, source.module, source.template, session.options)
    call = Call.new(store, session.options.timeout, Context.of(), again)
    call = %{call | observer: Trace.observer(session.options.trace)}
    step(%{session | call: call}, call.again)
  end

  # If an observer raises, the call has ended. The exception is raised again after the cleanup.
  defp step(%{call: call} = session, first) do
    try do
      Call.advance(first.(), call)
    catch
      kind, reason -> {:raised, {kind, reason, __STACKTRACE__}}
    else
      outcome -> {:stepped, outcome}
    end
    |> case do
      {:stepped, outcome} -> handle_step(session, outcome)
      {:raised, raised} -> {:over, finish(%{session | call: nil}, raised)}
    end
  end

  @doc "Continues after `:again`, or when the message has arrived."
  @spec go_on(t()) :: outcome()
  def go_on(%{call: call, waiting: waiting} = session) do
    session = %{session | waiting: nil}

    cond do
      # It is its turn to use the store.
      match?({:turn, _}, waiting) -> step(session, call.again)
      Call.expired?(call) -> stop(session)
      true -> poll(session)
    end
  end

  defp poll(%{call: call} = session) do
    case Stdin.check(session.stdin) do
      :ok -> step(session, fn -> Native.call_poll(call.store) end)
      {:error, error} -> failed(session, error)
    end
  end

  @doc "Stops the program after its deadline."
  @spec stop(t()) :: outcome()
  def stop(session), do: over(session, cancel(session))

  defp cancel(%{call: call, waiting: {:turn, ref}}) do
    Turn.leave(call.store, ref)
    {:error, %Error{reason: :timeout, details: %{timeout: call.timeout}}}
  end

  defp cancel(%{call: call, waiting: waiting}) do
    ref = with {:wake, ref} <- waiting, do: ref
    {:done, result} = Call.cancel(call, ref)
    result
  end

  @doc "Ends the program in any state."
  @spec abort(t(), Exception.t() | raised()) :: result()
  def abort(session, reason) do
    if session.call, do: cancel(session)
    finish(%{session | call: nil}, reason)
  end

  defp handle_step(session, outcome) do
    case outcome do
      {:done, {:ok, instance}} when session.phase == :instantiate ->
        begin_start(session, instance)

      {:done, result} ->
        over(session, result)

      {:yield, call} ->
        with {:ok, session} <- pump(%{session | call: call}), do: {:again, session}

      {:wait, ref, call} ->
        with {:ok, session} <- pump(%{session | call: call, waiting: {:wake, ref}}),
             {:ok, session} <- feed(session),
             do: {:wait, ref, session}

      {:busy, ref, call} ->
        {:wait, ref, %{session | call: call, waiting: {:turn, ref}}}
    end
  end

  # The deadline of the first call applies to the whole run.
  defp begin_start(%{call: before, entry: entry} = session, resource) do
    {context, again} = entry.begin.(resource, {session.stdin.pipe, session.stdout.pipe})
    call = Call.new(session.store.resource, session.options.timeout, context, again)
    call = %{call | observer: Trace.observer(session.options.trace)}
    call = if before, do: %{call | deadline: before.deadline}, else: call
    step(%{session | phase: :start, resource: resource, call: call}, again)
  end

  @doc "Passes on buffered output, for sinks that were paused."
  @spec resume(t()) :: {:ok, t()} | {:over, result()}
  def resume(session) do
    with {:ok, session} <- pump_into(session, :stdout), do: pump_into(session, :stderr)
  end

  # Passes on output and trace events.
  defp pump(session, ended? \\ false) do
    Trace.deliver(session.options.trace, session.store.resource, ended?)
    resume(session)
  catch
    kind, reason -> failed(session, {kind, reason, __STACKTRACE__})
  end

  defp pump_into(session, stream) do
    case session |> Map.fetch!(stream) |> Sink.pump() do
      {:ok, sink} -> {:ok, Map.put(session, stream, sink)}
      {_failed, why, sink} -> failed(Map.put(session, stream, sink), why)
    end
  end

  defp feed(session) do
    case Stdin.feed(session.stdin) do
      {:ok, stdin} -> {:ok, %{session | stdin: stdin}}
      {_failed, why, stdin} -> failed(%{session | stdin: stdin}, why)
    end
  end

  defp failed(session, why), do: {:over, abort(session, why)}

  # The pipes may still contain output.
  defp over(session, result) do
    with {:ok, session} <- pump(%{session | call: nil}, true),
         do: {:over, finish(session, with_input(session, result))}
  end

  # The input may have failed during the last slice.
  defp with_input(session, result) do
    case {result, Stdin.check(session.stdin)} do
      {{:ok, _}, {:error, _} = error} -> error
      {{:error, %Wasmex.Exit{status: 0}}, {:error, _} = error} -> error
      _ -> result
    end
  end

  # Releases all resources. The result is that of the call, an exception, or a raised error.
  defp finish(session, result) do
    run = Result.measure(session)
    Stdin.close(session.stdin)
    {result, run} = close_sinks(session, result, run)

    result
    |> Result.complete(run, session.entry)
    |> Result.span(session.span, run)
    |> release(session)
  end

  # An instance is only kept after a success.
  defp release({:ok, run}, %{store_after: :keep, store: store} = session) do
    {_taken, stderr} = Sink.take(session.stderr)
    {:kept, run, {store, session.resource, stderr}}
  end

  defp release(result, %{store_after: :leave}), do: result

  defp release(result, %{store: store}) do
    Store.close(store)
    result
  end

  # After a failure Collectables are halted, except those that collect output for the exception.
  defp close_sinks(session, result, run) do
    {stdout, _} = Sink.close(session.stdout)
    {stderr, _} = Sink.close(session.stderr)
    {result, %{run | stdout: stdout, stderr: stderr}}
  catch
    kind, reason -> {{kind, reason, __STACKTRACE__}, run}
  end
end
