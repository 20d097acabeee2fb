defmodule Wasmex.Cluster.Output do
  @moduledoc false
  # Receives the output of a program on another node: into a Collectable, a function or the result, or as elements of a
  # stream.

  alias Wasmex.Cluster.StreamedCall
  alias Wasmex.Run

  @doc "Runs a program with this destination for its output; nil means the result itself."
  @spec run(StreamedCall.t(), (binary() -> term()) | Collectable.t() | nil) ::
          {:ok, Run.t()} | {:error, Exception.t()}
  def run(call, nil) do
    collect(call, [], fn
      chunks, {:cont, chunk} -> [chunks, chunk]
      chunks, :done -> IO.iodata_to_binary(chunks)
      _chunks, :halt -> :ok
    end)
  end

  def run(call, function) when is_function(function, 1) do
    collect(call, nil, fn
      nil, {:cont, chunk} -> function.(chunk) && nil
      nil, _end -> nil
    end)
  end

  def run(call, collectable) do
    {state, collector} = Collectable.into(collectable)
    collect(call, state, collector)
  end

  defp collect(call, state, collector) do
    case next(call, state, collector) do
      {:out, chunk, call} ->
        collect(call, put(call, state, chunk, collector), collector)

      {:over, result} ->
        with_output(result, collector.(state, :done))
    end
  end

  # An exception here also ends the other side.
  defp put(call, state, chunk, collector) do
    collector.(state, {:cont, chunk})
  catch
    kind, reason ->
      StreamedCall.close(call)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp next(call, state, collector) do
    StreamedCall.next(call)
  catch
    kind, reason ->
      collector.(state, :halt)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp with_output({:ok, %Run{} = run}, output), do: {:ok, %{run | stdout: output}}

  defp with_output({:error, %{run: %Run{} = run} = error}, output),
    do: {:error, %{error | run: %{run | stdout: output}}}

  defp with_output(result, _output), do: result

  @doc "For `Stream.resource/3`: the next element. If the program fails, raises after its output."
  @spec next!(StreamedCall.t() | :over) :: {[binary()], StreamedCall.t()} | {:halt, :over}
  def next!(call) do
    case StreamedCall.next(call) do
      {:out, chunk, call} -> {[chunk], call}
      {:over, {:ok, %Run{status: 0}}} -> {:halt, :over}
      {:over, {:ok, %Run{status: status} = run}} -> raise Wasmex.Exit, status: status, run: run
      {:over, {:error, error}} -> raise error
    end
  end

  @spec close(StreamedCall.t() | :over) :: :ok
  def close(:over), do: :ok
  def close(call), do: StreamedCall.close(call)
end
