defmodule Wasmex.HTTP.Server.HeadTest do
  use ExUnit.Case, async: true

  alias Wasmex.HTTP.Server.Head

  defp head(line, headers \\ [{"host", "x"}]) do
    with {:ok, request} <- Head.request_line(line), do: Head.new(request, headers)
  end

  test "a request line is three words with one space between" do
    assert {:ok, %Head{method: "GET", target: "/a?b", version: {1, 1}, keep?: true}} =
             head("GET /a?b HTTP/1.1")

    for line <- [
          "",
          "GET",
          "GET /",
          "GET  / HTTP/1.1",
          " GET / HTTP/1.1",
          "GET / HTTP/1.1 ",
          "GET\t/\tHTTP/1.1",
          "GET / http/1.1",
          "GET / HTTP/1.10",
          "GET / HTTP/1",
          "G(T / HTTP/1.1",
          "GET /a b HTTP/1.1",
          "GET /a#b HTTP/1.1",
          "GET a HTTP/1.1",
          "GET * HTTP/1.1",
          "GET //\x01 HTTP/1.1"
        ],
        do: assert({line, {:error, 400}} == {line, head(line)})

    for version <- ["2.0", "0.9", "3.0"],
        do: assert(head("GET / HTTP/#{version}") == {:error, 505})

    # Of the same major version it is treated as the highest known one.
    assert {:ok, %{version: {1, 1}, keep?: true}} = head("GET / HTTP/1.2")
    assert {:ok, %{version: {1, 1}}} = head("GET / HTTP/1.9")
    assert head("GET / HTTP/1.2", []) == {:error, 400}
    assert {:ok, %{target: "*"}} = head("OPTIONS * HTTP/1.1")
    assert head("OPTIONS ** HTTP/1.1") == {:error, 400}
    assert head("BREW / HTTP/1.1") == {:error, 501}
  end

  test "the authority of an absolute target stands for the host" do
    assert {:ok, head} = head("GET http://a.example:8080/b?c HTTP/1.1")
    assert {head.target, head.headers} == {"/b?c", [{"host", "a.example:8080"}]}
    assert {:ok, %{target: "/?c"}} = head("GET http://a?c HTTP/1.1")
    assert {:ok, %{target: "/"}} = head("GET HTTPS://a HTTP/1.1")

    for target <- ["http://", "http:///x", "http://u@a/", "ftp://a/", "a:80", "http://a b/"],
        do: assert({target, {:error, 400}} == {target, head("GET #{target} HTTP/1.1")})
  end

  test "one host, and one that is a host" do
    for host <-
          ["", "a!$&'()*+;=~"] ++
            ~w(x x:80 x: 127.0.0.1 [::1]:80 [::ffff:1.2.3.4] a_b.example a%41),
        do: assert({:ok, _} = head("GET / HTTP/1.1", [{"host", host}]))

    for host <-
          ~w(a/b a@b a:b [::1 ::1 a,b:c é % a%4 a%zz [] [:::] [::::::::] [1.2.3.4] [::1%25lo] [::1]a a\\b a"b) ++
            ["a b"],
        do: assert({host, {:error, 400}} == {host, head("GET / HTTP/1.1", [{"host", host}])})

    assert head("GET / HTTP/1.1", []) == {:error, 400}
    assert head("GET / HTTP/1.1", [{"host", "a"}, {"host", "a"}]) == {:error, 400}
    assert {:ok, %{keep?: false}} = head("GET / HTTP/1.0", [])
  end

  test "one length, or chunks" do
    length = fn fields -> head("POST / HTTP/1.1", [{"host", "x"} | fields]) end

    for {body, fields} <- [
          {0, []},
          {3, [{"content-length", "3"}]},
          {3, [{"content-length", "3"}, {"content-length", "3"}]},
          {:chunked, [{"transfer-encoding", "Chunked"}]}
        ],
        do: assert({:ok, %{body: ^body}} = length.(fields))

    for {status, fields} <- [
          {400, [{"content-length", ""}]},
          {400, [{"content-length", "+3"}]},
          {400, [{"content-length", "-0"}]},
          {400, [{"content-length", "3, 3"}]},
          {400, [{"content-length", "3"}, {"content-length", "4"}]},
          {400, [{"content-length", "0x3"}]},
          {400, [{"content-length", "3"}, {"transfer-encoding", "chunked"}]},
          {400, [{"transfer-encoding", "chunked"}, {"transfer-encoding", "chunked"}]},
          {400, [{"transfer-encoding", "chunked, chunked"}]},
          {400, [{"transfer-encoding", "chunked, identity"}]},
          {400, [{"transfer-encoding", "xchunked"}]},
          {400, [{"transfer-encoding", "\vchunked"}]},
          {501, [{"transfer-encoding", "gzip, chunked"}]},
          {501, [{"transfer-encoding", "gzip"}]}
        ],
        do: assert({fields, {:error, status}} == {fields, length.(fields)})
  end

  test "HTTP/1.0 has no codings, kept or not" do
    for more <- [[], [{"connection", "keep-alive"}]],
        do:
          assert(
            head("POST / HTTP/1.0", [{"transfer-encoding", "chunked"} | more]) == {:error, 400}
          )
  end

  test "fields whose name has an underscore are dropped" do
    fields = [{"host", "x"}, {"x_real_ip", "1.2.3.4"}, {"content_length", "5"}, {"x-a", "b"}]

    assert {:ok, %{headers: [{"host", "x"}, {"x-a", "b"}], body: 0}} =
             head("GET / HTTP/1.1", fields)
  end
end
