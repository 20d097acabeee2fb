defmodule Wasmex.Cluster.Taker do
  @moduledoc false
  # Receives the output of a program on another node: into a Collectable, a function or the result, or as elements of a
  # stream.

  alias Wasmex.Cluster.Talk
  alias Wasmex.Run

  @doc "Runs a program with this destination for its output; nil means the result itself."
  @spec run(Talk.t(), (binary() -> term()) | Collectable.t() | nil) ::
          {:ok, Run.t()} | {:error, Exception.t()}
  def run(talk, nil) do
    collect(talk, [], fn
      chunks, {:cont, chunk} -> [chunks, chunk]
      chunks, :done -> IO.iodata_to_binary(chunks)
      _chunks, :halt -> :ok
    end)
  end

  def run(talk, function) when is_function(function, 1) do
    collect(talk, nil, fn
      nil, {:cont, chunk} -> function.(chunk) && nil
      nil, _end -> nil
    end)
  end

  def run(talk, collectable) do
    {state, collector} = Collectable.into(collectable)
    collect(talk, state, collector)
  end

  defp collect(talk, state, collector) do
    case next(talk, state, collector) do
      {:out, chunk, talk} ->
        collect(talk, put(talk, state, chunk, collector), collector)

      {:over, result} ->
        with_output(result, collector.(state, :done))
    end
  end

  # An exception here also ends the other side.
  defp put(talk, state, chunk, collector) do
    collector.(state, {:cont, chunk})
  catch
    kind, reason ->
      Talk.close(talk)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp next(talk, state, collector) do
    Talk.next(talk)
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
  @spec next!(Talk.t() | :over) :: {[binary()], Talk.t()} | {:halt, :over}
  def next!(talk) do
    case Talk.next(talk) do
      {:out, chunk, talk} -> {[chunk], talk}
      {:over, {:ok, %Run{status: 0}}} -> {:halt, :over}
      {:over, {:ok, %Run{status: status} = run}} -> raise Wasmex.Exit, status: status, run: run
      {:over, {:error, error}} -> raise error
    end
  end

  @spec close(Talk.t() | :over) :: :ok
  def close(:over), do: :ok
  def close(talk), do: Talk.close(talk)
end
