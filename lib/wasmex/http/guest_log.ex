defmodule Wasmex.HTTP.GuestLog do
  @moduledoc false
  # Log messages of a function during a request. They go to Logger and are kept for the response, in the process
  # dictionary, because imported functions run in the process of the request.

  require Logger

  @key :"$wasmex_http_log"
  # The maximum number of lines of a response, and bytes per line.
  @most 100
  @longest 2_000
  # The maximum number of bytes that a request may log, each line with its time stamp and metadata: a loop of log_string
  # would fill the disk.
  @bytes 1024 * 1024
  @overhead 100

  @spec begin() :: term()
  def begin, do: Process.put(@key, {0, [], @bytes})

  @doc "Logs a line at a level of Logger."
  @spec put(String.t(), iodata(), Logger.level()) :: :ok
  def put(name, bytes, level \\ :info) do
    text = bytes |> binary_part(0, min(byte_size(bytes), @longest)) |> Wasmex.Printable.text()
    size = byte_size(text) + @overhead

    case Process.get(@key) do
      # A server that answers many requests.
      nil ->
        Logger.log(level, text, wasm: name)

      {count, lines, left} when left >= size ->
        Logger.log(level, text, wasm: name)
        lines = if count < @most, do: [text | lines], else: lines
        Process.put(@key, {count + 1, lines, left - size})

      {count, lines, left} ->
        if left > 0,
          do: Logger.warning("the request logs too much: the rest is left out", wasm: name)

        Process.put(@key, {count, lines, 0})
    end

    :ok
  end

  @doc "Returns the lines in order."
  @spec take() :: [String.t()]
  def take do
    case Process.delete(@key) do
      {_count, lines, _left} -> Enum.reverse(lines)
      nil -> []
    end
  end
end
