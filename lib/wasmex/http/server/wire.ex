defmodule Wasmex.HTTP.Server.Wire do
  @moduledoc false
  # A socket with a read buffer. Reads the head of a request; `Wasmex.HTTP.Server.Head` interprets it.

  alias Wasmex.HTTP.Field
  alias Wasmex.HTTP.Server.Head

  defstruct [:socket, buffer: "", deadline: :infinity]

  @type t :: %__MODULE__{
          socket: :gen_tcp.socket(),
          buffer: binary(),
          deadline: integer() | :infinity
        }

  # The maximum size of the request line, of all field lines together, and the maximum number of field lines.
  @request_line 16 * 1024 + 100
  @fields 64 * 1024
  @count 200

  @doc """
  Reads the head of the next request, with at most `idle` ms until its first byte and `patience` ms until it is complete.
  `:refuse` has the status of the error response, after which the connection must be closed.
  """
  @spec head(t(), timeout(), timeout()) ::
          {:ok, Head.t(), t()} | {:refuse, pos_integer(), t()} | :closed
  def head(wire, idle, patience) do
    with {:ok, wire} <- first(wire, idle) do
      wire = %{wire | deadline: now() + patience}

      with {:ok, line, wire} <- request_line(wire, @request_line),
           {:ok, request} <- refused(Head.request_line(line), wire),
           {:ok, fields, wire} <- fields(wire, [], @count, @fields),
           {:ok, head} <- refused(Head.new(request, fields), wire),
           do: {:ok, head, wire}
    end
  end

  defp refused({:error, status}, wire), do: {:refuse, status, wire}
  defp refused(ok, _wire), do: ok

  defp now, do: System.monotonic_time(:millisecond)

  # An idle client is not an error.
  defp first(%{buffer: ""} = wire, idle) do
    case :gen_tcp.recv(wire.socket, 0, idle) do
      {:ok, bytes} -> {:ok, %{wire | buffer: bytes}}
      {:error, _} -> :closed
    end
  end

  defp first(wire, _idle), do: {:ok, wire}

  # Skips empty lines before a request (section 2.2). Rejects input that cannot be a request line early, because other
  # protocols, such as TLS, may never send a line end.
  defp request_line(wire, left) do
    case line(wire, left, 414) do
      {:ok, "", wire} -> request_line(wire, left - 2)
      other -> other
    end
  end

  defp fields(wire, found, count, left) do
    case line(wire, left, 431) do
      {:ok, "", wire} ->
        {:ok, Enum.reverse(found), wire}

      {:ok, _line, wire} when count == 0 ->
        {:refuse, 431, wire}

      {:ok, line, wire} ->
        case Field.parse(line) do
          {:ok, field} -> fields(wire, [field | found], count - 1, left - byte_size(line) - 2)
          :error -> {:refuse, 400, wire}
        end

      other ->
        other
    end
  end

  # A line of at most `left` bytes. A longer one is rejected with this status.
  defp line(%{buffer: buffer} = wire, left, status) do
    case Field.line(buffer) do
      {:ok, line, _rest} when byte_size(line) > left -> {:refuse, status, wire}
      {:ok, line, rest} -> {:ok, line, %{wire | buffer: rest}}
      :more when byte_size(buffer) > left -> {:refuse, status, wire}
      :more -> with {:ok, wire} <- more(wire), do: line(wire, left, status)
      :error -> {:refuse, 400, wire}
    end
  end

  defp more(%{buffer: <<c, _::binary>>} = wire) when c < 0x0A or c in 0x0E..0x1F,
    do: {:refuse, 400, wire}

  defp more(wire) do
    case recv(wire) do
      {:ok, wire} -> {:ok, wire}
      {:error, :timeout} -> {:refuse, 408, wire}
      {:error, _} -> :closed
    end
  end

  @doc "Reads available bytes, until the deadline."
  @spec recv(t()) :: {:ok, t()} | {:error, :timeout | :closed | :inet.posix()}
  def recv(%{deadline: deadline} = wire) do
    timeout = if deadline == :infinity, do: :infinity, else: max(deadline - now(), 0)

    case :gen_tcp.recv(wire.socket, 0, timeout) do
      {:ok, bytes} -> {:ok, %{wire | buffer: wire.buffer <> bytes}}
      error -> error
    end
  end
end
