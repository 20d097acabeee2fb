defmodule Wasmex.HTTP.Server.Body do
  @moduledoc false
  # The body of a request as a Stream: read from the socket when the guest wants more, in the process of
  # the request. Where it stands is kept in the process, so that the connection knows afterwards how much
  # of it was read.
  #
  # What goes wrong is thrown as `{:wasmex_http, status}`; `Exchange` makes it the answer.

  alias Wasmex.HTTP.Server.Wire

  @key :"$wasmex_http_body"
  # Ms without a byte.
  @patience 10_000

  @doc "Begins a body of so many bytes, or `:chunked`; `continue?` when the client waits to be asked for it."
  def begin(wire, length, continue?),
    do:
      Process.put(@key, %{
        wire: wire,
        left: length,
        continue?: continue?,
        read: 0,
        chunk: nil,
        deadline: nil
      })

  @doc "Ends it: `{:ok, wire}` when all was read, else `:unread`."
  def finish do
    case Process.delete(@key) do
      %{left: 0, wire: wire} -> {:ok, wire}
      _ -> :unread
    end
  end

  @doc """
  The stream; beyond `most` bytes it throws 413. It takes no longer than `time` ms, however slowly the bytes come: the
  request has its place, and perhaps an instance, for as long.
  """
  def stream(most, time) do
    deadline = System.monotonic_time(:millisecond) + time
    Process.put(@key, %{Process.get(@key) | deadline: deadline})

    Stream.repeatedly(fn -> read(Process.get(@key), most) end) |> Stream.take_while(&(&1 != :end))
  end

  defp read(%{left: 0}, _most), do: :end

  defp read(%{continue?: true} = body, most) do
    :gen_tcp.send(body.wire.socket, "HTTP/1.1 100 Continue\r\n\r\n")
    read(%{body | continue?: false}, most)
  end

  defp read(%{left: :chunked} = body, most), do: chunked(body, most)

  defp read(%{left: left, wire: wire} = body, most) do
    case wire.buffer do
      "" ->
        read(%{body | wire: more(body)}, most)

      buffer ->
        {bytes, rest} = split(buffer, left)
        keep(%{body | wire: %{wire | buffer: rest}, left: left - byte_size(bytes)}, bytes, most)
    end
  end

  defp split(buffer, size), do: :erlang.split_binary(buffer, min(byte_size(buffer), size))

  # Sizes in hexadecimal, each chunk with an end of line (RFC 9112, section 7.1).
  defp chunked(%{chunk: nil, wire: wire} = body, most) do
    case :binary.split(wire.buffer, "\r\n") do
      [line, rest] -> chunk(%{body | wire: %{wire | buffer: rest}}, size(line), most)
      [line] when byte_size(line) > 1024 -> throw({:wasmex_http, 400})
      [_] -> chunked(%{body | wire: more(body)}, most)
    end
  end

  defp chunked(%{chunk: 0, wire: wire} = body, most) do
    case wire.buffer do
      "\r\n" <> rest -> chunked(%{body | chunk: nil, wire: %{wire | buffer: rest}}, most)
      buffer when byte_size(buffer) < 2 -> chunked(%{body | wire: more(body)}, most)
      _ -> throw({:wasmex_http, 400})
    end
  end

  defp chunked(%{wire: %{buffer: ""}} = body, most),
    do: chunked(%{body | wire: more(body)}, most)

  defp chunked(%{chunk: size, wire: wire} = body, most) do
    {bytes, rest} = split(wire.buffer, size)
    keep(%{body | wire: %{wire | buffer: rest}, chunk: size - byte_size(bytes)}, bytes, most)
  end

  defp size(line) do
    [digits | _extensions] = String.split(line, ";", parts: 2)

    case Integer.parse(String.trim(digits), 16) do
      {size, ""} when size >= 0 and byte_size(digits) < 16 -> size
      _ -> throw({:wasmex_http, 400})
    end
  end

  defp chunk(body, 0, most), do: trailers(body, most)
  defp chunk(body, size, most), do: chunked(%{body | chunk: size}, most)

  defp trailers(%{wire: wire} = body, most) do
    case :binary.split(wire.buffer, "\r\n") do
      ["", rest] ->
        Process.put(@key, %{body | left: 0, wire: %{wire | buffer: rest}})
        :end

      [_trailer, rest] ->
        trailers(%{body | wire: %{wire | buffer: rest}}, most)

      [line] when byte_size(line) > 8192 ->
        throw({:wasmex_http, 400})

      [_] ->
        trailers(%{body | wire: more(body)}, most)
    end
  end

  defp keep(body, bytes, most) do
    read = body.read + byte_size(bytes)
    if read > most, do: throw({:wasmex_http, 413})
    Process.put(@key, %{body | read: read})
    bytes
  end

  defp more(%{wire: wire, deadline: deadline}) do
    patience = System.monotonic_time(:millisecond) + @patience
    wire = %{wire | deadline: min(patience, deadline)}

    case Wire.recv(wire) do
      {:ok, wire} -> wire
      {:error, :timeout} -> throw({:wasmex_http, 408})
      {:error, _closed} -> throw({:wasmex_http, 400})
    end
  end
end
