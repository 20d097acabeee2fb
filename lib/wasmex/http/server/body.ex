defmodule Wasmex.HTTP.Server.Body do
  @moduledoc false
  # The body of a request as a stream, read from the socket on demand in the process of the request. The position is kept in
  # the process dictionary, so that the connection knows afterwards how much was read.
  #
  # A failure is the last element of the stream, see `Wasmex.HTTP.Request.body_error/1`.

  alias Wasmex.HTTP.{Gate, Request}
  alias Wasmex.HTTP.Server.{Chunked, Wire}

  @key :"$wasmex_http_body"
  # The maximum time without a byte, in ms.
  @patience 10_000
  # The same if other requests need the place.
  @hurry 250

  @enforce_keys [:wire, :left]
  defstruct wire: nil,
            # The remaining bytes, or the state of the chunked coding.
            left: 0,
            # Whether the client waits for `100 Continue`.
            continue?: false,
            read: 0,
            most: 0,
            deadline: 0

  @type t :: %__MODULE__{}

  @doc "Begins a body with this length, or `:chunked`. `continue?` means that the client waits for `100 Continue`."
  @spec begin(Wire.t(), non_neg_integer() | :chunked, boolean()) :: :ok
  def begin(wire, length, continue?) do
    left = if length == :chunked, do: %Chunked{}, else: length
    Process.put(@key, %__MODULE__{wire: wire, left: left, continue?: continue?})
    :ok
  end

  @doc "Ends the body. Returns `{:ok, wire}` if it was read completely, `:unread` otherwise."
  @spec finish() :: {:ok, Wire.t()} | :unread
  def finish do
    case Process.delete(@key) do
      %{left: 0, wire: wire} -> {:ok, wire}
      _ -> :unread
    end
  end

  @doc """
  The stream, of at most `most` bytes (413 if longer) and at most `time` ms in total, because the request's guest holds memory
  while it reads.
  """
  @spec stream(non_neg_integer() | :infinity, timeout()) :: Enumerable.t()
  def stream(most, time) do
    deadline = System.monotonic_time(:millisecond) + time
    Process.put(@key, %{Process.get(@key) | most: most, deadline: deadline})
    Stream.resource(fn -> :read end, &next/1, fn _ -> :ok end)
  end

  defp next(:read) do
    case read(Process.get(@key)) do
      {:done, body} -> done(body)
      {:ok, bytes, body} -> count(%{body | read: body.read + byte_size(bytes)}, bytes)
      {:error, status} -> {[Request.body_error(status)], :failed}
    end
  end

  defp next(:failed), do: {:halt, :failed}

  defp done(body) do
    Process.put(@key, body)
    {:halt, :done}
  end

  # Atoms compare greater than numbers, so `:infinity` is the largest limit.
  defp count(%{read: read, most: most}, _bytes) when read > most,
    do: {[Request.body_error(413)], :failed}

  defp count(body, bytes) do
    Process.put(@key, body)
    {[bytes], :read}
  end

  defp read(%{left: 0} = body), do: {:done, body}

  defp read(%{continue?: true, wire: wire} = body) do
    :gen_tcp.send(wire.socket, "HTTP/1.1 100 Continue\r\n\r\n")
    read(%{body | continue?: false})
  end

  defp read(%{left: %Chunked{} = state, wire: wire} = body) do
    case Chunked.next(state, wire.buffer) do
      {:data, bytes, state, rest} ->
        {:ok, bytes, %{body | left: state, wire: %{wire | buffer: rest}}}

      {:more, state, rest} ->
        more(%{body | left: state, wire: %{wire | buffer: rest}})

      {:done, rest} ->
        read(%{body | left: 0, wire: %{wire | buffer: rest}})

      :error ->
        {:error, 400}
    end
  end

  defp read(%{wire: %{buffer: ""}} = body), do: more(body)

  defp read(%{left: left, wire: wire} = body) do
    {bytes, rest} = :erlang.split_binary(wire.buffer, min(byte_size(wire.buffer), left))
    {:ok, bytes, %{body | wire: %{wire | buffer: rest}, left: left - byte_size(bytes)}}
  end

  defp more(%{wire: wire, deadline: deadline} = body) do
    received =
      Gate.wait(fn patient? ->
        patience = System.monotonic_time(:millisecond) + if(patient?, do: @patience, else: @hurry)
        Wire.recv(%{wire | deadline: min(patience, deadline)})
      end)

    case received do
      {:ok, wire} -> read(%{body | wire: wire})
      {:error, :timeout} -> {:error, 408}
      {:error, _closed} -> {:error, 400}
    end
  end
end
