defmodule Wasmex.HTTP.Page do
  @moduledoc false
  # `GET /`: the functions with their statistics, as HTML for browsers and JSON otherwise, and a form to call a function. The
  # page has no scripts and no external assets.

  import Wasmex.Utils, only: [escape: 1]

  alias Wasmex.{JSON, Quantity}
  alias Wasmex.HTTP.{Folder, Request, Response, Stats}

  @spec response(Wasmex.HTTP.Service.t(), Wasmex.HTTP.Request.t()) :: Wasmex.HTTP.Response.t()
  def response(service, request) do
    cond do
      request.method not in ["GET", "HEAD"] ->
        not_allowed()

      html?(request) ->
        html(page(service, request))

      true ->
        json(JSON.encode(%{functions: Enum.map(functions(service), &Map.delete(&1, :function))}))
    end
  end

  defp not_allowed do
    response = Response.plain(405, "405 Method Not Allowed")
    %{response | headers: [{"allow", "GET, HEAD"} | response.headers]}
  end

  defp html?(request), do: (Request.header(request, "accept") || "") =~ "text/html"

  @policy "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"

  defp html(body) do
    headers = [
      {"content-type", "text/html; charset=utf-8"},
      {"content-security-policy", @policy},
      {"cache-control", "no-store"}
    ]

    %Response{status: 200, headers: headers, body: body}
  end

  defp json(body),
    do: %Response{
      status: 200,
      headers: [{"content-type", "application/json"}],
      body: body <> "\n"
    }

  defp functions(service) do
    for {name, found, error} <- Folder.list(service.table) do
      function = with {:ok, function} <- found, do: function
      stats = Stats.read(service.stats, name)

      %{
        name: name,
        url: "/" <> name,
        convention: if(is_struct(function), do: function.convention),
        size: if(is_struct(function), do: function.size),
        state: state(found),
        load_error: error,
        requests: stats.requests,
        errors: stats.errors,
        p50_us: stats.p50,
        p99_us: stats.p99,
        last_error: stats.last_error,
        function: if(is_struct(function), do: function)
      }
    end
  end

  defp state({:ok, _}), do: "serving"
  defp state({:broken, _}), do: "broken"
  defp state(:refused), do: "refused"

  defp page(service, request) do
    functions = functions(service)
    asked = URI.decode_query(request.query)

    IO.iodata_to_binary([
      """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><title>Functions</title>
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <style>
        body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #223 }
        table { border-collapse: collapse; width: 100% }
        th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #dde }
        td.n { text-align: right; font-variant-numeric: tabular-nums }
        pre { background: #f4f4f8; padding: .8rem; overflow: auto }
        input, select, textarea, button { font: inherit; padding: .2rem .5rem }
        .bad { color: #a22 } form { margin: 2rem 0 1rem }
      </style></head><body>
      <h1>Functions</h1>
      <table id="functions"><thead><tr><th>name</th><th>kind</th><th>size</th><th>requests</th><th>errors</th>
      <th>p50</th><th>p99</th><th>last error</th></tr></thead><tbody>
      """,
      Enum.map(functions, &row/1),
      "</tbody></table>\n",
      form(functions, asked),
      called(functions, asked, request),
      "</body></html>\n"
    ])
  end

  defp row(function) do
    name = escape(function.name)
    trouble = function.load_error || function.last_error

    [
      ~s|<tr><td><a href="#{name}">#{name}</a></td><td>#{function.convention || function.state}</td>|,
      ~s|<td class="n">#{function.size && Quantity.bytes(function.size)}</td>|,
      ~s|<td class="n">#{function.requests}</td><td class="n">#{function.errors}</td>|,
      ~s|<td class="n">#{time(function.p50_us)}</td><td class="n">#{time(function.p99_us)}</td>|,
      ~s|<td class="bad">#{trouble |> to_string() |> String.slice(0, 200) |> escape()}</td></tr>\n|
    ]
  end

  defp time(nil), do: ""
  defp time(us), do: Quantity.time(us)

  defp form(functions, asked) do
    options =
      for %{name: name, function: function} <- functions, function != nil do
        selected = if asked["call"] == name, do: " selected"
        ~s|<option#{selected}>#{escape(name)}</option>|
      end

    method = asked["method"] || "GET"

    methods =
      for name <- ~w(GET POST PUT DELETE),
          do: ~s|<option#{if name == method, do: " selected"}>#{name}</option>|

    """
    <form method="get" action="/">
      <select name="call">#{options}</select>
      <select name="method">#{methods}</select>
      <input name="target" size="40" value="#{escape(asked["target"] || "/?foo=bar&id=1234")}">
      <input name="type" size="24" value="#{escape(asked["type"] || "text/plain")}">
      <button>call</button><br>
      <textarea name="body" rows="3" cols="80">#{escape(asked["body"] || "")}</textarea>
    </form>
    """
  end

  # A manual call bypasses the gate and the statistics. The limits of the function apply.
  defp called(functions, %{"call" => name} = asked, request) do
    case Enum.find(functions, &(&1.name == name)) do
      %{function: function} when function != nil ->
        inner = inner(asked, name, request)
        response = Wasmex.HTTP.refuse(function, inner) || Wasmex.HTTP.call(function, inner)
        show(response)

      _ ->
        ~s|<p class="bad">there is no function #{escape(name)}</p>|
    end
  end

  defp called(_functions, _asked, _request), do: []

  defp inner(asked, name, request) do
    headers = [{"host", request.host}, {"content-type", asked["type"] || "text/plain"}]

    inner =
      Request.new(asked["method"] || "GET", asked["target"] || "/", headers, asked["body"] || "")

    %{inner | script_name: "/" <> name, remote_addr: request.remote_addr}
  end

  defp show(response) do
    headers = Enum.map_join(response.headers, "\n", fn {name, value} -> "#{name}: #{value}" end)
    log = Enum.join(response.log, "\n")
    error = if response.error, do: "\n" <> Exception.message(response.error)
    body = if String.valid?(response.body), do: response.body, else: inspect(response.body)

    """
    <h2 id="status">#{response.status} #{Response.reason(response.status)}</h2>
    <p>in #{Quantity.time(response.duration)}<span class="bad">#{escape(error || "")}</span></p>
    <h3>headers</h3><pre id="headers">#{escape(headers)}</pre>
    <h3>body</h3><pre id="body">#{body |> String.slice(0, 100_000) |> escape()}</pre>
    <h3>log</h3><pre id="log">#{escape(log)}</pre>
    """
  end
end
