defmodule Wasmex.PlugTest do
  use ExUnit.Case, async: true

  alias Wasmex.Answers

  @moduletag :capture_log

  @moduletag :tmp_dir

  setup %{tmp_dir: dir} do
    File.cp!("examples/faas/rustenv.wasm", Path.join(dir, "rustenv.wasm"))
    File.cp!("examples/faas/cgi.wasm", Path.join(dir, "cgi.wasm"))
    File.write!(Path.join(dir, "long.wat"), Answers.floods(100_000))
    File.write!(Path.join(dir, "endless.wat"), Answers.floods())
    File.write!(Path.join(dir, "breaks.wat"), Answers.floods(100_000, true))
    name = {:functions, dir}

    start_supervised!(
      {Wasmex.Plug, name: name, dir: dir, defaults: [max_output: 10_000_000_000, timeout: 60_000]}
    )

    {:ok, name: name, dir: dir}
  end

  defp conn(method, path, opts \\ []) do
    {body, opts} = Keyword.pop(opts, :body, [])
    struct!(Plug.Conn, [method: method, request_path: path, adapter: {body, self()}] ++ opts)
  end

  defp call(conn, name), do: Wasmex.Plug.call(conn, Wasmex.Plug.init(name: name))

  test "answers under the path it was forwarded", %{name: name} do
    conn = conn("GET", "/f/rustenv/a%20b", script_name: ["f"], query_string: "b=2&a=1")
    assert %{state: :sent, status: 200} = call(conn, name)
    assert_received {:resp, 200, headers, body}
    assert {"content-type", "text/plain; charset=utf-8"} in headers
    assert body =~ "http_path=/rustenv/a%20b\n" and body =~ "http_query=a=1&b=2\n"
    # Behind `forward` nobody else answers.
    assert %{halted: true} = call(conn("GET", "/f/nope", script_name: ["f"]), name)
    assert_received {:resp, 404, _, _}
    call(conn("GET", "/f", script_name: ["f"]), name)
    assert_received {:resp, 400, _, _}
  end

  test "an answer halts, and names that it does not know are passed on", %{name: name, dir: dir} do
    assert %{state: :sent, halted: true} = call(conn("GET", "/rustenv"), name)

    for path <- ["/nope", "/", "/..", "/a%20b/c"] do
      assert %{state: :unset, halted: false} = call(conn("GET", path), name)
    end

    for {unknown, state} <- [pass: :unset, not_found: :sent] do
      opts = Wasmex.Plug.init(name: name, unknown: unknown)
      assert %{state: ^state} = Wasmex.Plug.call(conn("GET", "/f/nope", script_name: ["f"]), opts)
      assert %{state: ^state} = Wasmex.Plug.call(conn("GET", "/nope"), opts)
    end

    # What is there and does not compile is known.
    File.write!(Path.join(dir, "broken.wat"), "(module")
    start_supervised!({Wasmex.Plug, name: :broken, dir: dir})
    assert %{status: 500, halted: true} = call(conn("GET", "/broken"), :broken)
  end

  test "the page's links and form stay inside the mount", %{dir: dir} do
    start_supervised!({Wasmex.Plug, name: :page, dir: dir, page: true})
    conn = conn("GET", "/f/x", script_name: ["f", "x"], req_headers: [{"accept", "text/html"}])
    assert %{status: 200} = call(conn, :page)
    assert_received {:resp, 200, _, page}
    assert page =~ ~s|href="/f/x/rustenv"| and page =~ ~s|action="/f/x/"|
    call(%{conn | req_headers: []}, :page)
    assert_received {:resp, 200, _, json}
    assert json =~ ~s|"/f/x/rustenv"|
  end

  test "streams the request's body, within its limits", %{name: name, dir: dir} do
    call(conn("POST", "/cgi", body: ["[1,", "2", ",3]"]), name)
    assert_received {:resp, 201, _, ~s|{"count":3,"sum":6}\n|}
    call(conn("POST", "/cgi", body: ["[1", {:error, :timeout}]), name)
    assert_received {:resp, 408, _, _}
    call(conn("POST", "/cgi", body: [{:error, :closed}]), name)
    assert_received {:resp, 400, _, _}

    start_supervised!(
      {Wasmex.Plug, name: :small, dir: dir, defaults: [max_body: 4, timeout: 60_000]}
    )

    call(conn("POST", "/cgi", body: ["[1,2,3", "]"]), :small)
    assert_received {:resp, 413, _, _}
    call(conn("POST", "/cgi", body: [], req_headers: [{"content-length", "5"}]), :small)
    assert_received {:resp, 413, _, _}
  end

  test "streams the answer; a client that goes away stops the guest", %{name: name} do
    assert %{state: :chunked} = call(conn("GET", "/long"), name)
    assert_received {:chunked, 200, _}
    assert_received {:chunk, <<"0123456789abcdef", _::binary>>}
    send(self(), :client_is_gone)
    assert %{state: :chunked} = call(conn("GET", "/endless"), name)
    # Half an answer ends the process, and so the connection.
    assert {:shutdown, _} = catch_exit(call(conn("GET", "/breaks"), name))
  end

  test "reads on while it streams the answer", %{dir: dir} do
    File.cp!("test/guests/component_http/component_http.wasm", Path.join(dir, "echo.wasm"))

    for reuse <- [0, 1] do
      start_supervised!(
        {Wasmex.Plug, name: {:echo, reuse}, dir: dir, defaults: [timeout: 60_000, reuse: reuse]}
      )

      body = for n <- 1..40, do: String.duplicate(<<n>>, 32_768)
      assert %{state: :chunked} = call(conn("POST", "/echo/echo", body: body), {:echo, reuse})
      assert_received {:chunked, 200, _}
      assert chunks([]) == IO.iodata_to_binary(body)
    end
  end

  defp chunks(read) do
    receive do
      {:chunk, bytes} -> chunks([read, bytes])
    after
      0 -> IO.iodata_to_binary(read)
    end
  end

  test "one function can have the whole path", %{dir: dir} do
    start_supervised!({Wasmex.Plug, name: :one, file: Path.join(dir, "rustenv.wasm")})
    call(conn("GET", "/any/path"), :one)
    assert_received {:resp, 200, _, body}
    assert body =~ "http_path=/any/path\n"
  end

  test "mistakes say what to do" do
    assert_raise ArgumentError, ~r/missing option :name in plug Wasmex.Plug/, fn ->
      Wasmex.Plug.init([])
    end

    assert_raise ArgumentError, ~r/to a supervisor/, fn -> call(conn("GET", "/x"), :nobody) end

    assert_raise ArgumentError, ~r/missing option :name in Wasmex.Plug/, fn ->
      Wasmex.Plug.child_spec(dir: ".")
    end

    assert_raise ArgumentError, ~r/missing option dir:/, fn ->
      Wasmex.Plug.child_spec(name: :x)
    end
  end
end
