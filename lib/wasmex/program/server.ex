defmodule Wasmex.Program.Server do
  @moduledoc false
  # The process of `Wasmex.Program`: drives a session from its mailbox, and sends output to the owner.

  use GenServer, restart: :temporary

  alias Wasmex.{Error, Pipe}
  alias Wasmex.Program.{Driver, Session, Sink}

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

  @type t :: %__MODULE__{}

  @impl true
  def init({state, source, args, options}) do
    start(state, source, args, options)
  rescue
    error in ArgumentError -> refuse({:invalid_options, error, __STACKTRACE__})
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
