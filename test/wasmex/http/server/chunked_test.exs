defmodule Wasmex.HTTP.Server.ChunkedTest do
  use ExUnit.Case, async: true

  alias Wasmex.HTTP.Server.Chunked

  # All of it, fed in pieces of so many bytes.
  defp decode(bytes, piece), do: decode(%Chunked{}, "", bytes, piece, "")

  defp decode(state, buffer, bytes, piece, body) do
    case Chunked.next(state, buffer) do
      {:data, data, state, rest} -> decode(state, rest, bytes, piece, body <> data)
      {:done, rest} -> {body, rest <> bytes}
      {:more, _state, _rest} when bytes == "" -> {:more, body}
      {:more, state, rest} -> feed(state, rest, bytes, piece, body)
      :error -> :error
    end
  end

  defp feed(state, rest, bytes, piece, body) do
    {now, later} = :erlang.split_binary(bytes, min(piece, byte_size(bytes)))
    decode(state, rest <> now, later, piece, body)
  end

  test "bodies, however they arrive" do
    for {bytes, expected} <- [
          {"0\r\n\r\n", {"", ""}},
          {"3\r\nabc\r\n0\r\n\r\nGET", {"abc", "GET"}},
          {"1\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n", {"a0123456789", ""}},
          {"3;x\r\nabc\r\n0;y=z\r\n\r\n", {"abc", ""}},
          {"3 ; x = \"a;\\\"b\"\t;y\r\nabc\r\n0\r\nTrailer: a\r\nB: c\r\n\r\n", {"abc", ""}},
          {"3\r\nab", {:more, "ab"}},
          {"3\r\nabc\r\n0\r\n", {:more, "abc"}}
        ],
        piece <- [1, 2, 1000],
        do: assert({bytes, piece, expected} == {bytes, piece, decode(bytes, piece)})
  end

  test "ambiguous requests are rejected" do
    for bytes <- [
          "+3\r\nabc\r\n0\r\n\r\n",
          "-0\r\n\r\n",
          " 3\r\nabc\r\n",
          "3 \r\nabc\r\n",
          "0x3\r\nabc\r\n",
          "\r\nabc",
          ";x\r\nabc",
          "g\r\n",
          "3_0\r\n",
          "10000000000000000\r\n",
          "3\nabc\r\n0\r\n\r\n",
          "3\rabc\r\n",
          "3;x\nabc\r\n0\r\n\r\n",
          "3;x\r\r\nabc",
          "3;\r\nabc\r\n",
          "3;x=\r\nabc\r\n",
          "3;x=\"a\r\nabc\r\n",
          "3;x y\r\nabc\r\n",
          "3;\0\r\nabc\r\n",
          "3\r\nabcd\r\n0\r\n\r\n",
          "3\r\nabc\n0\r\n\r\n",
          "0\r\n folded: x\r\n\r\n",
          "0\r\nno colon\r\n\r\n",
          "0\r\nx: a\nb: c\r\n\r\n"
        ],
        piece <- [1, 1000],
        do: assert({bytes, piece, :error} == {bytes, piece, decode(bytes, piece)})
  end

  test "extensions and trailers are bounded" do
    long = String.duplicate("a", 1_100)
    assert decode("1;#{long}\r\n", 100) == :error
    assert decode("0\r\nx: #{long}\r\n", 100) == :error
    chunk = "1;#{String.duplicate("a", 1_000)}\r\na\r\n"
    assert decode(String.duplicate(chunk, 20), 1_000) == :error
    # Small chunks are none of that.
    assert {body, ""} = decode(String.duplicate("1\r\na\r\n", 20_000) <> "0\r\n\r\n", 10_000)
    assert byte_size(body) == 20_000
  end
end
