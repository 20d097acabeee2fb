defmodule Wasmex.Program.LogSink do
  @moduledoc false
  # Logs the output of a program line by line, with its name as metadata.

  require Logger

  # Longer lines are split.
  @longest 8 * 1024

  defstruct [:level, :stream, :program, rest: ""]

  @type t :: %__MODULE__{}

  @spec new(Logger.level(), :stdout | :stderr, String.t() | nil) :: t()
  def new(level, stream, program), do: %__MODULE__{level: level, stream: stream, program: program}

  @spec put(t(), binary()) :: t()
  def put(log, bytes) do
    {lines, [rest]} = (log.rest <> bytes) |> String.split("\n") |> Enum.split(-1)
    Enum.each(lines, &line(log, cut(log, &1)))
    %{log | rest: cut(log, rest)}
  end

  defp cut(log, <<line::binary-size(@longest), rest::binary>>) do
    line(log, line)
    cut(log, rest)
  end

  defp cut(_log, rest), do: rest

  @spec close(t()) :: term()
  def close(%{rest: ""}), do: :ok
  def close(log), do: line(log, log.rest)

  defp line(log, line) do
    text = Wasmex.Printable.text(line)
    Logger.log(log.level, text, wasm: log.program, stream: log.stream)
  end
end
