defmodule Wasmex.Components.HTTP.ClientTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Wasmex.Fetcher

  alias Wasmex.Components.Instance
  alias Wasmex.{Origin, Trap}

  @ok "HTTP/1.1 200 OK\r\n"

  defp hello(opts \\ []), do: Origin.answer(Origin.response("hello"), opts)

  defp chunked(body), do: @ok <> "transfer-encoding: chunked\r\n\r\n" <> body

  # A server that writes this, and then waits for the other side to close.
  defp once(bytes) do
    Origin.start(fn connection ->
      Origin.request(connection)
      Origin.write(connection, bytes)
      Origin.read_all(connection)
    end)
  end

  # The request that the server got. A guest on a busy machine may take too long to end its body, which is then sent in
  # chunks, as a long one is: that is tried again.
  defp sent(instance, port, opts, late?, attempts \\ 20) do
    assert {:ok, _} = fetch(instance, port, opts)
    assert_receive {:request, request}

    if attempts > 1 and late?.(request),
      do: sent(instance, port, opts, late?, attempts - 1),
      else: request
  end

  describe "a request" do
    test "arrives as it was sent: method, path, fields, host, body" do
      port = hello()

      assert {:ok, %{"status" => 200, "body" => "hello"}} =
               fetch(instance(), port,
                 method: "PUT",
                 path: "/a/b?c=d&e",
                 headers: [
                   {"content-length", "12"},
                   {"x-a", "1"},
                   {"x-a", "2"},
                   {"x-bytes", <<0xFF>>}
                 ],
                 body: {:some, "abcd"},
                 times: 3
               )

      assert_receive {:request, request}
      [head, body] = String.split(request, "\r\n\r\n")
      assert body == "abcdabcdabcd"
      assert ["PUT /a/b?c=d&e HTTP/1.1" | fields] = String.split(head, "\r\n")

      assert Enum.sort(fields) == [
               "content-length: 12",
               "host: 127.0.0.1:#{port}",
               "x-a: 1",
               "x-a: 2",
               "x-bytes: " <> <<0xFF>>
             ]
    end

    test "that needs no body has none, also where the guest took its handle" do
      port = hello()
      instance = instance()

      for body <- [:none, {:some, ""}], method <- ["GET", "HEAD", "OPTIONS"] do
        request =
          sent(instance, port, [method: method, body: body], &(&1 =~ ~r/transfer|length/i))

        refute request =~ ~r/transfer-encoding|content-length/i
      end
    end

    test "that is short has its length, whether or not the guest said it" do
      port = hello()
      instance = instance()
      post = [method: "POST", body: {:some, "abc"}, times: 3]
      request = sent(instance, port, post, &(&1 =~ "transfer-encoding"))
      assert request =~ "\r\ncontent-length: 9\r\n"
      assert request =~ "\r\n\r\nabcabcabc"
    end

    test "is streamed in chunks, with trailers that it announced" do
      test = self()

      port =
        Origin.start(fn connection ->
          bytes = until(connection, "0\r\nx-sum: 7\r\n\r\n")
          send(test, {:request, bytes})
          Origin.write(connection, Origin.response(""))
        end)

      assert {:ok, %{"status" => 200}} =
               fetch(instance(), port,
                 method: "POST",
                 headers: [{"trailer", "x-sum"}],
                 body: {:some, String.duplicate("x", 10_000)},
                 times: 20,
                 trailers: [{"x-sum", "7"}]
               )

      assert_receive {:request, request}
      assert request =~ "transfer-encoding: chunked\r\n"
      assert length(String.split(request, "x")) > 200_000
    end

    test "over HTTP may have any status, and no special meaning in ours" do
      for status <- [200, 204, 206, 301, 404, 418, 500, 599, 777, 999] do
        port = Origin.answer("HTTP/1.1 #{status} What\r\ncontent-length: 0\r\nx-y: z\r\n\r\n")
        assert {:ok, response} = fetch(instance(), port)
        assert {response["status"], {"x-y", "z"} in response["headers"]} == {status, true}
      end
    end

    test "gets fields and trailers as they were sent" do
      body = "4;ext=1\r\nabcd\r\n0\r\nx-t: 1\r\nx-t: 2\r\n\r\n"

      port = once(@ok <> "x: a\r\nX: b\r\ntransfer-encoding: chunked\r\n\r\n" <> body)
      assert {:ok, response} = fetch(instance(), port)
      assert response["body"] == "abcd"
      assert response["headers"] == [{"x", "a"}, {"x", "b"}]
      assert response["trailers"] == [{"x-t", "1"}, {"x-t", "2"}]
    end

    test "of a method that is not one of the usual goes too; CONNECT does not" do
      port = hello()
      assert {:ok, _} = fetch(instance(), port, method: "PROPFIND")
      assert_receive {:request, "PROPFIND / " <> _}

      assert {:error, "ErrorCode::HttpRequestMethodInvalid"} =
               fetch(instance(), port, method: "CONNECT")
    end

    test "can't say what is about the connection" do
      port = hello()

      assert {:error, %Trap{}} =
               Instance.call(instance(), "fetch", [request(port, headers: [{"host", "other"}])])
    end
  end

  describe "size limits" do
    test "is refused: the head of a response, its fields, the informational ones before it" do
      fields = fn n -> for i <- 1..n, do: "x-#{i}: y\r\n" end
      length = "content-length: 0\r\n\r\n"

      for {answer, fits} <- [
            {[@ok, fields.(99), length], true},
            {[@ok, fields.(101), length], false},
            {[@ok, "x: ", String.duplicate("y", 60_000), "\r\n", length], true},
            {[@ok, "x: ", String.duplicate("y", 10_000_000), "\r\n", length], false},
            {["HTTP/1.1 200 ", String.duplicate("y", 100_000), "\r\n", length], false},
            {[String.duplicate("HTTP/1.1 100 Continue\r\n\r\n", 100), @ok, length], true},
            {[String.duplicate("HTTP/1.1 103 Early\r\nx: y\r\n\r\n", 100_000), @ok, length],
             false}
          ] do
        case fetch(instance(), once(answer)) do
          {:ok, %{"status" => 200}} ->
            assert fits

          {:error, code} ->
            assert {code, fits} ==
                     {"ErrorCode::HttpResponseHeaderSectionSize(Some(65536))", false}
        end
      end
    end

    test "is refused: trailers" do
      for {trailers, fits} <- [
            {"x: y\r\n", true},
            {List.duplicate("x: y\r\n", 101), false},
            {["x: ", String.duplicate("y", 100_000), "\r\n"], false}
          ] do
        port = once(chunked(IO.iodata_to_binary(["1\r\na\r\n0\r\n", trailers, "\r\n"])))

        case fetch(instance(), port) do
          {:ok, %{"body" => "a"}} ->
            assert fits

          {:error, code} ->
            assert {code, fits} ==
                     {"ErrorCode::HttpResponseTrailerSectionSize(Some(65536))", false}
        end
      end
    end

    test "is refused: a body, by its length or when it comes, whatever the status" do
      for status <- ["200 OK", "404 Not Found", "500 Oops"] do
        said = Origin.answer("HTTP/1.1 #{status}\r\ncontent-length: 500000000\r\n\r\n")

        assert {:error, "ErrorCode::HttpResponseBodySize(Some(500000000))"} =
                 fetch(instance(http_max_response: 1_000), said)

        chunk = "10000\r\n" <> String.duplicate("x", 0x10000) <> "\r\n"

        endless =
          Origin.start(fn connection ->
            Origin.request(connection)
            Origin.write(connection, "HTTP/1.1 #{status}\r\ntransfer-encoding: chunked\r\n\r\n")
            Enum.find(Stream.cycle([chunk]), &(Origin.write(connection, &1) != :ok))
          end)

        assert {:error, "ErrorCode::HttpResponseBodySize(Some(1000000))"} =
                 fetch(instance(http_max_response: 1_000_000), endless)
      end
    end

    test "is refused: the body of a request, and all of them together" do
      port = hello()
      length = [{"content-length", "1000"}]
      post = [method: "POST", headers: length, body: {:some, String.duplicate("x", 1_000)}]

      assert {:error, "ErrorCode::HttpRequestBodySize(Some(999))"} =
               fetch(instance(http_max_request: 999), port, post)

      instance = instance(http_max_total: 2_500)
      assert {:ok, _} = fetch(instance, port, post)
      assert {:ok, _} = fetch(instance, port, post)
      assert {:error, "ErrorCode::HttpRequestBodySize(Some(2500))"} = fetch(instance, port, post)
    end

    test "is refused: the head of a request" do
      port = hello()

      assert {:error, "ErrorCode::HttpRequestHeaderSectionSize(Some(65536))"} =
               fetch(instance(), port, headers: for(i <- 1..101, do: {"x-#{i}", "y"}))

      assert {:error, "ErrorCode::HttpRequestHeaderSectionSize(Some(65536))"} =
               fetch(instance(), port, headers: [{"x", String.duplicate("y", 65_536)}])
    end

    test "passes through where the limit allows, without being kept" do
      chunk = "100000\r\n" <> String.duplicate("x", 0x100000) <> "\r\n"

      port =
        Origin.start(fn connection ->
          Origin.request(connection)
          Origin.write(connection, "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n")
          for _ <- 1..50, do: Origin.write(connection, chunk)
          Origin.write(connection, "0\r\n\r\n")
          Origin.read_all(connection)
        end)

      assert {:ok, %{"status" => 404, "size" => 52_428_800}} =
               fetch(instance(http_max_response: :infinity), port, keep: 10)
    end
  end

  describe "time" do
    @ms 1_000_000

    test "is limited by the guest: until the first byte, and between bytes" do
      silent = once("")
      began = once(@ok <> "content-length: 10\r\n\r\nabc")

      assert {:error, "ErrorCode::ConnectionReadTimeout"} =
               fetch(instance(), silent, first_byte_timeout: {:some, 50 * @ms})

      assert {:error, "ErrorCode::ConnectionReadTimeout"} =
               fetch(instance(), began, between_bytes_timeout: {:some, 50 * @ms})

      assert {:error, _} = fetch(instance(), silent, first_byte_timeout: {:some, 0})
    end

    test "is limited by the options, also for a guest that asks for more" do
      long = [
        first_byte_timeout: {:some, 0xFFFF_FFFF_FFFF_FFFF},
        between_bytes_timeout: {:some, 0xFFFF_FFFF_FFFF_FFFF}
      ]

      for answer <- ["", @ok <> "content-length: 10\r\n\r\nabc"] do
        assert {:error, code} = fetch(instance(http_timeout: 200), once(answer), long)
        assert code in ["ErrorCode::HttpResponseTimeout", "ErrorCode::ConnectionReadTimeout"]
      end
    end

    test "is limited for a connection too" do
      # A listener whose queue is full answers nobody.
      {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1}, backlog: 0)
      {:ok, port} = :inet.port(listener)
      for _ <- 1..4, do: :gen_tcp.connect({127, 0, 0, 1}, port, [], 100)

      assert {:error, "ErrorCode::ConnectionTimeout"} =
               fetch(instance(), port, connect_timeout: {:some, 100 * @ms})
    end
  end

  describe "aborted bodies" do
    test "is broken for the server: a body whose guest traps, drops it, or ends" do
      test = self()

      port =
        Origin.start(fn connection ->
          send(test, {:got, Origin.read_all(connection)})
        end)

      # More than can be on its way: the guest goes on when the server has read of it.
      half = [method: "POST", body: {:some, String.duplicate("half", 1_000)}, times: 200]

      for ending <- [:trap, :drop], headers <- [[], [{"content-length", "1000000"}]] do
        instance = instance()
        fields = [headers: headers, ending: ending] ++ half
        call = Task.async(fn -> Instance.call(instance, "fetch", [request(port, fields)]) end)
        assert_receive {:got, "POST / HTTP/1.1\r\n" <> got}
        assert got =~ "half"
        refute got =~ "\r\n0\r\n"
        Task.await(call, 60_000)
      end

      # The store ends with the process that has it.
      {pid, monitor} =
        spawn_monitor(fn ->
          Instance.call(instance(), "fetch", [request(port, [ending: :leave] ++ half)])
        end)

      Process.sleep(200)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      assert_receive {:got, got}
      refute got =~ "\r\n0\r\n"
    end

    test "is broken for the guest: a response that is not complete" do
      for {answer, code} <- [
            {"", "ConnectionTerminated"},
            {"HTTP/1.1 200", "ConnectionTerminated"},
            {@ok <> "content-length: 10\r\n\r\nabc", "HttpResponseIncomplete"},
            {chunked("5\r\nab"), "HttpResponseIncomplete"},
            {chunked("5\r\nabcde\r\n"), "HttpResponseIncomplete"},
            {chunked("+5\r\nabcde\r\n0\r\n\r\n"), "HttpResponseTransferCoding(None)"},
            {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HttpProtocolError"}
          ] do
        port =
          Origin.start(fn connection ->
            Origin.request(connection)
            Origin.write(connection, answer)
            Origin.close(connection)
          end)

        assert {answer, fetch(instance(), port)} == {answer, {:error, "ErrorCode::" <> code}}
      end
    end

    test "closes its connection: a future or a body that is dropped" do
      test = self()

      port =
        Origin.start(fn connection ->
          Origin.request(connection)
          Origin.write(connection, @ok <> "content-length: 1000000\r\n\r\nabc")
          send(test, {:closed, Origin.read(connection)})
        end)

      instance = instance()
      assert {:ok, %{"size" => 3}} = fetch(instance, port, stop: {:some, 1})
      assert_receive {:closed, :closed}

      # Of three requests one is answered, and its guest drops the others.
      port =
        Origin.start(fn connection ->
          {:ok, _} = Origin.request(connection)
          send(test, {:asked, self()})
          spawn_link(fn -> send(test, {:closed, Origin.read(connection)}) end)
          receive do: (:go -> Origin.write(connection, Origin.response("")))
        end)

      call = Task.async(fn -> Instance.call(instance, "hold", [request(port), 3]) end)

      pids =
        for _ <- 1..3 do
          assert_receive {:asked, pid}
          pid
        end

      # Until the first that the guest sent has its answer, which may be any of them.
      result =
        Enum.find_value(pids, fn pid ->
          send(pid, :go)
          Task.yield(call, 100)
        end)

      assert result == {:ok, {:ok, {:ok, 200}}}
      assert_receive {:closed, :closed}
    end
  end

  describe "connections" do
    defp counting(serve) do
      counter = :counters.new(1, [])

      port =
        Origin.start(fn connection ->
          :counters.add(counter, 1, 1)
          serve.(connection)
        end)

      {port, fn -> :counters.get(counter, 1) end}
    end

    defp keep(connection) do
      with {:ok, _} <- Origin.request(connection) do
        Origin.write(connection, Origin.response("hello"))
        keep(connection)
      end
    end

    test "are kept for a store's next request, and shared with no other store" do
      {port, count} = counting(&keep/1)
      instance = instance()
      for _ <- 1..5, do: assert({:ok, %{"body" => "hello"}} = fetch(instance, port))
      assert count.() == 1
      assert {:ok, _} = fetch(instance(), port)
      assert count.() == 2
    end

    test "that the server closed fail no request" do
      {port, count} =
        counting(fn connection ->
          {:ok, _} = Origin.request(connection)
          Origin.write(connection, Origin.response("hello"))
          Process.sleep(20)
          Origin.close(connection)
        end)

      instance = instance()

      for n <- 1..60 do
        if rem(n, 3) == 0, do: Process.sleep(15 + rem(n, 10))
        method = if rem(n, 2) == 0, do: "GET", else: "POST"
        assert {:ok, %{"body" => "hello"}} = fetch(instance, port, method: method)
      end

      assert count.() <= 60
    end

    test "end when the server says something that nobody asked for, and nothing of it is logged" do
      secret = "secret-#{System.unique_integer([:positive])}"

      {port, count} =
        counting(fn connection ->
          {:ok, _} = Origin.request(connection)
          Origin.write(connection, Origin.response("hello"))
          Origin.write(connection, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad")
          Origin.read_all(connection)
        end)

      instance = instance()

      log =
        capture_log(fn ->
          for _ <- 1..3 do
            assert {:ok, %{"body" => "hello"}} =
                     fetch(instance, port,
                       path: "/?token=" <> secret,
                       headers: [{"authorization", secret}]
                     )

            Process.sleep(20)
          end
        end)

      assert count.() == 3
      refute log =~ secret
    end

    test "of a store are limited; requests beyond wait for a place" do
      test = self()

      port =
        Origin.start(fn connection ->
          # Those that are dropped before they are sent come to nothing.
          with {:ok, _} <- Origin.request(connection) do
            send(test, {:asked, self()})
            receive do: (:go -> Origin.write(connection, Origin.response("")))
          end
        end)

      instance = instance(http_max_exchanges: 2)

      call =
        Task.async(fn -> Instance.call(instance, "hold", [request(port), 5], timeout: 60_000) end)

      assert_receive {:asked, one}
      assert_receive {:asked, two}
      refute_receive {:asked, _}, 100
      for pid <- [one, two], do: send(pid, :go)
      assert {:ok, {:ok, 200}} = Task.await(call, 60_000)

      slow = instance(http_max_exchanges: 1, http_timeout: 300)
      assert {:ok, {:error, _}} = Instance.call(slow, "hold", [request(once("")), 2])
    end
  end

  describe "errors" do
    test "are those of wasi:http" do
      {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(listener)
      :gen_tcp.close(listener)
      assert {:error, "ErrorCode::ConnectionRefused"} = fetch(instance(), port)

      any = instance(allowed_hosts: ["*"])
      assert {:error, "ErrorCode::DnsError" <> _} = fetch(any, "no-such-host.invalid")
      assert {:error, "ErrorCode::HttpRequestDenied"} = fetch(instance(), "127.0.0.2:80")

      assert {:error, "ErrorCode::HttpRequestUriInvalid"} =
               fetch(any, "user:password@127.0.0.1:#{port}")

      for port <- ["0", "+#{once(@ok)}", "-1", "65536", "80a"] do
        assert {:error, "ErrorCode::HttpRequestUriInvalid"} = fetch(any, "127.0.0.1:#{port}")
      end

      assert {:error, "ErrorCode::HttpProtocolError"} = fetch(any, "127.0.0.1", scheme: "ftp")
    end

    test "name a transfer coding that is not undone" do
      for {value, coding} <- [
            {"gzip", "gzip"},
            {"gzip, chunked", "gzip"},
            {"chunked, GZIP", "gzip"},
            {"chunked\r\ntransfer-encoding: x-own", "x-own"},
            {"chunked, chunked", "chunked"}
          ] do
        port = once("#{@ok}transfer-encoding: #{value}\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
        code = ~s|ErrorCode::HttpResponseTransferCoding(Some("#{coding}"))|
        assert {:error, ^code} = fetch(instance(), port)
      end

      port = once("#{@ok}transfer-encoding: Chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
      assert {:ok, %{"body" => "abcde"}} = fetch(instance(), port)
      head = once("#{@ok}transfer-encoding: gzip, chunked\r\n\r\n")
      assert {:ok, %{"body" => ""}} = fetch(instance(), head, method: "HEAD")
    end

    test "say nothing of the host" do
      for failing <- [
            fn _ -> {:error, %{db_password: "x"}} end,
            fn _ -> {:error, "db_password"} end,
            fn _ -> raise "db_password" end,
            fn _ -> :db_password end
          ] do
        capture_log(fn ->
          assert fetch(instance(allowed_hosts: nil, http: failing), "any.where") ==
                   {:error, "ErrorCode::InternalError(Some(\"the request failed\"))"}
        end)
      end
    end
  end

  describe "a function in the client's place" do
    test "runs in the process that called the guest" do
      Process.put(:mine, "of this process")

      function = fn request ->
        {:ok,
         %{
           status: 201,
           headers: [{"x-pid", inspect(self())}],
           body: [Process.get(:mine), " ", request.body]
         }}
      end

      instance = instance(allowed_hosts: nil, http: function)

      assert {:ok, %{"status" => 201, "body" => "of this process body", "headers" => headers}} =
               fetch(instance, "any.where", method: "POST", body: {:some, "body"})

      assert {"x-pid", inspect(self())} in headers
      assert {:ok, {:ok, 201}} = Instance.call(instance, "hold", [request("any.where"), 5])
    end

    test "is not asked for what a list forbids, nor with more than it may have" do
      me = self()

      function = fn _ ->
        send(me, :asked)
        {:ok, %{status: 200, body: String.duplicate("x", 100)}}
      end

      assert {:error, "ErrorCode::HttpRequestDenied"} =
               fetch(instance(http: function), "any.where")

      assert {:error, "ErrorCode::HttpRequestBodySize(Some(3))"} =
               fetch(
                 instance(allowed_hosts: nil, http: function, http_max_request: 3),
                 "any.where",
                 method: "POST",
                 body: {:some, "body"}
               )

      refute_received :asked

      assert {:error, "ErrorCode::HttpResponseBodySize(Some(99))"} =
               fetch(
                 instance(allowed_hosts: nil, http: function, http_max_response: 99),
                 "any.where"
               )
    end

    test "that fails says so in the log, without the request" do
      secret = "secret-#{System.unique_integer([:positive])}"

      log =
        capture_log(fn ->
          for failing <- [
                fn %{method: "NEVER"} -> :ok end,
                fn request -> Map.fetch!(request, :no_such_key) end,
                fn request -> String.to_integer(request.url) end,
                fn request -> exit(request) end,
                fn request -> throw(request) end,
                fn request -> {:ok, %{status: 200, headers: request}} end,
                fn request -> request end
              ] do
            assert {:error, "ErrorCode::InternalError" <> _} =
                     fetch(instance(allowed_hosts: nil, http: failing), "any.where",
                       path: "/?" <> secret,
                       headers: [{"authorization", secret}]
                     )
          end
        end)

      assert log =~ "FunctionClauseError"
      assert log =~ "client_test.exs"
      refute log =~ secret
    end

    test "may take no longer than the call" do
      slow = fn _ -> Process.sleep(200) && {:ok, %{status: 200}} end
      instance = instance(allowed_hosts: nil, http: slow)

      assert {:error, %{reason: :timeout}} =
               Instance.call(instance, "fetch", [request("any.where")], timeout: 50)
    end
  end

  describe "redirects" do
    defp redirecting(location, status \\ "302 Found") do
      Origin.answer(fn
        "GET /end" <> _ -> Origin.response("end")
        "HEAD /end" <> _ -> "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
        _ -> "HTTP/1.1 #{status}\r\nlocation: #{location}\r\ncontent-length: 0\r\n\r\n"
      end)
    end

    test "are followed where that is asked for, and not otherwise" do
      port = redirecting("/end?x")
      assert {:ok, %{"status" => 302}} = fetch(instance(), port)
      following = instance(http_redirects: 3)
      assert {:ok, %{"status" => 200, "body" => "end"}} = fetch(following, port)
      assert {:ok, %{"status" => 200, "size" => 0}} = fetch(following, port, method: "HEAD")

      assert {:ok, %{"status" => 200}} =
               fetch(following, port, method: "POST", body: {:some, "x"})

      assert {:error, "ErrorCode::LoopDetected"} = fetch(following, redirecting("/again"))
      # Its body is gone.
      kept = redirecting("/end", "307 Temporary Redirect")

      assert {:ok, %{"status" => 307}} =
               fetch(following, kept, method: "POST", body: {:some, "x"})
    end

    test "lead nowhere else than a request may" do
      for location <- [
            "http://127.0.0.2/",
            "//127.0.0.2/",
            "http://localhost/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:127.0.0.2]/",
            "file:///etc/passwd"
          ] do
        assert {:error, code} = fetch(instance(http_redirects: 3), redirecting(location))

        assert code in [
                 "ErrorCode::HttpRequestDenied",
                 "ErrorCode::HttpProtocolError",
                 "ErrorCode::HttpRequestUriInvalid"
               ]
      end
    end

    test "take no secret to another origin" do
      end_of_it = hello()
      port = redirecting("http://127.0.0.1:#{end_of_it}/end")
      headers = [{"authorization", "secret"}, {"cookie", "secret"}, {"x-a", "b"}]

      assert {:ok, %{"body" => "hello"}} =
               fetch(instance(http_redirects: 1), port, headers: headers)

      assert_receive {:request, "GET / HTTP/1.1\r\n" <> first}
      assert first =~ "secret"
      assert_receive {:request, "GET /end" <> second}
      refute second =~ "secret"
      assert second =~ "x-a: b"
    end
  end

  defp until(connection, ending, read \\ "") do
    {:ok, more} = Origin.read(connection)
    read = read <> more
    if String.ends_with?(read, ending), do: read, else: until(connection, ending, read)
  end
end
