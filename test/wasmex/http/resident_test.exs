defmodule Wasmex.HTTP.ResidentTest do
  # Resident servers: programs that serve HTTP themselves, behind a path.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Wasmex.Guest, only: [wait_until: 1]

  alias Wasmex.{Client, HTTP}
  alias Wasmex.HTTP.{Folder, Request, Server, Service}
  alias Wasmex.HTTP.Resident.Wire

  @moduletag :capture_log

  @listener "test/guests/sockets/go/listener.wasm"

  defp start(dir, settings \\ []) do
    functions = %{"app" => Keyword.merge([convention: :resident, timeout: 60_000], settings)}

    server =
      start_supervised!({Server, dir: dir, port: 0, functions: functions, web_server: :builtin})

    Server.port(server)
  end

  describe "a Go server behind a path" do
    @describetag :tmp_dir

    setup %{tmp_dir: dir} do
      File.cp!(@listener, Path.join(dir, "app.wasm"))
      %{port: start(dir)}
    end

    test "answers many requests in one instance", %{port: port} do
      answers =
        1..20
        |> Task.async_stream(&Client.get(port, "/app/#{&1}"), timeout: 60_000, max_concurrency: 20)
        |> Enum.map(fn {:ok, answer} -> answer end)

      for {answer, n} <- Enum.with_index(answers, 1) do
        assert {200, _, body} = answer
        assert body == "/#{n} on 3\n"
      end
    end

    test "is started again when it ends", %{port: port} do
      assert {200, _, "/quit on 3\n"} = Client.get(port, "/app/quit")

      wait_until(fn -> match?({200, _, "/again on 3\n"}, Client.get(port, "/app/again")) end)
    end
  end

  @tag :tmp_dir
  test "goes with its file", %{tmp_dir: dir} do
    File.cp!(@listener, Path.join(dir, "app.wasm"))
    port = start(dir)
    assert {200, _, "/x on 3\n"} = Client.get(port, "/app/x")

    File.rm!(Path.join(dir, "app.wasm"))
    wait_until(fn -> match?({404, _, _}, Client.get(port, "/app/x")) end)
  end

  @tag :tmp_dir
  test "one that never accepts is a timeout, and one that ends at once is a pause", %{
    tmp_dir: dir
  } do
    File.write!(Path.join(dir, "app.wat"), ~S"""
    (module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 24) "\00\00\00\00\00\00\00\10")
      (func (export "_start") (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
    """)

    port = start(dir, timeout: 50)
    assert {504, _, _} = Client.get(port, "/app/x")
  end

  describe "the process that has loaded the functions" do
    @describetag :tmp_dir

    defp service(dir, functions) do
      key = make_ref()
      opts = Service.check!([dir: dir, functions: functions], options())
      start_supervised!(%{id: key, start: {Service, :start_link, [key, opts]}})
      %{key: key, folder: GenServer.whereis(Service.name(key, Folder)), opts: opts}
    end

    defp options, do: Server.__options__()

    test "that crashes is followed once its guests are gone", %{tmp_dir: dir} do
      File.cp!(@listener, Path.join(dir, "app.wasm"))
      %{key: key, folder: folder} = service(dir, %{"app" => [convention: :resident]})
      {table, _} = Folder.tables(folder)
      {:ok, %{resident: {_, before}}} = Folder.find(table, "app")
      program = :sys.get_state(before).program
      ref = Process.monitor(program)

      Process.exit(folder, :kill)
      assert_receive {:DOWN, ^ref, _, _, _}, 60_000

      wait_until(fn ->
        with {:ok, %{resident: {_, now}}} <- Folder.find(table, "app"), do: now != before
      end)

      refute Process.alive?(before)
      assert GenServer.whereis(Service.name(key, Folder)) != folder
    end

    test "knows a function while it is compiled", %{tmp_dir: dir} do
      File.write!(Path.join(dir, "app.wat"), ~s|(module (func (export "_start")))|)

      log =
        capture_log(fn ->
          service(dir, %{"app" => [convention: :cgi], "missing_one" => [convention: :cgi]})
        end)

      assert log =~ "functions.missing_one: the function does not exist"
      refute log =~ "functions.app: the function does not exist"
    end
  end

  test "without a server that keeps it running it can't be called" do
    {:ok, function} = HTTP.load(@listener, convention: :resident)
    assert_raise ArgumentError, fn -> HTTP.call(function, Request.new("GET", "/")) end
  end

  describe "the wire" do
    test "tells the server for whom it answers, and nothing of the connection before" do
      request = %{
        Request.new(
          "POST",
          "/x?y=1",
          [
            {"host", "a.b"},
            {"te", "trailers"},
            {"upgrade", "h2c"},
            {"x-forwarded-for", "evil"},
            {"connection", "keep-alive, X-Hop"},
            {"x-hop", "for this connection"}
          ],
          "body"
        )
        | script_name: "/app",
          remote_addr: "1.2.3.4"
      }

      {:ok, head, {:whole, "body"}} = Wire.request(request)
      head = IO.iodata_to_binary(head)

      assert head ==
               "POST /x?y=1 HTTP/1.1\r\nhost: a.b\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: http\r\n" <>
                 "x-forwarded-host: a.b\r\nx-forwarded-prefix: /app\r\ncontent-length: 4\r\nconnection: close\r\n\r\n"
    end

    test "refuses what would be another request" do
      for request <- [
            Request.new("GET", "/a b"),
            Request.new("GET / HTTP/1.1\r\nx:", "/"),
            Request.new("GET", "/", [{"a", "b\r\nc: d"}]),
            Request.new("GET", "/", [{"a:", "b"}])
          ],
          do: assert({:error, 400, _} = Wire.request(request))
    end

    test "reads answers in pieces of any size" do
      body = "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\na: b\r\n\r\n"
      answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A:  b \r\n\r\n" <> body

      for size <- 1..20 do
        pieces = for bytes <- Enum.chunk_every(to_charlist(answer), size), do: to_string(bytes)
        assert read(pieces, "") == {200, [{"x-a", "b"}], "hello world"}
      end
    end

    defp read([piece | pieces], got) do
      case Wire.head(got <> piece) do
        :more ->
          read(pieces, got <> piece)

        {:ok, head, rest} ->
          {head.status, head.headers,
           IO.iodata_to_binary(body(Wire.body(head, "GET"), rest, pieces))}
      end
    end

    defp body(body, got, pieces) do
      case Wire.take(body, got) do
        {:done, bytes} -> bytes
        {:more, bytes, body, rest} -> [bytes | body(body, rest <> hd(pieces), tl(pieces))]
      end
    end

    test "answers that are none are errors" do
      for head <- [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 999 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\0\r\n\r\n",
            String.duplicate("x", 70_000)
          ],
          do: assert({:error, _} = Wire.head(head))

      for fields <- [
            "content-length: -1",
            "content-length: 1\r\ncontent-length: 2",
            "transfer-encoding: gzip"
          ] do
        {:ok, head, ""} = Wire.head("HTTP/1.1 200 OK\r\n#{fields}\r\n\r\n")
        assert {:error, _} = Wire.body(head, "GET")
      end

      for zero <- ["0", "000", "00000000"],
          do: assert({:done, _} = Wire.take({:chunked, :size}, zero <> "\r\n\r\n"))

      for chunk <- ["zz\r\n", "5\r\nhelloxx", "-1\r\n", "fffffffff\r\n"],
          do: assert({:error, _} = Wire.take({:chunked, :size}, chunk))

      {:ok, head, _} = Wire.head("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
      assert Wire.body(head, "HEAD") == :none
      {:ok, head, _} = Wire.head("HTTP/1.1 205 OK\r\ncontent-length: 5\r\n\r\n")
      assert Wire.body(head, "GET") == :none
      fields = "connection: close, x-hop\r\nx-hop: a\r\nx-a:\t b \t\r\n"
      assert {:ok, %{headers: [{"x-a", "b"}]}, ""} = Wire.head("HTTP/1.1 200 OK\r\n#{fields}\r\n")
    end
  end
end
