defmodule Wasmex.Components.HTTP.TLSTest do
  use ExUnit.Case, async: true

  import Wasmex.Fetcher

  alias Wasmex.Origin
  alias Wasmex.Wasi.WasiP2Options

  setup_all do
    {:ok, _} = Application.ensure_all_started(:ssl)
    {server, ca} = Origin.certificates()
    %{server: server, ca: ca}
  end

  defp hello(tls), do: Origin.answer(Origin.response("hello"), tls: [log_level: :none] ++ tls)

  defp get(port, ca, host \\ "127.0.0.1", options \\ []) do
    options =
      Keyword.merge([allowed_hosts: ["localhost", "127.0.0.0/8"], http_cacerts: ca], options)

    fetch(instance(options), "#{host}:#{port}", scheme: "https")
  end

  test "a server is known by its name or its address, in TLS 1.2 and 1.3", %{
    server: server,
    ca: ca
  } do
    for version <- Origin.tls_versions(), host <- ["localhost", "LOCALHOST.", "127.0.0.1"] do
      assert {:ok, %{"body" => "hello"}} = get(hello(server ++ [versions: [version]]), ca, host)
    end
  end

  test "its connection is kept for the next request", %{server: server, ca: ca} do
    counter = :counters.new(1, [])

    serve = fn serve, connection ->
      with {:ok, _} <- Origin.request(connection) do
        Origin.write(connection, Origin.response("hello"))
        serve.(serve, connection)
      end
    end

    port =
      Origin.start(
        fn connection ->
          :counters.add(counter, 1, 1)
          serve.(serve, connection)
        end,
        tls: server
      )

    instance = instance(http_cacerts: ca)

    for _ <- 1..3,
        do: assert({:ok, %{"status" => 200}} = fetch(instance, port, scheme: "https"))

    assert :counters.get(counter, 1) == 1
  end

  test "a server whose CA is not trusted is refused", %{server: server, ca: ca} do
    {_, other} = Origin.certificates(root: 4)
    assert get(hello(server), other) == {:error, "ErrorCode::TlsCertificateError"}
    # The system's.
    assert get(hello(server), nil) == {:error, "ErrorCode::TlsCertificateError"}
    assert {:ok, _} = get(hello(server), other <> ca)
  end

  test "a certificate of another server is rejected", %{server: server, ca: ca} do
    port =
      Origin.answer(Origin.response("hello"), tls: [log_level: :none] ++ server, ip: {0, 0, 0, 0})

    assert {:ok, _} = get(port, ca, "127.0.0.1")
    assert get(port, ca, "127.0.0.2") == {:error, "ErrorCode::TlsCertificateError"}
  end

  test "a certificate without names, or past its time, is refused" do
    for peer <- [[extensions: []], [validity: {{2000, 1, 1}, {2001, 1, 1}}]] do
      {server, ca} = Origin.certificates(peer: peer)
      assert get(hello(server), ca, "localhost") == {:error, "ErrorCode::TlsCertificateError"}
    end
  end

  test "a certificate that another server's has signed is refused" do
    {server, ca} = Origin.certificates(intermediates: [[]])
    assert {:ok, _} = get(hello(server), ca)
    # What a leaf says of itself.
    constraints = {:Extension, {2, 5, 29, 19}, true, {:BasicConstraints, false, :asn1_NOVALUE}}
    {server, ca} = Origin.certificates(intermediates: [[extensions: [constraints]]])
    assert get(hello(server), ca) == {:error, "ErrorCode::TlsCertificateError"}
  end

  test "what is no TLS, and what TLS says", %{server: server, ca: ca} do
    plain =
      Origin.start(fn connection ->
        Origin.read(connection)
        Origin.write(connection, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
      end)

    assert get(plain, ca) == {:error, "ErrorCode::TlsProtocolError"}
    h2 = hello(server ++ [alpn_preferred_protocols: ["h2"]])
    assert {:error, "ErrorCode::TlsAlertReceived(" <> payload} = get(h2, ca)
    assert payload =~ "alert-id: Some(120)"
  end

  test "a body that ends without TLS's own end was cut off", %{server: server, ca: ca} do
    port =
      Origin.start(
        fn {:ssl, socket} = connection ->
          Origin.request(connection)
          Origin.write(connection, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc")
          # The TCP connection alone.
          tcp = with {:gen_tcp, tcp, _, _} <- elem(socket, 1), do: tcp
          :gen_tcp.shutdown(tcp, :write)
          Process.sleep(:infinity)
        end,
        tls: server
      )

    assert {:error, "ErrorCode::HttpResponseIncomplete"} = get(port, ca)
  end

  test "certificates are given as PEM" do
    for wrong <- ["", "none", :system, 1] do
      assert_raise ArgumentError, ~r/:http_cacerts/, fn ->
        Wasmex.Components.Store.new_wasi(%WasiP2Options{allow_http: true, http_cacerts: wrong})
      end
    end
  end
end
