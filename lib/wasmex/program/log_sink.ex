defmodule Wasmex.Program.LogSink do
  @moduledoc false
  # Hands a program's output to Logger, line by line, with the program's name as metadata.

  require Logger

  # A line longer than this is cut into several.
  @longest 8 * 1024

  defstruct [:level, :stream, :program, rest: ""]

  def new(level, stream, program), do: %__MODULE__{level: level, stream: stream, program: program}

  def put(log, bytes) do
    {lines, [rest]} = (log.rest <> bytes) |> String.split("\n") |> Enum.split(-1)
    Enum.each(lines, &line(log, &1))
    %{log | rest: cut(log, rest)}
  end

  defp cut(log, <<line::binary-size(@longest), rest::binary>>) do
    line(log, line)
    cut(log, rest)
  end

  defp cut(_log, rest), do: rest

  def close(%{rest: ""}), do: :ok
  def close(log), do: line(log, log.rest)

  # Bytes that are no text are shown as such: a Logger backend may refuse them.
  defp line(log, line) do
    text = if String.valid?(line), do: line, else: inspect(line, limit: :infinity)
    Logger.log(log.level, text, wasm: log.program, stream: log.stream)
  end
end
