defmodule Wasmex.Program.Stream do
  @moduledoc false
  # A program as a lazy stream of what it prints. It runs only while somebody asks for more, so a slow
  # consumer slows it down, and one that stops stops it.

  alias Wasmex.Exit
  alias Wasmex.Program.{Driver, Options, Session, Sink}

  @own [
    as: [
      type: {:one_of, [:chunks, :lines]},
      default: :chunks,
      doc: "the elements: as they come, or lines without their ends"
    ]
  ]
  @options Options.table(@own, "Wasmex.stream!/3")

  @spec new(term(), [String.t()], keyword()) :: Enumerable.t()
  def new(program, args, opts) do
    # Checked now: a mistake belongs to the one who makes the stream, not to the one who reads it.
    {%{as: as}, options} = Options.split!(opts, @options, @own, stdout: :hold)

    if options.stdout != :hold,
      do: raise(ArgumentError, "stdout: is what the stream gives; stderr: can go elsewhere")

    chunks =
      Elixir.Stream.resource(
        fn -> start(program, args, options) end,
        &next/1,
        &halt/1
      )

    if as == :lines, do: lines(chunks), else: chunks
  end

  # `{:begin, session}`, then outcomes of the session, then `{:end, result}` when all has been given.
  defp start(program, args, options) do
    case Session.start(program, args, options) do
      {:ok, session} -> {:begin, session}
      {:error, exception} -> raise exception
    end
  end

  defp next({:begin, session}), do: session |> Session.begin() |> chunks()
  defp next({:end, result}), do: finish(result)
  defp next(outcome), do: chunks(outcome)

  # Drives on until the program has printed something or is over.
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

  # The end is told in a step of its own: what raises in this one would be cleaned up after twice.
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
