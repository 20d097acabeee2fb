defmodule Wasmex.Program.DeviceSink do
  @moduledoc false
  # Writes the output of a program to an IO device. A device with characters (a terminal, a `StringIO`) receives UTF-8; an
  # incomplete character at the end of a chunk is sent with the next one. A device with bytes receives them unchanged.

  defstruct [:device, :encoding, rest: ""]

  @type t :: %__MODULE__{}

  @spec new(pid() | atom()) :: t()
  def new(device), do: %__MODULE__{device: device}

  @doc "Writes bytes. Returns `{:ok, sink}`, or `{:error, text}` if the device fails."
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
      # Not UTF-8: send single bytes as Latin-1.
      {:error, _text, _rest} -> request(sink, :latin1, bytes)
    end
  end

  @doc "Writes an incomplete character as bytes."
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
