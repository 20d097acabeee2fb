defmodule Wasmex.Program.DeviceSink do
  @moduledoc false
  # Writes a program's bytes to an IO device. A device that takes characters (a terminal, a `StringIO`)
  # gets them as UTF-8 where they are that, a character that is cut by the end of a chunk with the next
  # one; a device that takes bytes gets them as they are.

  defstruct [:device, :encoding, rest: ""]

  @type t :: %__MODULE__{}

  @spec new(pid() | atom()) :: t()
  def new(device), do: %__MODULE__{device: device}

  @doc "`{:ok, sink}`, or `{:error, text}` when the device does not take it."
  @spec put(t(), binary()) :: {:ok, t()} | {:error, String.t()}
  def put(%__MODULE__{encoding: nil} = sink, bytes),
    do: put(%{sink | encoding: encoding(sink.device)}, bytes)

  def put(%__MODULE__{encoding: :latin1} = sink, bytes), do: request(sink, :latin1, bytes)

  def put(%__MODULE__{} = sink, bytes) do
    bytes = sink.rest <> bytes
    sink = %{sink | rest: ""}

    case :unicode.characters_to_binary(bytes) do
      text when is_binary(text) -> request(sink, :unicode, text)
      {:incomplete, text, rest} -> request(%{sink | rest: rest}, :unicode, text)
      # No text: what the device makes of single bytes is better than nothing.
      {:error, _text, _rest} -> request(sink, :latin1, bytes)
    end
  end

  @doc "What was cut is written as it is."
  @spec close(t()) :: term()
  def close(%__MODULE__{rest: ""}), do: :ok
  def close(sink), do: request(%{sink | rest: ""}, :latin1, sink.rest)

  defp encoding(device) do
    case :io.getopts(device) do
      options when is_list(options) -> Keyword.get(options, :encoding, :latin1)
      _ -> :latin1
    end
  end

  defp request(sink, _encoding, ""), do: {:ok, sink}

  defp request(sink, encoding, bytes) do
    case :io.request(sink.device, {:put_chars, encoding, bytes}) do
      :ok ->
        {:ok, sink}

      {:error, reason} ->
        {:error, "the IO device #{inspect(sink.device)} failed: #{inspect(reason)}"}
    end
  end
end
