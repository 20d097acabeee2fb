defmodule Wasmex.Plugin.HTTPTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, JSON, Origin, Plugin}

  @kits "test/guests/plugins"

  # `go` sends what the input says, with a body of so many bytes, and gives back the response's.
  defp wat(size \\ 0) do
    ~s|(module
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
      (import "extism:host/env" "length" (func $length (param i64) (result i64)))
      (import "extism:host/env" "input_offset" (func $at (result i64)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (import "extism:host/env" "http_request" (func $http (param i64 i64) (result i64)))
      (import "extism:host/env" "http_status_code" (func $status (result i32)))
      (func (export "go") (result i32) (local $body i64) (local $end i64)
        (if (i32.const #{size}) (then
          (local.set $body (call $alloc (i64.const #{size})))
          (local.set $end (i64.add (local.get $body) (i64.const #{size - 1})))
          (call $store (local.get $body) (i32.const 97))
          (call $store (local.get $end) (i32.const 122))))
        (local.set $body (call $http (call $at) (local.get $body)))
        (call $output (local.get $body) (call $length (local.get $body)))
        (i32.const 0))
      (func (export "status") (result i32)
        (drop (call $http (call $at) (i64.const 0)))
        (call $status)))|
  end

  defp plugin(opts \\ []) do
    {size, opts} = Keyword.pop(opts, :size, 0)
    opts = Keyword.put_new(opts, :allowed_hosts, ["127.0.0.1"])
    {:ok, plugin} = Plugin.new({:bytes, wat(size)}, opts)
    plugin
  end

  defp ask(plugin, url, fields \\ %{}, opts \\ []) do
    request = fields |> Map.put("url", url) |> JSON.encode()
    Plugin.call(plugin, "go", request, opts)
  end

  defp url(port, path \\ "/"), do: "http://127.0.0.1:#{port}#{path}"

  defp answers(bytes, opts \\ []), do: Origin.answer(bytes, opts)

  defp redirects(to),
    do: answers("HTTP/1.1 302 Found\r\nlocation: #{to}\r\ncontent-length: 0\r\n\r\n")

  test "statuses and bodies come as they were sent" do
    for status <- [200, 206, 404, 500, 599] do
      port = answers(Origin.response("some", "#{status} X"))
      assert ask(plugin(), url(port)) == {:ok, "some"}

      assert {:error, %Plugin.Error{code: ^status}} =
               Plugin.call(plugin(), "status", ~s|{"url": "#{url(port)}"}|)
    end
  end

  test "what is sent: the method, the headers, the body with its length, the user as basic authentication" do
    port = answers(Origin.response("ok"))
    secret = "http://ada:l%C3%B6ve@127.0.0.1:#{port}/a?b=c#d"

    assert ask(plugin(size: 5), secret, %{"method" => "patch", "headers" => %{"X-Key" => "v"}}) ==
             {:ok, "ok"}

    assert_receive {:request, request}
    assert [head, <<"a", _, _, _, "z">>] = String.split(request, "\r\n\r\n")
    [line | fields] = String.split(head, "\r\n")
    assert line == "PATCH /a?b=c HTTP/1.1"
    fields = Enum.map(fields, &String.downcase/1)
    assert "x-key: v" in fields
    assert "content-length: 5" in fields
    assert "host: 127.0.0.1:#{port}" in fields
    assert "accept: */*" in fields
    assert Enum.any?(fields, &String.starts_with?(&1, "user-agent: wasmex/"))

    assert "Authorization: Basic " <> secret =
             Enum.find(String.split(head, "\r\n"), &(&1 =~ ~r/^authorization/i))
             |> String.replace_prefix("authorization", "Authorization")

    assert Base.decode64!(secret) == "ada:löve"
  end

  test "requests that make no sense" do
    for {fields, why} <- [
          {%{"url" => "ftp://127.0.0.1/"}, "unknown scheme: ftp"},
          {%{"url" => "/"}, "Invalid URL: RelativeUrlWithoutBase"},
          {%{"url" => "http://127.0.0.1/", "method" => "B AD"}, "invalid HTTP method"},
          {%{"url" => "http://127.0.0.1/", "headers" => %{"a b" => "c"}},
           "invalid HTTP header name"},
          {%{"url" => "http://127.0.0.1/", "headers" => %{"a" => "b\r\nc: d"}},
           "invalid HTTP header value"},
          {%{"url" => "http://127.0.0.1/", "hedders" => %{}}, "unknown field"},
          {%{"url" => "http://example.org:80/"},
           "HTTP request to http://example.org/ is not allowed"}
        ] do
      assert {:error, %Error{reason: :guest} = error} =
               Plugin.call(plugin(), "go", JSON.encode(fields))

      assert Exception.message(error) =~ why
    end
  end

  test "each redirect is checked, and the address that a name leads to" do
    good = answers(Origin.response("there"))
    assert ask(plugin(), url(redirects(url(good)))) == {:ok, "there"}

    for to <- ["http://localhost:#{good}/", "http://169.254.169.254/", "http://[::1]:#{good}/"] do
      assert {:error, %Error{reason: :guest} = error} = ask(plugin(), url(redirects(to)))
      assert Exception.message(error) =~ "is not allowed"
    end

    any = plugin(allowed_hosts: ["*"])
    assert {:error, %Error{reason: :guest}} = ask(any, "http://169.254.169.254/")
    assert {:error, %Error{reason: :guest}} = ask(any, url(redirects("http://169.254.169.254/")))
    assert ask(any, "http://localhost:#{good}/") == {:ok, "there"}
  end

  test "redirects that never end, and one that wants the body again" do
    port =
      Origin.start(fn connection ->
        Origin.answer_all(
          connection,
          "HTTP/1.1 302 F\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
          self()
        )
      end)

    assert {:error, %Error{reason: :guest} = error} = ask(plugin(), url(port))
    assert Exception.message(error) =~ "too many redirects"

    port = answers("HTTP/1.1 307 T\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")

    assert {:error, %Error{reason: :guest} = error} =
             ask(plugin(size: 3), url(port), %{"method" => "POST"})

    assert Exception.message(error) =~ "redirect failed"
  end

  test "responses that are longer than they may be, with their length and without" do
    manifest = %{
      wasm: [%{data: {:bytes, wat()}}],
      allowed_hosts: ["127.0.0.1"],
      memory: %{max_http_response_bytes: 1000}
    }

    {:ok, plugin} = Plugin.new(manifest)
    chunk = "3e8\r\n#{String.duplicate("x", 1000)}\r\n"
    chunked = "HTTP/1.1 404 X\r\ntransfer-encoding: chunked\r\n\r\n"

    assert {:ok, <<_::binary-size(1000)>>} =
             ask(plugin, url(answers(chunked <> chunk <> "0\r\n\r\n")))

    for bytes <- [
          chunked <> chunk <> chunk <> "0\r\n\r\n",
          Origin.response(String.duplicate("x", 1001))
        ] do
      assert {:error, %Error{reason: :guest} = error} = ask(plugin, url(answers(bytes)))
      assert Exception.message(error) =~ "maximum number of bytes: 1000"
    end
  end

  test "a response on its way counts as memory of the plug-in" do
    body = String.duplicate("x", 6_000_000)
    port = answers("HTTP/1.1 200 X\r\nconnection: close\r\n\r\n" <> body)

    port =
      if port,
        do:
          Origin.start(fn connection ->
            {:ok, _} = Origin.request(connection)
            Origin.write(connection, "HTTP/1.1 200 X\r\nconnection: close\r\n\r\n" <> body)
            Origin.close(connection)
          end)

    assert {:error, %Error{reason: :oom}} = ask(plugin(max_memory: 4_000_000), url(port))
    plugin = plugin(max_memory: 32_000_000)
    for _ <- 1..3, do: assert(ask(plugin, url(port)) == {:ok, body})
  end

  test "bodies of many pieces" do
    size = 5_000_000

    port =
      Origin.start(fn connection ->
        {:ok, request} = Origin.request(connection)
        [_, body] = String.split(request, "\r\n\r\n", parts: 2)
        Origin.write(connection, Origin.response(body))
      end)

    assert {:ok, body} = ask(plugin(size: size), url(port), %{"method" => "POST"})
    assert byte_size(body) == size
    assert binary_part(body, 0, 2) == <<"a", 0>>
    assert binary_part(body, size - 2, 2) == <<0, "z">>
  end

  test "the connection is closed when the caller dies, and when its time is up" do
    test = self()

    port =
      Origin.start(fn connection ->
        {:ok, _} = Origin.request(connection)
        send(test, :asked)
        send(test, {:end, Origin.read(connection)})
      end)

    caller = spawn(fn -> ask(plugin(), url(port)) end)
    assert_receive :asked
    Process.exit(caller, :kill)
    assert_receive {:end, :closed}

    plugin = plugin()
    assert {:error, %Error{reason: :timeout}} = ask(plugin, url(port), %{}, timeout: 50)
    assert_receive {:end, :closed}
    assert ask(plugin, url(answers(Origin.response("again")))) == {:ok, "again"}
  end

  test "time, refusal and servers that break off say what happened" do
    {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(listener)
    assert {:error, error} = ask(plugin(http_timeout: 50), url(port))
    assert Exception.message(error) =~ "failed: timeout"
    :gen_tcp.close(listener)
    assert {:error, error} = ask(plugin(), url(port))
    assert Exception.message(error) =~ "connection refused"

    port =
      Origin.start(fn connection -> Origin.request(connection) && Origin.close(connection) end)

    assert {:error, error} = ask(plugin(), url(port))
    assert Exception.message(error) =~ "closed the connection"

    port =
      Origin.start(fn connection ->
        Origin.request(connection) &&
          Origin.write(connection, "HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\nhalf") &&
          Origin.close(connection)
      end)

    assert {:error, error} = ask(plugin(), url(port))
    assert Exception.message(error) =~ "before the end"
  end

  test "certificates" do
    {server, pem} = Origin.certificates()
    port = answers(Origin.response("secret"), tls: server)
    assert ask(plugin(http_cacerts: pem), "https://127.0.0.1:#{port}/") == {:ok, "secret"}
    assert {:error, error} = ask(plugin(), "https://127.0.0.1:#{port}/")
    assert Exception.message(error) =~ "certificate"
  end

  test "a function in place of the client is asked for allowed hosts alone; false is nobody" do
    test = self()

    http = fn request ->
      send(test, request)
      {:ok, %{status: 207, body: ["a", "b"]}}
    end

    plugin = plugin(http: http, size: 2)
    assert ask(plugin, "http://127.0.0.1/x", %{"headers" => %{"a" => "b"}}) == {:ok, "ab"}
    assert_receive %{method: "GET", url: "http://127.0.0.1/x", headers: [{"a", "b"}], body: "az"}
    assert {:error, %Error{reason: :guest}} = ask(plugin, "http://localhost/")
    refute_receive %{method: _}, 10
    assert {:error, error} = ask(plugin(http: false), "http://127.0.0.1/")
    assert Exception.message(error) =~ "http: false"
    assert {:error, error} = ask(plugin(http: fn _ -> {:error, :down} end), "http://127.0.0.1/")
    assert Exception.message(error) =~ "down"
  end

  describe "modules by URL" do
    defp serves(bytes, status \\ "200 OK"), do: answers(Origin.response(bytes, status))

    defp source(port, fields \\ %{}),
      do: %{wasm: [Map.merge(%{url: url(port, "/p.wasm")}, fields)]}

    test "are fetched once and checked by their hash" do
      bytes = File.read!(Path.join(@kits, "echo.wasm"))
      hash = Base.encode16(:crypto.hash(:sha256, bytes), case: :lower)
      port = serves(bytes)

      assert {:ok, plugin} =
               Plugin.new(source(port, %{hash: hash, method: "post", headers: %{"x-key" => "k"}}))

      assert Plugin.call(plugin, "echo", "x") == {:ok, "x"}
      assert_receive {:request, "POST /p.wasm HTTP/1.1\r\n" <> rest}
      assert rest =~ ~r/x-key: k/i
      refute_receive {:request, _}, 10
      assert {:error, error} = Plugin.compile(source(port, %{hash: String.duplicate("0", 64)}))
      assert Exception.message(error) =~ "hash mismatch"
      assert {:ok, _} = Plugin.compile(source(redirects(url(port, "/p.wasm"))))
    end

    test "that are not there, do not answer, or come from where a URL should not lead" do
      for {port, why} <- [
            {serves("no", "404 Not Found"), "HTTP status 404"},
            {redirects("http://169.254.169.254/latest"), "not allowed"},
            {redirects("ftp://127.0.0.1/"), "cannot fetch"}
          ] do
        assert {:error, %Error{reason: :manifest} = error} = Plugin.compile(source(port))
        assert Exception.message(error) =~ why
      end

      assert {:error, error} = Plugin.compile(%{wasm: [%{url: "nonsense"}]})
      assert Exception.message(error) =~ "Invalid URL"
      {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(listener)
      assert {:error, error} = Plugin.compile(source(port), http_timeout: 50)
      assert Exception.message(error) =~ "timeout"
      :gen_tcp.close(listener)
      assert {:error, error} = Plugin.compile(source(port))
      assert Exception.message(error) =~ "connection refused"
    end

    test "are compiled in a process of their own, others where the option says" do
      port = serves("(module)")
      assert {:ok, _} = Plugin.compile(source(port))

      assert {:error, %Error{reason: :compile_memory}} =
               Plugin.compile(source(serves(bytes_of(70))), compile_memory: 64 * 1024 * 1024)

      assert {:ok, _} = Plugin.compile({:bytes, "(module)"}, compile: :isolated)
      assert {:ok, _} = Plugin.compile(source(port), compile: :in_process)

      assert_raise ArgumentError, ~r/compile_memory/, fn ->
        Plugin.compile({:bytes, "(module)"}, compile: :in_process, compile_memory: 100_000_000)
      end
    end

    # Text of that many MiB.
    defp bytes_of(mib), do: "(module)" <> String.duplicate(" ", mib * 1024 * 1024)

    test "that are artefacts need a hash" do
      {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.shared([]), "(module)")
      {:ok, artefact} = Wasmex.Module.serialize(module)
      port = serves(artefact)
      assert {:error, %Error{reason: :manifest} = error} = Plugin.compile(source(port))
      assert Exception.message(error) =~ "needs a hash"
      hash = Base.encode16(:crypto.hash(:sha256, artefact))
      assert {:ok, _} = Plugin.compile(source(port, %{hash: hash}))
    end

    test "end with the process that asked" do
      test = self()

      port =
        Origin.start(fn connection ->
          {:ok, _} = Origin.request(connection)
          send(test, :asked)
          send(test, {:end, Origin.read(connection)})
        end)

      asker = spawn(fn -> Plugin.compile(source(port)) end)
      assert_receive :asked
      Process.exit(asker, :kill)
      assert_receive {:end, :closed}
    end
  end
end
