defmodule Wasmex.HTTPTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Answers, Error, Exit, HTTP, Trap}
  alias Wasmex.HTTP.{Request, Response}

  import ExUnit.CaptureLog

  @moduletag :capture_log

  doctest HTTP
  doctest Request
  doctest Response

  # Whose time counts in a test says so itself.
  defp load(program, opts \\ []) do
    {:ok, function} = HTTP.load(program, Keyword.put_new(opts, :timeout, 60_000))
    function
  end

  defp get(program, target \\ "/", opts \\ []),
    do: program |> load(opts) |> HTTP.call(Request.new("GET", target))

  describe "the convention :env" do
    test "gives the request in variables; query sorted and encoded; what is printed is the body" do
      request = %{
        Request.new("PUT", "/a/b?z=1&b=%20x&b=a&c", [{"Host", "example.org:81"}])
        | script_name: "/f",
          remote_addr: "10.0.0.1"
      }

      for file <- ["goenv.wasm", "rustenv.wasm", "watenv.wat"] do
        response = "examples/faas/#{file}" |> load() |> HTTP.call(request)
        assert %Response{status: 200, error: nil} = response

        assert response.body |> String.split("\n", trim: true) |> Enum.sort() == [
                 "http_host=example.org:81",
                 "http_method=PUT",
                 "http_path=/f/a/b",
                 "http_query=b=+x&b=a&c=&z=1",
                 "remote_addr=10.0.0.1"
               ]

        assert response.headers == [{"content-type", "text/plain; charset=utf-8"}]
      end
    end

    test "logs with log_i32, which is unsigned, and log_string" do
      wat = ~S"""
      (module (import "env" "log_i32" (func $n (param i32))) (import "env" "log_string" (func $s (param i32 i32)))
        (memory (export "memory") 1) (data (i32.const 0) "grüß")
        (func (export "_start") (call $n (i32.const -1)) (call $s (i32.const 0) (i32.const 6))))
      """

      assert %Response{status: 200, body: "", log: ["4294967295", "grüß"]} = get(wat)
      lies = String.replace(wat, "(i32.const 6)", "(i32.const -1)")
      assert %Response{status: 500, error: %Error{reason: :import_raised}} = get(lies)
    end

    test "logs so much for a request, and no more" do
      wat = ~S"""
      (module (import "env" "log_string" (func $s (param i32 i32))) (memory (export "memory") 1)
        (data (i32.const 0) "LINE")
        (func (export "_start") (local $i i32)
          (loop (call $s (i32.const 0) (i32.const 1000))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3000))))))
      """

      wat = String.replace(wat, "LINE", String.duplicate("x", 1000))
      {response, log} = with_log(fn -> get(wat) end)
      assert %Response{status: 200, log: lines} = response
      assert length(lines) == 100
      assert byte_size(log) < 2_000_000
      assert log =~ "the rest is left out"
    end

    test "bytes that are no text are said to be bytes" do
      assert %Response{headers: [{"content-type", "application/octet-stream"}]} =
               get(Answers.prints(<<255, 1>>))
    end
  end

  describe "CGI" do
    test "status, headers and body of a POST" do
      cgi = load("examples/faas/cgi.wasm")
      assert cgi.convention == :cgi
      response = HTTP.call(cgi, Request.new("POST", "/", [], "[1, 2, 3.5]"))
      assert %Response{status: 201, body: ~s|{"count":3,"sum":6.5}\n|} = response
      assert {"x-count", "3"} in response.headers
      assert %Response{status: 422} = HTTP.call(cgi, Request.new("POST", "/", [], "x"))
      assert %Response{status: 405} = HTTP.call(cgi, Request.new("GET", "/"))
    end

    test "variables as RFC 3875 has them" do
      function = load("examples/faas/rustenv.wasm", convention: :cgi)

      headers = [
        {"Host", "example.org"},
        {"Content-Type", "text/x"},
        {"X-One", "1"},
        {"X-One", "2"},
        {"X_One", "3"},
        {"Authorization", "secret"},
        {"Proxy", "evil"}
      ]

      request = %{
        Request.new("POST", "/a%20b?x=1&y", headers, "body")
        | script_name: "/f",
          remote_addr: "::1"
      }

      # Its lines are no header block, so the answer is an error; the variables are looked at directly.
      assert %Response{status: 502} = HTTP.call(function, request)
      {args, env} = Wasmex.HTTP.CGI.input(request)
      assert args == ["x=1", "y"]

      assert %{
               "REQUEST_METHOD" => "POST",
               "PATH_INFO" => "/a b",
               "SCRIPT_NAME" => "/f",
               "QUERY_STRING" => "x=1&y",
               "CONTENT_TYPE" => "text/x",
               "CONTENT_LENGTH" => "4",
               "HTTP_X_ONE" => "1, 2",
               "HTTP_HOST" => "example.org",
               "SERVER_PROTOCOL" => "HTTP/1.1",
               "GATEWAY_INTERFACE" => "CGI/1.1",
               "X_FULL_URL" => "http://example.org/f/a%20b?x=1&y"
             } = env

      refute is_map_key(env, "HTTP_AUTHORIZATION") or is_map_key(env, "HTTP_PROXY")
    end

    test "answers that are none are 502" do
      cgi = fn text -> get(Answers.prints(text), "/", convention: :cgi) end
      assert %Response{status: 200, body: "x"} = cgi.("Content-Type: text/plain\n\nx")
      assert %Response{status: 302, body: ""} = cgi.("Location: /there\r\n\r\n")
      assert %Response{status: 204} = cgi.("Status: 204 No Content\r\n\r\n")

      for bad <- [
            "",
            "no header block at all",
            "Content-Type: text/plain\n",
            "X-Other: 1\n\nx",
            "Status: 999\n\nx",
            "Status: abc\n\nx",
            "Status: 99\n\nx",
            "Bad Header: x\nContent-Type: a\n\nx",
            "Content-Type: a\nX: b\rSet-Cookie: evil\n\nx",
            "Content-Type: a\nX: \0\n\nx",
            ": empty\n\nx",
            String.duplicate("a", 70_000),
            "Status: 2000\n\nx",
            "Status: #{String.duplicate("2", 60_000)}\n\nx",
            "Content-Type: a\nX: #{String.duplicate("x", 70_000)}\n\nx"
          ] do
        assert %Response{status: 502, body: "502 Bad Gateway\n", error: %Error{}} = cgi.(bad)
      end

      # What would break the framing of the server is left out.
      assert %Response{headers: [{"content-type", "a"}]} =
               cgi.(
                 "Content-Type: a\nContent-Length: 99\nTransfer-Encoding: chunked\nConnection: close\n\nx"
               )
    end
  end

  test "the convention is found out, unless it is said" do
    assert load(Answers.prints("x")).convention == :env
    assert load("examples/faas/watenv.wat").convention == :env
    assert load(Answers.prints("x"), convention: :cgi).convention == :cgi
  end

  test "every request has a fresh instance" do
    function = load(Answers.counts())
    for _ <- 1..50, do: assert(HTTP.call(function, Request.new("GET", "/")).body == "11")

    tasks =
      for _ <- 1..50, do: Task.async(fn -> HTTP.call(function, Request.new("GET", "/")).body end)

    assert tasks |> Task.await_many(60_000) |> Enum.uniq() == ["11"]
  end

  test "failures are 5xx with nothing of the inside in the body" do
    assert %Response{status: 500, body: "500 Internal Server Error\n", error: %Trap{}} =
             get(Answers.traps())

    assert %Response{status: 500, error: %Exit{status: 3}} = get(Answers.prints("secret", 3))
    assert get(Answers.prints("secret", 3)).body == "500 Internal Server Error\n"

    assert %Response{status: 504, body: "504 Gateway Timeout\n", error: %Error{reason: :timeout}} =
             get(Answers.spins(), "/", timeout: 20)

    assert %Response{status: 502, error: %Error{reason: :output_limit}} =
             get(Answers.floods(), "/", max_output: 10_000)

    go = "test/guests/programs/go/program.wasm"
    assert %Response{status: 500} = get(go, "/", max_memory: 2_000_000)
  end

  test "answers of 204 and 304 have no body, whatever was printed" do
    cgi = fn text -> get(Answers.prints(text), "/", convention: :cgi) end

    for status <- [204, 304], body <- ["hi", String.duplicate("long ", 20_000)] do
      response = cgi.("Status: #{status}\nX-A: 1\n\n" <> body)
      assert %Response{status: ^status, body: "", error: nil, headers: [{"x-a", "1"}]} = response
    end
  end

  test "long answers are whole" do
    assert %Response{status: 200, body: body} = get(Answers.floods(100_000))
    assert body == String.duplicate("0123456789abcdef", 100_000)
    assert %Response{status: 500, body: ""} = get(Answers.floods(100_000, true))
  end

  test "settings: methods, body, environment, directories" do
    function =
      load("examples/faas/rustenv.wasm", methods: ["POST"], max_body: 3, env: %{"A" => "1"})

    assert %Response{status: 405, headers: [{"allow", "POST"} | _]} =
             HTTP.call(function, Request.new("GET", "/"))

    assert %Response{status: 413} = HTTP.call(function, Request.new("POST", "/", [], "1234"))

    assert %Response{status: 200, body: "A=1\n" <> _} =
             HTTP.call(function, Request.new("POST", "/", [], "123"))
  end

  test "requests of any bytes do no harm" do
    function = load("examples/faas/rustenv.wasm")
    cgi = load("examples/faas/cgi.wasm")

    for target <- ["/?%", "/?a=%zz&%00=1", "/?\xff=\xfe", "/%", "/%ff%00", "/?&&==&"],
        header <- ["ok", "\xff\xfe", "a\0b"],
        function <- [function, cgi] do
      response =
        HTTP.call(
          function,
          Request.new("POST", target, [{"X-A", header}, {"Host", header}], "[]")
        )

      assert response.status in [200, 201]
    end
  end

  test "files that are not functions have an error" do
    assert {:error, %Error{reason: :file}} = HTTP.load("no/such.wasm")
    assert {:error, %Error{reason: :not_a_program}} = HTTP.load("(module)")
    assert {:error, %Error{reason: :parse}} = HTTP.load("(module")

    assert {:error, %Error{reason: :missing_import}} =
             HTTP.load(~s|(module (import "a" "b" (func)) (func (export "_start")))|)

    assert_raise ArgumentError,
                 ~r/unknown option :timout in Wasmex.HTTP.load.2; did you mean :timeout/,
                 fn ->
                   HTTP.load("x", timout: 1)
                 end

    assert_raise ArgumentError, ~r/:timeout in Wasmex.HTTP.load/, fn ->
      HTTP.load("x", timeout: :infinity)
    end

    assert_raise ArgumentError, ~r/:convention in Wasmex.HTTP.load/, fn ->
      HTTP.load("x", convention: :wagi)
    end

    assert_raise ArgumentError, ~r/dirs/, fn -> HTTP.load("x", dirs: 5) end
  end
end
