defmodule Wasmex.Program.Stream do
  @moduledoc false
  # A program as a lazy stream of its output. It only runs on demand, so a slow consumer slows it down, and halting the
  # stream stops it.

  alias Wasmex.Exit
  alias Wasmex.Program.{Driver, Options, Session, Sink}

  @own [
    as: [
      type: {:one_of, [:chunks, :lines]},
      default: :chunks,
      doc: "the elements: chunks as printed, or lines without line ends"
    ]
  ]
  @options Options.table(@own, "Wasmex.stream!/3")

  @spec new(term(), [String.t()], keyword()) :: Enumerable.t()
  def new(program, args, opts) do
    # Validate now, so that errors are raised where the stream is created.
    {%{as: as}, options} = Options.split!(opts, @options, @own, stdout: :hold)

    if options.stdout != :hold,
      do: raise(ArgumentError, "stdout: is the content of the stream and cannot be set")

    chunks =
      Elixir.Stream.resource(
        fn -> start(program, args, options) end,
        &next/1,
        &halt/1
      )

    if as == :lines, do: lines(chunks), else: chunks
  end

  # The state is `{:begin, session}`, then outcomes of the session, then `{:end, result}` after all output.
  defp start(program, args, options) do
    case Session.start(program, args, options) do
      {:ok, session} -> {:begin, session}
      {:error, exception} -> raise exception
    end
  end

  defp next({:begin, session}), do: session |> Session.begin() |> chunks()
  defp next({:end, result}), do: finish(result)
  defp next(outcome), do: chunks(outcome)

  # Drives the program until it prints or ends.
  defp chunks(outcome) do
    case Driver.run(outcome, [], &take/3) do
      {:halted, outcome, chunks} -> {chunks, outcome}
      {:over, result, []} -> last(result)
    end
  end

  defp take(_next, session, []) do
    case Sink.take(session.stdout) do
      {[], _sink} -> {:cont, session, []}
      {chunks, sink} -> {:halt, %{session | stdout: sink}, chunks}
    end
  end

  # The end is a separate step, because raising here would clean up twice.
  defp last({:ok, run}), do: {run.stdout, {:end, {:ok, %{run | stdout: nil}}}}

  defp last({:error, %{run: run} = exception}),
    do: {run.stdout, {:end, {:error, %{exception | run: %{run | stdout: nil}}}}}

  defp last(raised), do: {[], {:end, raised}}

  defp finish({:ok, %{status: 0}} = result), do: {:halt, {:end, result}}
  defp finish({:ok, %{status: status} = run}), do: raise(%Exit{status: status, run: run})
  defp finish({:error, exception}), do: raise(exception)
  defp finish({:raised, {kind, reason, stacktrace}}), do: :erlang.raise(kind, reason, stacktrace)

  defp halt({:end, _result}), do: :ok

  defp halt(outcome) do
    session = elem(outcome, tuple_size(outcome) - 1)
    Session.abort(session, %Wasmex.Error{reason: :cancelled})
  end

  defp lines(chunks) do
    Elixir.Stream.transform(
      chunks,
      fn -> [] end,
      fn chunk, rest ->
        case String.split(chunk, "\n") do
          [part] -> {[], [rest, part]}
          [first | parts] -> complete(IO.iodata_to_binary([rest, first]), parts)
        end
      end,
      fn rest -> {if(rest == [], do: [], else: [IO.iodata_to_binary(rest)]), []} end,
      fn _rest -> :ok end
    )
  end

  defp complete(first, parts) do
    {lines, [rest]} = Enum.split(parts, -1)
    {[first | lines], if(rest == "", do: [], else: [rest])}
  end
end
