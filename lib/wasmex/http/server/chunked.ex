defmodule Wasmex.HTTP.Server.Chunked do
  @moduledoc false
  # An incremental decoder of the chunked transfer coding (RFC 9112, section 7.1). Extensions and trailers are validated and
  # dropped.

  alias Wasmex.HTTP.Field

  # The maximum size of a size line with its extensions, and of all size lines and trailers together.
  @line 1024
  @overhead 16 * 1024

  # `left` is the rest of the current chunk; `at` is the part of the coding that follows.
  defstruct at: :size, left: 0, overhead: 0

  @type t :: %__MODULE__{
          at: :size | :data | :end | :trailers,
          left: non_neg_integer(),
          overhead: non_neg_integer()
        }

  @ext "[ \\t]*;[ \\t]*[!#$%&'*+\\-.^_`|~0-9A-Za-z]+" <>
         "(?:[ \\t]*=[ \\t]*(?:[!#$%&'*+\\-.^_`|~0-9A-Za-z]+|" <>
         ~S/"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"/ <> "))?"
  # Fifteen digits are enough for any body.
  @size "\\A([0-9A-Fa-f]{1,15})(?:" <> @ext <> ")*\\z"

  @doc "Decodes the next bytes of the body. Returns the rest of the buffer, or `:more` if it is incomplete."
  @spec next(t(), binary()) ::
          {:data, binary(), t(), binary()} | {:more, t(), binary()} | {:done, binary()} | :error
  def next(state, buffer)

  def next(%{at: :data} = state, ""), do: {:more, state, ""}

  def next(%{at: :data, left: left} = state, buffer) do
    {bytes, rest} = :erlang.split_binary(buffer, min(byte_size(buffer), left))
    left = left - byte_size(bytes)
    {:data, bytes, %{state | left: left, at: if(left == 0, do: :end, else: :data)}, rest}
  end

  def next(%{at: :end} = state, buffer) do
    case buffer do
      "\r\n" <> rest -> next(%{state | at: :size}, rest)
      short when short in ["", "\r"] -> {:more, state, short}
      _ -> :error
    end
  end

  def next(%{at: at} = state, buffer) do
    case Field.line(buffer) do
      {:ok, line, rest} when byte_size(line) <= @line -> line(at, count(state, line), line, rest)
      :more when byte_size(buffer) <= @line -> {:more, state, buffer}
      _too_long_or_bare -> :error
    end
  end

  defp count(state, line), do: %{state | overhead: state.overhead + byte_size(line)}

  defp line(_at, %{overhead: overhead}, _line, _rest) when overhead > @overhead, do: :error
  defp line(:trailers, _state, "", rest), do: {:done, rest}

  defp line(:trailers, state, line, rest) do
    with {:ok, _field} <- Field.parse(line), do: next(state, rest)
  end

  defp line(:size, state, line, rest) do
    case size(line) do
      {:ok, 0} -> next(%{state | at: :trailers}, rest)
      {:ok, size} -> next(%{state | at: :data, left: size, overhead: own(state, line)}, rest)
      :error -> :error
    end
  end

  # The digits of a size do not count as overhead, so that many small chunks are allowed.
  defp own(state, line), do: state.overhead - digits(line, 0)

  defp digits(<<c, rest::binary>>, n) when c in ?0..?9 or c in ?a..?f or c in ?A..?F,
    do: digits(rest, n + 1)

  defp digits(_rest, n), do: n

  # The common case, without extensions.
  defp size(line) do
    if digits(line, 0) == byte_size(line) and byte_size(line) in 1..15,
      do: {:ok, String.to_integer(line, 16)},
      else: size_with_extensions(line)
  end

  defp size_with_extensions(line) do
    case Regex.run(Regex.compile!(@size), line) do
      [_, digits] -> {:ok, String.to_integer(digits, 16)}
      nil -> :error
    end
  end
end
