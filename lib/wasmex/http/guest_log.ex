defmodule Wasmex.HTTP.GuestLog do
  @moduledoc false
  # Log messages of a function during a request. They go to Logger and are kept for the response, in the process
  # dictionary, because imported functions run in the process of the request.

  require Logger

  @key :"$wasmex_http_log"
  # The maximum number of lines, and bytes per line.
  @most 100
  @longest 2_000

  @spec begin() :: term()
  def begin, do: Process.put(@key, {0, []})

  @doc "Logs a line at a level of Logger."
  @spec put(String.t(), iodata(), Logger.level()) :: term()
  def put(name, bytes, level \\ :info) do
    text = bytes |> binary_part(0, min(byte_size(bytes), @longest)) |> Wasmex.Printable.text()
    Logger.log(level, text, wasm: name)

    case Process.get(@key) do
      {count, lines} when count < @most -> Process.put(@key, {count + 1, [text | lines]})
      _ -> :ok
    end

    :ok
  end

  @doc "Returns the lines in order."
  @spec take() :: [String.t()]
  def take do
    case Process.delete(@key) do
      {_count, lines} -> Enum.reverse(lines)
      nil -> []
    end
  end
end
