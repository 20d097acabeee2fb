defmodule Wasmex.Program.Driver do
  @moduledoc false
  # The loop that drives a session. `Wasmex.run/3`, streams and HTTP exchanges block in `run/4`; between two steps their hook
  # handles the output and decides whether to continue. `Wasmex.Program` returns to its mailbox: it calls `schedule/2` to
  # request the next message, and passes each message to `handle/2`.

  alias Wasmex.{Call, Native}
  alias Wasmex.Program.{Session, Stdin}

  # The message that `schedule/2` sends to continue after a slice.
  @go_on :wasmex_go_on

  @typedoc "The guest can continue, or it waits."
  @type next :: :again | :wait

  @typedoc "Called between steps. `:halt` stops the driver, not the program."
  @type hook(state) ::
          (next(), Session.t(), state ->
             {:cont, Session.t(), state} | {:halt, Session.t(), state})

  @doc """
  Drives a session in this process until it is over, its hook halts, or the message `interrupt` arrives (nil for none).
  A function as `interrupt` returns the message. It is only called if the program needs more than one step, and can
  arrange that the message is sent. The caller must continue a returned session, or end it with `Session.abort/2`.
  """
  @spec run(Session.outcome(), state, hook(state), term()) ::
          {:over, Session.result(), state}
          | {:halted, Session.outcome(), state}
          | {:interrupted, Session.t(), state}
        when state: term()
  def run(outcome, state, hook, interrupt \\ nil)

  def run({:over, result}, state, _hook, _interrupt), do: {:over, result, state}

  def run(outcome, state, hook, interrupt) when is_function(interrupt, 0),
    do: run(outcome, state, hook, interrupt.())

  def run(outcome, state, hook, interrupt) do
    case hook.(elem(outcome, 0), session(outcome), state) do
      {:cont, session, state} -> outcome |> put(session) |> next(state, hook, interrupt)
      {:halt, session, state} -> {:halted, put(outcome, session), state}
    end
  end

  defp next({:again, session}, state, hook, interrupt) do
    if interrupted?(interrupt),
      do: {:interrupted, session, state},
      else: session |> Session.go_on() |> run(state, hook, interrupt)
  end

  defp next({:wait, _, session} = outcome, state, hook, interrupt) do
    wait(outcome, state, hook, interrupt, fn ->
      Native.call_rest(session.store.resource)
      wait(outcome, state, hook, interrupt, nil)
    end)
  end

  # `rest`: called if the wait becomes long.
  defp wait({:wait, ref, session}, state, hook, interrupt, rest) do
    remaining = Call.remaining(session.call)

    receive do
      {message, ^ref} when message in [:wasmex_wake, :wasmex_turn] ->
        session |> Session.go_on() |> run(state, hook, interrupt)

      ^interrupt when interrupt != nil ->
        {:interrupted, session, state}
    after
      if(rest, do: min(remaining, Call.rests_after()), else: remaining) ->
        if rest && remaining > Call.rests_after(),
          do: rest.(),
          else: session |> Session.stop() |> run(state, hook, interrupt)
    end
  end

  defp interrupted?(nil), do: false

  defp interrupted?(interrupt) do
    receive do
      ^interrupt -> true
    after
      0 -> false
    end
  end

  @doc "Drives a session to its end. Returns `{:ok, run}`, `{:error, exception}` or `{:raised, raised}`."
  @spec finish(Session.outcome()) :: Session.result()
  def finish(outcome) do
    {:over, result, nil} = run(outcome, nil, fn _next, session, nil -> {:cont, session, nil} end)
    result
  end

  @doc """
  Schedules a message for `handle/2` when the session can continue or its deadline passes. `timer` is that of the previous
  step. Messages that have arrived in the meantime are handled first.
  """
  @spec schedule(Session.outcome(), reference() | nil) :: reference() | nil
  def schedule(outcome, timer) do
    if timer, do: Process.cancel_timer(timer)
    scheduled(outcome)
  end

  defp scheduled({:again, _session}) do
    send(self(), @go_on)
    nil
  end

  defp scheduled({:wait, ref, session}) do
    case Call.remaining(session.call) do
      :infinity -> nil
      ms -> Process.send_after(self(), {:wasmex_deadline, ref}, ms)
    end
  end

  defp scheduled({:over, _result}), do: nil

  @doc "Returns the next outcome if the message belongs to the session, `:other` otherwise."
  @spec handle(term(), Session.outcome() | nil) :: Session.outcome() | :other
  def handle({message, ref}, {:wait, ref, session})
      when message in [:wasmex_wake, :wasmex_turn],
      do: Session.go_on(session)

  def handle({:wasmex_deadline, ref}, {:wait, ref, session}), do: Session.stop(session)
  def handle(@go_on, {:again, session}), do: Session.go_on(session)

  def handle({:wasmex_feeder, feeder, reason}, {kind, _, _} = outcome) when kind == :wait,
    do: put(outcome, input_failed(session(outcome), feeder, reason))

  def handle({:wasmex_feeder, feeder, reason}, {:again, session}),
    do: {:again, input_failed(session, feeder, reason)}

  def handle(_message, _outcome), do: :other

  # Recorded here, and checked before the guest continues.
  defp input_failed(session, feeder, reason),
    do: %{session | stdin: Stdin.failed(session.stdin, feeder, reason)}

  @doc "The session of an outcome."
  @spec session(Session.outcome()) :: Session.t()
  def session({:again, session}), do: session
  def session({:wait, _ref, session}), do: session

  @doc "Replaces the session of an outcome."
  @spec put(Session.outcome(), Session.t()) :: Session.outcome()
  def put({:again, _session}, session), do: {:again, session}
  def put({:wait, ref, _session}, session), do: {:wait, ref, session}
end
