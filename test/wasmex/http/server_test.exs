defmodule Wasmex.HTTP.ServerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Wasmex.Guest, only: [wait_until: 1]

  alias Wasmex.{Answers, Client}
  alias Wasmex.HTTP.Server

  @moduletag :capture_log
  @moduletag :tmp_dir

  doctest Server

  setup %{tmp_dir: dir} do
    put = fn name, bytes -> File.write!(Path.join(dir, name), bytes) end
    put.("hello.wat", Answers.prints("hello"))
    {:ok, dir: dir, put: put}
  end

  # Whose time counts in a test says so itself.
  defp start(dir, opts \\ []) do
    opts =
      Keyword.update(opts, :defaults, [timeout: 60_000], &Keyword.put_new(&1, :timeout, 60_000))

    server = start_supervised!({Server, [dir: dir, port: 0] ++ opts}, id: make_ref())
    {server, Server.port(server)}
  end

  test "an answer that has no body has none, whatever was printed", %{dir: dir} do
    for status <- [204, 304] do
      body = "HTTP/1.1 200 OK\r\n\r\nnot an answer"

      File.write!(
        Path.join(dir, "s#{status}.wat"),
        Answers.prints("Status: #{status}\n\n#{body}")
      )
    end

    {_server, port} = start(dir, defaults: [convention: :cgi])

    for status <- [204, 304] do
      one = "GET /s#{status} HTTP/1.1\r\nHost: x\r\n"
      answers = Client.raw(port, one <> "\r\n" <> one <> "Connection: close\r\n\r\n")
      assert [_, first, second] = String.split(answers, "HTTP/1.1 #{status} ")
      refute first =~ "not an answer" or second =~ "not an answer"
      refute answers =~ "content-length"
    end
  end

  test "an answer has a date, and the program's fields about the connection stay behind", %{
    dir: dir
  } do
    hop = "TE: trailers\nProxy-Connection: keep-alive\nConnection: X-Mine\nX-Mine: a\nX-Yours: b"
    File.write!(Path.join(dir, "hop.wat"), Answers.prints("Content-Type: a/b\n#{hop}\n\nbody"))
    mine = "Content-Type: a/b\nDate: Tue, 15 Nov 1994 08:12:31 GMT\n\nbody"
    File.write!(Path.join(dir, "dated.wat"), Answers.prints(mine))
    {_server, port} = start(dir, defaults: [convention: :cgi])
    get = &Client.raw(port, "GET /#{&1} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    answer = get.("hop")
    assert answer =~ "\r\nx-yours: b\r\n" and answer =~ "\r\nconnection: close\r\n"
    refute answer =~ ~r/\r\n(te|proxy-connection|x-mine):/
    for answer <- [answer, get.("unknown")], do: assert(seconds_since(answer) in 0..600)
    assert [_, "Tue, 15 Nov 1994 08:12:31 GMT"] = Regex.run(~r/\r\ndate: (.*)\r\n/, get.("dated"))
    assert seconds_since(Client.raw(port, "GET / HTTP/9.9\r\n\r\n")) in 0..600
  end

  # IMF-fixdate (RFC 9110, section 5.6.7).
  defp seconds_since(answer) do
    assert [[_, date]] = Regex.scan(~r/\r\ndate: ([^\r]*)\r\n/, answer)
    assert date =~ ~r/\A[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\z/
    then = date |> String.to_charlist() |> :httpd_util.convert_request_date()

    DateTime.diff(
      DateTime.utc_now(),
      then |> NaiveDateTime.from_erl!() |> DateTime.from_naive!("Etc/UTC")
    )
  end

  test "a status that says that there is no content has none", %{dir: dir} do
    for {name, size} <- [short: 2, long: 200_000] do
      printed = "Status: 205\nContent-Type: a/b\n\n" <> String.duplicate("x", size)
      File.write!(Path.join(dir, "#{name}.wat"), Answers.prints(printed))
    end

    {_server, port} = start(dir, defaults: [convention: :cgi])

    for name <- [:short, :long] do
      one = "GET /#{name} HTTP/1.1\r\nHost: x\r\n"
      answers = Client.raw(port, one <> "\r\n" <> one <> "Connection: close\r\n\r\n")
      assert [_, first, second] = String.split(answers, "HTTP/1.1 205 ")

      for answer <- [first, second],
          do: assert(answer =~ ~r/content-length: 0\r\n(.*\r\n)*\r\n\z/)
    end
  end

  test "the server itself is asked for what it supports", %{dir: dir} do
    {_server, port} = start(dir)
    asked = "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert "HTTP/1.1 204 No Content\r\n" <> answer = Client.raw(port, asked)
    assert answer =~ "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
    refute answer =~ "content-length"
  end

  test "a connection of HTTP/1.0 that is kept is said to be", %{dir: dir} do
    {_server, port} = start(dir)
    one = "GET /hello HTTP/1.0\r\nHost: x\r\n"
    kept = one <> "Connection: keep-alive\r\n\r\n"
    answers = Client.raw(port, kept <> kept <> one <> "\r\n")
    assert ["", first, second, third] = String.split(answers, "HTTP/1.1 200 OK")
    assert first =~ "connection: keep-alive" and second =~ "connection: keep-alive"
    refute third =~ "keep-alive"
  end

  test "a body that drips takes no more time than its function has", %{dir: dir} do
    File.cp!(
      Path.join("test/guests", "component_http/component_http.wasm"),
      Path.join(dir, "echo.wasm")
    )

    {_server, port} = start(dir, defaults: [timeout: 300])
    socket = Client.connect(port)

    :gen_tcp.send(
      socket,
      "POST /echo/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    )

    # Trailers without an end, one at a time; it has ten seconds for each.
    assert drip(socket, 2_000)
  end

  defp drip(_socket, 0), do: false

  defp drip(socket, times) do
    :gen_tcp.send(socket, "a: b\r\n")

    case :gen_tcp.recv(socket, 0, 50) do
      {:error, :timeout} -> drip(socket, times - 1)
      {:ok, answer} -> answer =~ " 408 " or answer =~ " 504 "
      {:error, _closed} -> true
    end
  end

  test "functions of the convention :env", _ do
    {_, port} = start("examples/faas")

    for name <- ["goenv", "rustenv", "watenv"] do
      assert {200, _, body} = Client.get(port, "/#{name}?foo=bar&id=1234")
      assert body =~ "http_path=/#{name}\n" and body =~ "http_query=foo=bar&id=1234\n"
      assert body =~ "remote_addr=127.0.0.1\n"
    end

    assert {201, %{"x-count" => "2"}, ~s|{"count":2,"sum":3}\n|} =
             Client.request(port, "POST", "/cgi", [], "[1,2]")
  end

  test "names: unknown ones are 404, those that try to be paths 400", %{dir: dir, put: put} do
    File.ln_s!("/etc/hostname", Path.join(dir, "out.wasm"))
    File.ln_s!(Path.join(dir, "hello.wat"), Path.join(dir, "link.wat"))
    put.("deep.txt", "no function")
    {_, port} = start(dir)

    assert {404, _, _} = Client.get(port, "/nope")
    assert {404, _, _} = Client.get(port, "/deep")
    assert {200, _, "hello"} = Client.get(port, "/link")

    for target <- [
          "/..",
          "/../hello",
          "/%2e%2e/hello",
          "/hello/../x",
          "/hello/%2E%2e",
          "//etc/passwd",
          "/%2fetc%2fpasswd",
          "/hello%00",
          "/hello/%00",
          "/.hidden",
          "/out",
          "/a\\b",
          "/%2e"
        ] do
      assert {400, _, "400 Bad Request\n"} = Client.get(port, target), target
    end
  end

  test "files that have no end, or are too large, are not read", %{dir: dir, put: put} do
    {_, 0} = System.cmd("mkfifo", [Path.join(dir, "fifo.wasm")])
    {_, 0} = System.cmd("truncate", ["-s", "600M", Path.join(dir, "sparse.wasm")])
    File.mkdir!(Path.join(dir, "folder.wat"))
    put.("short.wasm", "\0asm")
    put.("empty.wat", "")
    {_, port} = start(dir)

    for name <- ~w(fifo sparse folder short empty),
        do: assert({500, _, _} = Client.get(port, "/" <> name))

    assert {200, _, "hello"} = Client.get(port, "/hello")
  end

  test "requests that are malformed get the right status, and the server serves on", %{dir: dir} do
    {_, port} = start(dir, functions: %{hello: [max_body: 100]})
    get = "GET /hello HTTP/1.1\r\n"
    post = "POST /hello HTTP/1.1\r\nHost: x\r\n"
    line = fn line -> "GET /hello HTTP/1.1\r\nHost: x\r\n#{line}\r\n\r\n" end

    for {status, bytes} <- [
          {200, line.(<<"X: ", 0xFF, 0x80>>)},
          {200, get <> "Host: x\r\n\r\n"},
          {200, "\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n"},
          {200, "GET /hello HTTP/1.0\r\n\r\n"},
          {200, "GET http://x/hello HTTP/1.1\r\nHost: x\r\n\r\n"},
          {200, ["GET /he", "llo HTTP/1.1\r\nHo", "st: x\r\n\r", "\n"]},
          {200, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n"},
          {200, "GET /hello?\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n"},
          {200, post <> "Content-Length: 3\r\n\r\nabc"},
          {200,
           [
             post <> "Transfer-Encoding: chunked\r\n\r\n",
             "1\r\na\r\n",
             "2;x=y\r\nbc\r\n0\r\nT: x\r\n\r\n"
           ]},
          {400, "nonsense\r\n\r\n"},
          {400, get <> "\r\n"},
          {400, get <> "Host: x\r\nHost: y\r\n\r\n"},
          {400, line.("no colon")},
          {400, line.("Content-Length: -5")},
          {400, line.("Content-Length: abc")},
          {400, line.("Content-Length: 1\r\nContent-Length: 2")},
          {400, line.("Content-Length: 99999999999999999999")},
          {400, post <> "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"},
          {400, "GET /hello?\x01 HTTP/1.1\r\nHost: x\r\n\r\n"},
          {400, "GET hello HTTP/1.1\r\nHost: x\r\n\r\n"},
          {204, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"},
          {400, "GET /hello HTTP/1.1\nHost: x\n\n"},
          {400, "GET /hello HTTP/1.1\r\nHost: x\n\r\n"},
          {400, line.("X: a\r\n folded")},
          {400, line.("X: a\rb")},
          {400, line.(": no name")},
          {400, line.("X : space")},
          {400,
           "POST /hello HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
          {400, <<0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC>>},
          {413, post <> "Content-Length: 101\r\n\r\n" <> String.duplicate("a", 101)},
          {414, "GET /#{String.duplicate("a", 20_000)} HTTP/1.1\r\nHost: x\r\n\r\n"},
          {431, line.("X: " <> String.duplicate("a", 70_000))},
          {431, line.(Enum.map_join(1..300, "\r\n", &"X-#{&1}: 1"))},
          {501, "BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n"},
          {501, post <> "Transfer-Encoding: gzip\r\n\r\n"},
          {505, "GET /hello HTTP/2.0\r\nHost: x\r\n\r\n"}
        ] do
      assert {status, bytes} ==
               {port |> Client.raw(bytes, &(&1 =~ "\r\n\r\n")) |> Client.status(), bytes}
    end

    # A body that is cut short or is no chunks matters to those who read it.
    {_, port} = start("examples/faas")

    chunked =
      "POST /cgi HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert 400 == port |> Client.raw(chunked <> "zz\r\nabc\r\n") |> Client.status()
    assert 400 == port |> Client.raw(chunked <> "3\r\nabcd\r\n0\r\n\r\n") |> Client.status()
    assert 400 == port |> Client.raw(chunked <> "+3\r\nabc\r\n0\r\n\r\n") |> Client.status()
    assert 400 == port |> Client.raw(chunked <> "3;x\nabc\r\n0\r\n\r\n") |> Client.status()

    assert "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201" <> _ =
             Client.raw(port, [
               "POST /cgi HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
               "[]"
             ])

    # Of HTTP/1.0 it was never asked for.
    old = "POST /cgi HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n[]"
    assert "HTTP/1.1 201" <> _ = Client.raw(port, old)

    socket = Client.connect(port)
    :gen_tcp.send(socket, chunked <> "5\r\nab")
    :gen_tcp.shutdown(socket, :write)
    assert "HTTP/1.1 400" <> _ = Client.read(socket)
    assert {200, _, _} = Client.get(port, "/rustenv")
  end

  test "a connection is kept, and requests sent ahead are answered in order", %{
    dir: dir,
    put: put
  } do
    put.("two.wat", Answers.prints("two"))
    {_, port} = start(dir)
    one = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    last = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = Client.raw(port, one <> "GET /two HTTP/1.1\r\nHost: x\r\n\r\n" <> last)

    assert [_, "hello", "two", "hello"] = [
             nil | Regex.scan(~r/(hello|two)(?=HTTP|$)/, answers) |> Enum.map(&hd/1)
           ]

    assert Client.raw(port, [last, one])
           |> String.split("HTTP/1.1 ")
           |> length() == 2
  end

  test "limits: time 504, output 502, methods 405, a trap 500, with the backtrace in the log alone",
       %{dir: dir, put: put} do
    put.("spin.wat", Answers.spins())
    put.("flood.wat", Answers.floods())
    put.("trap.wat", Answers.traps())

    {_, port} =
      start(dir,
        defaults: [max_output: 10_000],
        functions: %{"hello" => [methods: ["POST"]], "spin" => [timeout: 50]}
      )

    assert {504, _, "504 Gateway Timeout\n"} = Client.get(port, "/spin")
    assert {502, _, "502 Bad Gateway\n"} = Client.get(port, "/flood")
    assert {405, %{"allow" => "POST"}, _} = Client.get(port, "/hello")

    log =
      capture_log(fn ->
        assert {500, _, "500 Internal Server Error\n"} = Client.get(port, "/trap")
      end)

    assert log =~ "wasm backtrace"
  end

  test "the line of a request is in one event with those of its function, after its error", %{
    dir: dir,
    put: put
  } do
    put.("watenv.wat", File.read!("examples/faas/watenv.wat"))

    put.("traps.wat", """
    (module (import "env" "log_i32" (func $log (param i32))) (memory (export "memory") 1)
      (func (export "_start") (call $log (i32.const 7)) unreachable))
    """)

    {_, port} = start(dir, log: true)

    # Where other programs have the cores, a slice may end after the function's lines: then they are an event of their own.
    assert Enum.any?(1..20, fn _ ->
             log = capture_log(fn -> assert {200, _, _} = Client.get(port, "/watenv") end)
             log =~ ~r"watenv was called; variables:\n5\nGET /watenv 200 \d+ µs"
           end)

    log = capture_log(fn -> assert {500, _, _} = Client.get(port, "/traps") end)
    assert log =~ ~r"7\n.*function traps.*GET /traps 500"s

    log = capture_log(fn -> assert {404, _, _} = Client.get(port, "/none") end)
    assert log =~ "GET /none 404 0 µs"
  end

  test "a long answer is streamed; one that breaks off does not end as a whole one", %{
    dir: dir,
    put: put
  } do
    put.("long.wat", Answers.floods(50_000))
    put.("breaks.wat", Answers.floods(50_000, true))
    {_, port} = start(dir)
    assert {200, %{"transfer-encoding" => "chunked"}, body} = Client.get(port, "/long")
    assert byte_size(body) == 16 * 50_000
    assert {200, _, _} = Client.get(port, "/breaks")

    whole = Client.raw(port, "GET /breaks HTTP/1.1\r\nHost: x\r\n\r\n")
    assert whole =~ "0123456789abcdef"
    refute String.ends_with?(whole, "0\r\n\r\n")

    # Without chunks the end of the connection is the end.
    assert Client.raw(port, "GET /long HTTP/1.0\r\n\r\n") =~ ~r/0123456789abcdef\z/
  end

  test "further requests wait, and are rejected when the queue is full", %{dir: dir, put: put} do
    put.("spin.wat", Answers.spins())
    {_, port} = start(dir, concurrency: 2, queue: 2)
    sockets = for _ <- 1..4, do: Client.begin(port, "/spin")
    for socket <- sockets, do: :inet.setopts(socket, active: true)
    wait_until(fn -> match?({503, %{"retry-after" => "1"}, _}, Client.get(port, "/hello")) end)
    # Two run, for a minute; the others have waited long enough.
    for _ <- 1..2, do: assert_receive({:tcp, _socket, "HTTP/1.1 503" <> _}, 60_000)
    for socket <- sockets, do: :gen_tcp.close(socket)
    wait_until(fn -> match?({200, _, "hello"}, Client.get(port, "/hello")) end)
    refute_received {:tcp, _socket, _answer}
  end

  test "clients that do not read keep nobody out", %{dir: dir, put: put} do
    put.("flood.wat", Answers.floods())

    {_, port} =
      start(dir, concurrency: 2, defaults: [timeout: 3_600_000, max_output: 1_000_000_000_000])

    # Two from this address wait for their clients, the others keep their places until they are broken off.
    sockets = for _ <- 1..6, do: Client.begin(port, "/flood")
    wait_until(fn -> match?({200, _, "hello"}, Client.get(port, "/hello")) end)
    for socket <- sockets, do: :gen_tcp.close(socket)
    wait_until(fn -> match?({200, _, "hello"}, Client.get(port, "/hello")) end)
  end

  test "clients that do not go on with a body keep nobody out", %{dir: dir} do
    File.cp!("test/guests/component_http/component_http.wasm", Path.join(dir, "c.wasm"))
    {_, port} = start(dir, concurrency: 2)
    head = "POST /c/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\n"

    begin = fn ->
      socket = Client.connect(port)
      :ok = :gen_tcp.send(socket, head <> "abc")
      socket
    end

    # As many as there are places.
    sockets = for _ <- 1..2, do: begin.()
    for _ <- 1..3, do: assert({200, _, "hello"} = Client.get(port, "/hello"))

    # They may go on in their own time, and hold their places from then on.
    for socket <- sockets do
      :ok = :gen_tcp.send(socket, "def")
      assert Client.read(socket) =~ ~r/\AHTTP\/1.1 200 .*abcdef\z/s
    end

    # Those of one address that are too many have a short time.
    sockets = for _ <- 1..6, do: begin.()
    wait_until(fn -> match?({200, _, "hello"}, Client.get(port, "/hello")) end)
    for socket <- sockets, do: :gen_tcp.close(socket)
  end

  test "a client that goes away stops the guest", %{dir: dir, put: put} do
    put.("spin.wat", Answers.spins())
    put.("flood.wat", Answers.floods())
    # Longer than any test may take.
    defaults = [timeout: 3_600_000, max_output: 1_000_000_000_000]
    {server, port} = start(dir, concurrency: 1, defaults: defaults)

    socket = Client.begin(port, "/spin")
    wait_until(fn -> match?({503, _, _}, Client.get(port, "/hello")) end)
    :gen_tcp.close(socket)
    wait_until(fn -> match?({200, _, "hello"}, Client.get(port, "/hello")) end)
    assert Process.alive?(server)

    # One that writes has no place, but the server waits for it.
    {:ok, server} = Server.start_link(dir: dir, port: 0, defaults: defaults)
    socket = Client.begin(Server.port(server), "/flood")
    {:ok, _first} = :gen_tcp.recv(socket, 0, 60_000)
    :gen_tcp.close(socket)
    assert Server.stop(server, :infinity) == :ok
  end

  # More than the sockets of both sides take, so that it has not ended when its first bytes are here.
  @long 600_000

  test "a changed file is picked up; requests under way end on the old one", %{dir: dir, put: put} do
    put.("change.wat", Answers.floods(@long))
    {server, port} = start(dir, defaults: [max_output: 100_000_000])
    old = Client.begin(port, "/change")
    {:ok, first} = :gen_tcp.recv(old, 0, 60_000)
    put.("change.wat", Answers.prints("new"))
    :ok = Server.refresh(server)
    assert {200, _, "new"} = Client.get(port, "/change")
    rest = Client.read(old, first, &String.ends_with?(&1, "\r\n0\r\n\r\n"))
    assert byte_size(rest) > 16 * @long and String.ends_with?(rest, "abcdef\r\n0\r\n\r\n")

    # Of the same size, within the same second.
    put.("change.wat", Answers.prints("neu"))
    :ok = Server.refresh(server)
    assert {200, _, "neu"} = Client.get(port, "/change")

    log =
      capture_log(fn ->
        put.("change.wat", "(module (broken")
        :ok = Server.refresh(server)
      end)

    assert log =~ "function change" and log =~ "broken"
    assert {200, _, "neu"} = Client.get(port, "/change")

    File.rm!(Path.join(dir, "change.wat"))
    put.("fresh.wat", Answers.prints("fresh"))
    :ok = Server.refresh(server)
    assert {404, _, _} = Client.get(port, "/change")
    assert {200, _, "fresh"} = Client.get(port, "/fresh")
  end

  test "no request is dropped while a file changes", %{dir: dir, put: put} do
    {server, port} = start(dir)

    clients =
      for _ <- 1..4,
          do: Task.async(fn -> for _ <- 1..50, do: Client.get(port, "/hello") |> elem(0) end)

    for n <- 1..10 do
      put.("hello.wat", Answers.prints("hello #{n}"))
      Server.refresh(server)
    end

    assert clients |> Task.await_many(:infinity) |> List.flatten() |> Enum.uniq() == [200]
  end

  test "a function that was broken from the start is 500", %{dir: dir, put: put} do
    put.("broken.wat", "(module")
    {_, port} = start(dir)
    assert {500, _, _} = Client.get(port, "/broken")
    assert {200, _, _} = Client.get(port, "/hello")
  end

  test "stops gracefully: what is under way ends", %{dir: dir, put: put} do
    put.("long.wat", Answers.floods(@long))
    defaults = [timeout: 60_000, max_output: 100_000_000]
    {:ok, server} = Server.start_link(dir: dir, port: 0, defaults: defaults)
    socket = Client.begin(Server.port(server), "/long")
    {:ok, first} = :gen_tcp.recv(socket, 0, 60_000)
    stopping = Task.async(fn -> Server.stop(server, 60_000) end)
    rest = Client.read(socket, first, &String.ends_with?(&1, "\r\n0\r\n\r\n"))
    assert String.ends_with?(rest, "abcdef\r\n0\r\n\r\n")
    assert Task.await(stopping, :infinity) == :ok
    refute Process.alive?(server)
  end

  test "Bandit is needed where it is asked for", %{dir: dir} do
    for opts <- [[web_server: :bandit], [bandit: [scheme: :https]]],
        do:
          assert_raise(ArgumentError, ~r/bandit/i, fn -> Server.start_link([dir: dir] ++ opts) end)
  end

  test "settings that are wrong raise and name the key", %{dir: dir} do
    for {opts, text} <- [
          {[prt: 1],
           ~r/unknown option :prt in Wasmex.HTTP.Server.start_link.1; did you mean :port/},
          {[port: 70_000], ~r/:port in/},
          {[ip: "x"], ~r/:ip in/},
          {[concurrency: 0], ~r/:concurrency in/},
          {[defaults: [timout: 1]],
           ~r/unknown option :timout in defaults; did you mean :timeout/},
          {[functions: %{"hello" => [timeout: "1s"]}],
           ~r/:timeout in functions.hello: expected milliseconds of 1 or more/},
          {[functions: %{"hello" => [env: 5]}],
           ~r/:env in functions.hello: expected a map of names and strings/}
        ] do
      assert_raise ArgumentError, text, fn -> Server.start_link([dir: dir] ++ opts) end
    end

    assert_raise ArgumentError, ~r/missing option dir:/, fn -> Server.start_link(port: 0) end
    Process.flag(:trap_exit, true)
    assert {:error, _} = Server.start_link(dir: "no/such", port: 0)
    {_, port} = start(dir)
    assert {:error, _} = Server.start_link(dir: dir, port: port)
  end
end
