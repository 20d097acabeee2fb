defmodule Wasmex.HTTP.GuestLog do
  @moduledoc false
  # What a function logs while it answers a request: to Logger with its name, and kept for the response.
  # Imported functions run in the process of the request, so its dictionary is the place.

  require Logger

  @key :"$wasmex_http_log"
  # Lines that are kept, and bytes of a line.
  @most 100
  @longest 2_000

  @spec begin() :: term()
  def begin, do: Process.put(@key, {0, []})

  @doc "A line; `level` is Logger's."
  def put(name, bytes, level \\ :info) do
    text = bytes |> binary_part(0, min(byte_size(bytes), @longest)) |> Wasmex.Printable.text()
    Logger.log(level, text, wasm: name)

    case Process.get(@key) do
      {count, lines} when count < @most -> Process.put(@key, {count + 1, [text | lines]})
      _ -> :ok
    end

    :ok
  end

  @doc "The lines, in order."
  def take do
    case Process.delete(@key) do
      {_count, lines} -> Enum.reverse(lines)
      nil -> []
    end
  end
end
