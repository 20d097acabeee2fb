defmodule Wasmex.Origin do
  @moduledoc """
  HTTP servers of this machine that behave as they are told, well or not: over TCP or TLS, and with a count of connections.
  """

  @ip {127, 0, 0, 1}
  @patience 60_000

  @doc """
  Serves each connection with `serve.(connection)` in a process of its own; the port. `tls:` are options of `:ssl`. It dies
  with the process that started it.
  """
  def start(serve, opts \\ []) do
    transport = if opts[:tls], do: :ssl, else: :gen_tcp
    family = if opts[:ip] && tuple_size(opts[:ip]) == 8, do: [:inet6], else: []
    address = [:binary, active: false, reuseaddr: true, backlog: 1024, ip: opts[:ip] || @ip]
    {:ok, listener} = transport.listen(0, family ++ address ++ (opts[:tls] || []))
    {:ok, {_ip, port}} = sockname(transport, listener)

    spawn_link(fn ->
      if(transport == :ssl, do: accept_tls(listener, serve), else: accept(listener, serve))
    end)

    port
  end

  defp sockname(:ssl, listener), do: :ssl.sockname(listener)
  defp sockname(:gen_tcp, listener), do: :inet.sockname(listener)

  defp accept(listener, serve) do
    # It is closed when the one that started it ends.
    with {:ok, socket} <- :gen_tcp.accept(listener) do
      hand_over(:gen_tcp, socket, fn -> serve.({:gen_tcp, socket}) end)
      accept(listener, serve)
    end
  end

  defp accept_tls(listener, serve) do
    with {:ok, socket} <- :ssl.transport_accept(listener) do
      hand_over(:ssl, socket, fn ->
        with {:ok, socket} <- :ssl.handshake(socket, @patience), do: serve.({:ssl, socket})
      end)

      accept_tls(listener, serve)
    end
  end

  defp hand_over(transport, socket, run) do
    pid = spawn_link(fn -> receive do: (:go -> run.()) end)
    :ok = transport.controlling_process(socket, pid)
    send(pid, :go)
  end

  @doc "The same answer to every request, of which the test is told as `{:request, bytes}`; connections are kept."
  def answer(bytes, opts \\ []) do
    test = self()
    start(fn connection -> answer_all(connection, bytes, test) end, opts)
  end

  @doc "The same on one connection."
  def answer_all(connection, bytes, test) do
    with {:ok, request} <- request(connection) do
      send(test, {:request, request})
      write(connection, if(is_function(bytes), do: bytes.(request), else: bytes))
      answer_all(connection, bytes, test)
    end
  end

  @doc "The head of a request and, by its `content-length`, its body; `:closed` when none comes."
  def request(connection, read \\ "") do
    case String.split(read, "\r\n\r\n", parts: 2) do
      [head, body] ->
        with {:ok, body} <- body(connection, body, content_length(head)),
             do: {:ok, head <> "\r\n\r\n" <> body}

      [_] ->
        with {:ok, more} <- read(connection), do: request(connection, read <> more)
    end
  end

  defp body(_connection, read, length) when byte_size(read) >= length, do: {:ok, read}

  defp body(connection, read, length),
    do: with({:ok, more} <- read(connection), do: body(connection, read <> more, length))

  defp content_length(head) do
    case Regex.run(~r/\r\ncontent-length: (\d+)/i, head) do
      [_, length] -> String.to_integer(length)
      nil -> 0
    end
  end

  @doc "What comes next, or `:closed`."
  def read({transport, socket}) do
    case transport.recv(socket, 0, @patience) do
      {:ok, bytes} -> {:ok, bytes}
      {:error, _} -> :closed
    end
  end

  @doc "All that comes until the other side closes."
  def read_all(connection, read \\ "") do
    case read(connection) do
      {:ok, more} -> read_all(connection, read <> more)
      :closed -> read
    end
  end

  def write({transport, socket}, bytes), do: transport.send(socket, bytes)
  def close({transport, socket}), do: transport.close(socket)

  @doc "A response with a body and its length."
  def response(body, status \\ "200 OK", headers \\ ""),
    do: "HTTP/1.1 #{status}\r\n#{headers}content-length: #{byte_size(body)}\r\n\r\n#{body}"

  @doc """
  Certificates for `localhost` and `127.0.0.1`, signed by a CA of their own: `{options of :ssl, the CA's PEM}`. `peer` and
  `intermediates` are options of `:public_key.pkix_test_data/1` for the server's certificate and those between.
  """
  def certificates(opts \\ []) do
    names =
      {:Extension, {2, 5, 29, 17}, false, [dNSName: ~c"localhost", iPAddress: <<127, 0, 0, 1>>]}

    peer = Keyword.merge(signed(1) ++ [extensions: [names]], opts[:peer] || [])
    intermediates = for other <- opts[:intermediates] || [], do: signed(2) ++ other
    chain = %{root: signed(opts[:root] || 3), intermediates: intermediates, peer: peer}

    %{server_config: server, client_config: client} =
      :public_key.pkix_test_data(%{
        server_chain: chain,
        client_chain: %{root: signed(1), intermediates: [], peer: signed(1)}
      })

    # Each side's options have its own chain but for the root, and the other's root.
    roots = Enum.filter(client[:cacerts], &:public_key.pkix_is_self_signed/1)
    pem = :public_key.pem_encode(for root <- roots, do: {:Certificate, root, :not_encrypted})
    {Keyword.take(server, [:cert, :key, :cacerts]), pem}
  end

  # RSA, unless OTP writes its algorithm without the parameter NULL, as 29 does, which webpki rejects. Then Ed25519, with which
  # OTP has TLS 1.3 only. (For ECDSA, 25 and 29 write parameters that must not be there.)
  defp signed(number) do
    if rsa?(),
      do: [digest: :sha256, key: key({__MODULE__, number}, {:rsa, 2048, 65_537})],
      else: [digest: :none, key: key({__MODULE__, number}, {:namedCurve, :ed25519})]
  end

  @doc "The versions of TLS that servers with these certificates have."
  def tls_versions, do: if(rsa?(), do: [:"tlsv1.2", :"tlsv1.3"], else: [:"tlsv1.3"])

  @sha256_with_rsa_null <<42, 134, 72, 134, 247, 13, 1, 1, 11, 5, 0>>

  defp rsa? do
    key = key({__MODULE__, :rsa}, {:rsa, 2048, 65_537})
    %{cert: cert} = :public_key.pkix_test_root_cert(~c"test", digest: :sha256, key: key)
    :binary.match(cert, @sha256_with_rsa_null) != :nomatch
  end

  # An RSA key takes a while to make.
  defp key(name, algorithm) do
    with nil <- :persistent_term.get(name, nil) do
      key = :public_key.generate_key(algorithm)
      :persistent_term.put(name, key)
      key
    end
  end
end
