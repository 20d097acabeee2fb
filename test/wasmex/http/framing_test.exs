defmodule Wasmex.HTTP.FramingTest do
  # Where a request ends is where RFC 9112 says; what could be taken for another one is refused, and ends the connection.
  use ExUnit.Case, async: true

  alias Wasmex.{Client, Framing}
  alias Wasmex.HTTP.Server

  @moduletag :tmp_dir
  @moduletag :capture_log

  setup %{tmp_dir: dir} do
    File.cp!("test/guests/component_http/component_http.wasm", Path.join(dir, "f.wasm"))
    server = start_supervised!({Server, dir: dir, port: 0, defaults: [timeout: 60_000]})
    {:ok, port: Server.port(server)}
  end

  # Is answered where the connection is kept.
  @last "GET /f/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

  test "each case has the answers that it should, and no other", %{port: port} do
    Framing.cases()
    |> Task.async_stream(
      fn {name, bytes, expected} ->
        kept = if List.last(expected) == :closed, do: [], else: [:hello]
        got = port |> Client.raw(bytes <> @last) |> Framing.answers() |> Enum.map(&outcome/1)
        {name, (expected -- [:closed]) ++ kept, got}
      end,
      timeout: :infinity,
      max_concurrency: 8
    )
    |> Enum.each(fn {:ok, {name, expected, got}} -> assert {name, got} == {name, expected} end)
  end

  test "the same in pieces of a few bytes", %{port: port} do
    for {name, bytes, expected} <- Framing.cases(), byte_size(bytes) < 300 do
      {name, bytes <> @last, expected}
    end
    |> Enum.take_random(24)
    |> Task.async_stream(
      fn {name, bytes, expected} ->
        kept = if List.last(expected) == :closed, do: [], else: [:hello]
        pieces = for(<<piece::binary-size(7) <- bytes>>, do: piece) ++ [rest(bytes)]
        got = port |> Client.raw(pieces) |> Framing.answers() |> Enum.map(&outcome/1)
        {name, (expected -- [:closed]) ++ kept, got}
      end,
      timeout: :infinity,
      max_concurrency: 24
    )
    |> Enum.each(fn {:ok, {name, expected, got}} -> assert {name, got} == {name, expected} end)
  end

  defp rest(bytes), do: binary_part(bytes, byte_size(bytes), -rem(byte_size(bytes), 7))

  defp outcome({200, body}), do: if(body == Framing.hello(), do: :hello, else: body)
  defp outcome({status, _body}), do: status
end
