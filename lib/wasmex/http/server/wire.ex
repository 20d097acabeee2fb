defmodule Wasmex.HTTP.Server.Wire do
  @moduledoc false
  # A socket with the bytes that were read from it and not used yet, and the head of a request out of
  # them. Lines are parsed by OTP (`:erlang.decode_packet/3`); what they add up to is checked here
  # (RFC 9112).

  defstruct [:socket, buffer: "", deadline: :infinity]

  @head 64 * 1024
  @target 16 * 1024
  @headers 200

  @doc """
  The head of the next request: `{:ok, head, wire}`, `:closed`, or `{:refuse, status, wire}`. `idle` ms may
  pass before its first byte, `patience` ms until it is complete.
  """
  def head(wire, idle, patience) do
    with {:ok, wire} <- first(wire, idle) do
      wire = %{wire | deadline: now() + patience}

      with {:ok, method, target, version, wire} <- request_line(wire, @target + 100),
           {:ok, headers, wire} <- headers(wire, [], @head) do
        check(%{method: method, target: target, version: version, headers: headers}, wire)
      end
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  # Nothing is wrong with a client that says nothing.
  defp first(%{buffer: ""} = wire, idle) do
    case :gen_tcp.recv(wire.socket, 0, idle) do
      {:ok, bytes} -> {:ok, %{wire | buffer: bytes}}
      {:error, _} -> :closed
    end
  end

  defp first(wire, _idle), do: {:ok, wire}

  # Empty lines before a request are skipped (section 2.2).
  defp request_line(%{buffer: "\r\n" <> rest} = wire, most),
    do: request_line(%{wire | buffer: rest}, most - 2)

  defp request_line(wire, most) do
    case :erlang.decode_packet(:http_bin, wire.buffer, []) do
      {:ok, {:http_request, method, target, version}, rest} ->
        {:ok, to_string(method), target, version, %{wire | buffer: rest}}

      {:ok, _not_http, _rest} ->
        {:refuse, 400, wire}

      {:more, _} when byte_size(wire.buffer) > most ->
        {:refuse, 414, wire}

      {:more, _} ->
        with {:ok, wire} <- more(wire), do: request_line(wire, most)

      {:error, _} ->
        {:refuse, 400, wire}
    end
  end

  defp headers(wire, found, left) when left < 0 or length(found) > @headers,
    do: {:refuse, 431, wire}

  defp headers(wire, found, left) do
    case :erlang.decode_packet(:httph_bin, wire.buffer, []) do
      {:ok, :http_eoh, rest} ->
        {:ok, Enum.reverse(found), %{wire | buffer: rest}}

      {:ok, {:http_header, _, name, _, value}, rest} ->
        used = byte_size(wire.buffer) - byte_size(rest)
        header = {name |> to_string() |> String.downcase(), value}
        headers(%{wire | buffer: rest}, [header | found], left - used)

      {:more, _} when byte_size(wire.buffer) > left ->
        {:refuse, 431, wire}

      {:more, _} ->
        with {:ok, wire} <- more(wire), do: headers(wire, found, left)

      _ ->
        {:refuse, 400, wire}
    end
  end

  defp more(wire) do
    case recv(wire) do
      {:ok, wire} -> {:ok, wire}
      {:error, :timeout} -> {:refuse, 408, wire}
      {:error, _} -> :closed
    end
  end

  @doc "Reads what there is, until the deadline."
  def recv(%{deadline: deadline} = wire) do
    timeout = if deadline == :infinity, do: :infinity, else: max(deadline - now(), 0)

    case :gen_tcp.recv(wire.socket, 0, timeout) do
      {:ok, bytes} -> {:ok, %{wire | buffer: wire.buffer <> bytes}}
      error -> error
    end
  end

  @methods ~w(GET HEAD POST PUT PATCH DELETE OPTIONS)

  defp check(head, wire) do
    with :ok <- version(head),
         :ok <- host(head),
         {:ok, target} <- target(head.target),
         {:ok, body} <- body(head),
         :ok <- method(head) do
      {:ok, %{head | target: target} |> Map.merge(%{body: body, keep?: keep?(head)}), wire}
    else
      status -> {:refuse, status, wire}
    end
  end

  defp version(%{version: version}) when version in [{1, 0}, {1, 1}], do: :ok
  defp version(_head), do: 505

  defp method(%{method: method}) when method in @methods, do: :ok
  defp method(_head), do: 501

  # Exactly one (section 3.2).
  defp host(%{version: version} = head) do
    case values(head, "host") do
      [_] -> :ok
      [] when version == {1, 0} -> :ok
      _ -> 400
    end
  end

  defp target({:abs_path, path}), do: path(path)
  defp target({:absoluteURI, _scheme, _host, _port, path}), do: path(path)
  defp target(_other), do: 400

  defp path(path) when byte_size(path) > @target, do: 414

  defp path(path) do
    if String.match?(path, ~r/[\x00-\x20\x7f]/), do: 400, else: {:ok, path}
  end

  # How long the body is (section 6.3); where two answers are given somebody is cheating.
  defp body(head) do
    case {values(head, "transfer-encoding"), values(head, "content-length")} do
      {[], []} -> {:ok, 0}
      {[], lengths} -> length_of(Enum.uniq(lengths))
      {[coding], []} -> if String.downcase(coding) == "chunked", do: {:ok, :chunked}, else: 501
      _ -> 400
    end
  end

  defp length_of([digits]) when byte_size(digits) < 16 do
    if String.match?(digits, ~r/\A\d+\z/), do: {:ok, String.to_integer(digits)}, else: 400
  end

  defp length_of(_several), do: 400

  defp keep?(%{version: version} = head) do
    tokens =
      for value <- values(head, "connection"),
          token <- String.split(value, ","),
          do: token |> String.trim() |> String.downcase()

    "close" not in tokens and (version == {1, 1} or "keep-alive" in tokens)
  end

  def values(head, name), do: for({^name, value} <- head.headers, do: value)
end
