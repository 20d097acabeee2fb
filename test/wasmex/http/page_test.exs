defmodule Wasmex.HTTP.PageTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Answers, Client}
  alias Wasmex.HTTP.Server

  @moduletag :capture_log

  @moduletag :tmp_dir

  setup %{tmp_dir: dir} do
    for file <- ["rustenv.wasm", "watenv.wat", "cgi.wasm"],
        do: File.cp!("examples/faas/#{file}", Path.join(dir, file))

    File.write!(Path.join(dir, "trap.wat"), Answers.traps())
    File.write!(Path.join(dir, "broken.wat"), "(module <script>")
    server = start_supervised!({Server, dir: dir, port: 0})
    {:ok, port: Server.port(server), dir: dir}
  end

  test "is JSON for programs", %{port: port} do
    assert {200, _, _} = Client.get(port, "/rustenv")
    assert {500, _, _} = Client.get(port, "/trap")
    assert {200, %{"content-type" => "application/json"}, json} = Client.get(port, "/")
    assert json =~ ~r/"name": "rustenv",\s+"p50_us": \d+,\s+"p99_us": \d+,\s+"requests": 1/
    assert json =~ ~s|"last_error": "wasm trap: wasm `unreachable` instruction executed"|
    assert json =~ ~s|"state": "broken"|
    assert {405, %{"allow" => "GET, HEAD"}, _} = Client.request(port, "POST", "/", [], "x")
  end

  test "is HTML for browsers, with nothing from elsewhere and nothing of a function's unescaped",
       %{port: port} do
    accept = [{"Accept", "text/html"}]

    assert {200, %{"content-type" => "text/html; charset=utf-8"} = headers, html} =
             Client.get(port, "/", accept)

    assert headers["content-security-policy"] =~ "default-src 'none'"
    refute html =~ "<script" or html =~ "src=" or html =~ "http://" or html =~ "https://"

    assert {200, _, html} =
             Client.get(
               port,
               "/?call=rustenv&target=/%3Fx=%3Cscript%3E&body=%3C/textarea%3E",
               accept
             )

    refute html =~ "<script"
    assert html =~ ~s|<h2 id="status">200 OK</h2>|

    assert {200, _, html} =
             Client.get(port, "/?call=cgi&method=POST&target=/&body=%5B1%2C2%5D", accept)

    assert html =~ "201 Created" and html =~ "x-count: 2"
    assert {200, _, html} = Client.get(port, "/?call=%3Cb%3E", accept)
    assert html =~ "There is no function &lt;b&gt;"
  end

  if Wasmex.Browser.find() do
    @tag timeout: :infinity
    test "shows the functions in a real browser, and what a call answered", %{
      port: port,
      dir: dir
    } do
      url = "http://127.0.0.1:#{port}/?call=watenv&method=GET&target=/%3Fa=1"
      dom = Wasmex.Browser.document(url, dir)

      assert dom =~ "<title>Functions</title>"
      assert dom =~ ~s|<a href="/watenv">watenv</a>|
      assert dom =~ ~s|<h2 id="status">200 OK</h2>|
      assert dom =~ "http_query=a=1"
      assert dom =~ ~s|<pre id="log">watenv was called; variables:|
    end
  else
    @tag skip: "there is no Chromium here (Debian: apt-get install chromium)"
    test "shows the functions in a real browser, and what a call answered"
  end
end
