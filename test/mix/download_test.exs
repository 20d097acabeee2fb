defmodule Wasmex.Build.DownloadTest do
  # Archives over HTTPS, from servers of this machine with a certificate of their own CA.
  use ExUnit.Case, async: true

  alias Wasmex.Build.Download
  alias Wasmex.Build.Download.Settings
  alias Wasmex.Origin

  @moduletag :tmp_dir

  setup %{tmp_dir: dir} do
    {tls, pem} = Origin.certificates()
    path = Path.join(dir, "ca.pem")
    File.write!(path, pem)
    %{tls: tls, settings: %Settings{cacerts: path, pause: 1}}
  end

  # A server that answers requests in turn, the last one for ever.
  defp serve(context, answers, opts \\ []) do
    {:ok, left} = Agent.start_link(fn -> answers end)
    test = self()

    port =
      Origin.start(
        fn connection ->
          with {:ok, request} <- Origin.request(connection) do
            send(test, {:request, request})

            answer =
              Agent.get_and_update(left, fn
                [last] -> {last, [last]}
                [next | rest] -> {next, rest}
              end)

            Origin.write(connection, answer)
            Origin.close(connection)
          end
        end,
        [tls: context.tls] ++ opts
      )

    "https://localhost:#{port}"
  end

  defp get(url, settings) do
    test = self()
    Download.get(url, settings, &send(test, {:report, &1}))
  end

  test "the body, byte by byte, and a line that says how much comes", context do
    body = :crypto.strong_rand_bytes(2_000_000)
    url = serve(context, [Origin.response(body)]) <> "/wasmex.tar.gz"
    assert get(url, context.settings) == {:ok, body}
    assert_received {:request, "GET /wasmex.tar.gz HTTP/1.1\r\n" <> _}
    line = "Downloading #{url} (2.0 MB)"
    assert_received {:report, ^line}
  end

  test "a body without a length", context do
    head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    url = serve(context, [head <> "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"])
    assert get(url, context.settings) == {:ok, "abcde"}
  end

  test "a status other than 200 says which, and is not tried again", context do
    url = serve(context, [Origin.response("gone", "404 Not Found")])
    assert get(url, context.settings) == {:none, "#{url}: status 404"}
    assert_received {:request, _}
    refute_received {:request, _}
  end

  test "a server's own trouble is tried again", context do
    url = serve(context, [Origin.response("", "503 Service Unavailable"), Origin.response("it")])
    assert get(url, context.settings) == {:ok, "it"}
    assert_received {:report, report}
    assert report =~ "status 503; trying again"

    url = serve(context, [Origin.response("", "500 Internal Server Error")])
    assert get(url, context.settings) == {:none, "#{url}: status 500"}
  end

  test "a body that ends early is no body, and is tried again", context do
    truncated = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc"
    url = serve(context, [truncated, Origin.response("whole")])
    assert get(url, context.settings) == {:ok, "whole"}

    url = serve(context, [truncated])
    assert {:none, why} = get(url, context.settings)
    assert why =~ "#{url}: the server closed the connection after " and why =~ " bytes of 1000"
  end

  describe "redirects" do
    defp redirect(to, status \\ "302 Found"),
      do: Origin.response("", status, "location: #{to}\r\n")

    test "are followed to another server and to a relative path", context do
      target = serve(context, [Origin.response("there")])

      url =
        serve(context, [redirect("/next", "307 Temporary Redirect"), redirect(target <> "/x")])

      assert get(url <> "/first", context.settings) == {:ok, "there"}
      assert_received {:request, "GET /first " <> _}
      assert_received {:request, "GET /next " <> _}
      assert_received {:request, "GET /x " <> _}
    end

    test "end after five", context do
      url = serve(context, [redirect("/again")])
      assert get(url, context.settings) == {:none, "#{url}/again: more than 5 redirects"}
    end

    test "never lead to http:, a file, or nowhere", context do
      for to <- ["http://localhost:1/x", "file:///etc/passwd", "ftp://localhost/x"] do
        url = serve(context, [redirect(to)])
        assert {:none, why} = get(url, context.settings)
        assert why =~ "redirects to #{to}, which is not an https: URL"
      end

      url = serve(context, [Origin.response("", "301 Moved Permanently")])
      assert {:none, why} = get(url, context.settings)
      assert why =~ "without a location"
    end
  end

  describe "certificates" do
    test "of a CA that is not trusted are refused", context do
      url = serve(context, [Origin.response("x")])
      assert {:none, _} = get(url, %Settings{cacerts: nil, pause: 1})
      refute_received {:request, _}
    end

    test "for another name are refused", context do
      url = serve(context, [Origin.response("x")], ip: {127, 0, 0, 2})
      url = String.replace(url, "localhost", "127.0.0.2")
      assert {:none, why} = get(url, context.settings)
      assert why =~ url
      refute_received {:request, _}
    end

    test "that cannot be read say so", context do
      missing = Path.join(context.tmp_dir, "missing.pem")
      assert {:none, why} = get("https://localhost:1", %Settings{cacerts: missing})
      assert why =~ "can't read #{missing}: no such file"

      empty = Path.join(context.tmp_dir, "empty.pem")
      File.write!(empty, "nothing")
      assert {:none, why} = get("https://localhost:1", %Settings{cacerts: empty})
      assert why =~ "no certificate in #{empty}"
    end
  end

  test "a server that is not there", context do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    url = "https://localhost:#{port}"
    assert {:none, why} = get(url, context.settings)
    assert why == "#{url}: can't connect (connection refused)"
  end

  describe "settings" do
    defp settings(variables, configured \\ nil),
      do: Download.settings(&Map.get(variables, &1), configured)

    test "certificates: our variable, the configuration, Hex's variable" do
      ours = %{"WASMEX_CACERTS_PATH" => "/a.pem", "HEX_CACERTS_PATH" => "/c.pem"}
      assert settings(ours, "/b.pem").cacerts == "/a.pem"
      assert settings(%{"HEX_CACERTS_PATH" => "/c.pem"}, "/b.pem").cacerts == "/b.pem"
      assert settings(%{"HEX_CACERTS_PATH" => "/c.pem"}).cacerts == "/c.pem"
      assert settings(%{}).cacerts == nil
    end

    test "the proxy, and the hosts that need none" do
      assert settings(%{}).proxy == nil
      assert settings(%{"HTTPS_PROXY" => ""}).proxy == nil

      assert %URI{host: "proxy.local", port: 3128, userinfo: "me:pw"} =
               settings(%{"https_proxy" => "http://me:pw@proxy.local:3128"}).proxy

      assert %URI{host: "proxy.local", port: 3128} =
               settings(%{"ALL_PROXY" => "proxy.local:3128"}).proxy

      assert settings(%{"NO_PROXY" => "localhost,.corp.example, 10.0.0.1"}).no_proxy ==
               ["localhost", "*.localhost", "*.corp.example", "10.0.0.1"]
    end
  end

  describe "a proxy" do
    # A proxy that connects, after noting for whom.
    defp proxy(context) do
      test = self()

      Origin.start(fn {:gen_tcp, client} = connection ->
        with {:ok, request} <- Origin.request(connection) do
          send(test, {:proxied, request})
          [_, host, port] = Regex.run(~r/^CONNECT ([^:]+):(\d+) /, request)

          {:ok, server} =
            :gen_tcp.connect(String.to_charlist(host), String.to_integer(port), [
              :binary,
              active: true
            ])

          :inet.setopts(client, active: true)
          Origin.write(connection, "HTTP/1.1 200 Connection established\r\n\r\n")
          pass(client, server)
        end
      end)
      |> then(&%{context.settings | proxy: URI.parse("http://me:secret@127.0.0.1:#{&1}")})
    end

    defp pass(one, other) do
      receive do
        {:tcp, ^one, bytes} ->
          :gen_tcp.send(other, bytes)
          pass(one, other)

        {:tcp, ^other, bytes} ->
          :gen_tcp.send(one, bytes)
          pass(one, other)

        {:tcp_closed, _} ->
          :gen_tcp.close(one)
          :gen_tcp.close(other)
      end
    end

    test "tunnels; it has the credentials, and the server does not", context do
      body = :crypto.strong_rand_bytes(300_000)
      url = serve(context, [Origin.response(body)])
      assert get(url, proxy(context)) == {:ok, body}
      assert_received {:proxied, request}
      assert request =~ ~r/\r\nproxy-authorization: Basic #{Base.encode64("me:secret")}\r\n/i
      assert_received {:request, request}
      refute request =~ ~r/proxy-authorization/i
    end

    test "cannot stand in for the server", context do
      url = serve(context, [Origin.response("x")], ip: {127, 0, 0, 2})
      url = String.replace(url, "localhost", "127.0.0.2")
      assert {:none, _} = get(url, proxy(context))
      assert_received {:proxied, _}
      refute_received {:request, _}
    end

    test "is not used for hosts that need none", context do
      url = serve(context, [Origin.response("x")])
      assert get(url, %{proxy(context) | no_proxy: ["localhost"]}) == {:ok, "x"}
      refute_received {:proxied, _}
    end
  end
end
