defmodule Wasmex.Compiler.Frames do
  @moduledoc false
  # The protocol of the helper's pipes: frames with a length (four bytes, big-endian), see
  # native/compiler/src/protocol.rs. The port option `packet: 4` is not used, because it would trust the length and
  # allocate that much.

  @version 2

  # The received chunks of a frame, newest first, their total size, and the length that the frame says once that is known.
  defstruct chunks: [], size: 0, length: nil

  @type t :: %__MODULE__{
          chunks: [binary()],
          size: non_neg_integer(),
          length: non_neg_integer() | nil
        }

  @typedoc "To compile, or another task for code of this kind."
  @type task :: :module | :component | {:instrument | :snapshot, :module | :component}

  @doc "A request; a state may follow the code."
  @spec request(task(), binary(), iodata()) :: iodata()
  def request(task, settings, code) do
    head = <<@version, task(task), byte_size(settings)::16, settings::binary>>
    [<<byte_size(head) + IO.iodata_length(code)::32>>, head, code]
  end

  defp task({:instrument, kind}), do: 2 + task(kind)
  defp task({:snapshot, kind}), do: 4 + task(kind)
  defp task(:module), do: 0
  defp task(:component), do: 1

  @doc """
  Adds a received chunk. Returns the complete frames and the rest, or `:error` if a frame is longer than `limit`.
  """
  @spec push(t(), binary(), pos_integer()) :: {:ok, [binary()], t()} | :error
  def push(%__MODULE__{} = frames, chunk, limit),
    do:
      take(
        %{frames | chunks: [chunk | frames.chunks], size: frames.size + byte_size(chunk)},
        limit,
        []
      )

  defp take(%{size: size} = frames, _limit, whole) when size < 4,
    do: {:ok, Enum.reverse(whole), frames}

  # At most a few chunks so far.
  defp take(%{length: nil} = frames, limit, whole) do
    <<length::32, _::binary>> = join(frames.chunks)
    take(%{frames | length: length}, limit, whole)
  end

  defp take(%{length: length} = frames, limit, whole) do
    cond do
      length > limit -> :error
      frames.size < 4 + length -> {:ok, Enum.reverse(whole), frames}
      true -> cut(frames, length, limit, whole)
    end
  end

  defp cut(frames, length, limit, whole) do
    <<_::32, rest::binary>> = join(frames.chunks)
    {frame, rest} = :erlang.split_binary(rest, length)
    take(%__MODULE__{chunks: [rest], size: byte_size(rest)}, limit, [frame | whole])
  end

  defp join(chunks), do: chunks |> Enum.reverse() |> IO.iodata_to_binary()

  @doc "Parses the first frame: whether the helper filters system calls, and its build."
  @spec hello(binary()) :: {:ok, boolean(), String.t()} | :error
  def hello(<<@version, sandbox, build::binary>>) when sandbox in [0, 1],
    do: {:ok, sandbox == 1, build}

  def hello(_other), do: :error

  @typedoc "An error of the scan: the index of the limit (nil for malformed code), the value, the maximum and the offset."
  @type refusal ::
          {:refused, byte() | nil, non_neg_integer(), non_neg_integer(), non_neg_integer()}

  @doc "Parses a reply: an artefact or an error."
  @spec reply(binary()) :: {:ok, binary()} | {:error, atom(), String.t()} | refusal() | :error
  def reply(<<0, artefact::binary>>), do: {:ok, artefact}

  def reply(<<status, text::binary>>) when status in 1..4 do
    reason = Enum.at([:compile, :parse, :config, :kind], status - 1)
    if String.valid?(text), do: {:error, reason, text}, else: :error
  end

  def reply(<<6, text::binary>>),
    do: if(String.valid?(text), do: {:error, :snapshot, text}, else: :error)

  def reply(<<5, limit, value::64, most::64, offset::64>>),
    do: {:refused, if(limit != 255, do: limit), value, most, offset}

  def reply(_other), do: :error
end
