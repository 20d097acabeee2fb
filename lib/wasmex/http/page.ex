defmodule Wasmex.HTTP.Page do
  @moduledoc false
  # `GET /`: the functions with their statistics, as HTML for browsers and JSON otherwise, and a form to call a function. The
  # page has no scripts and no external assets.

  import Wasmex.Utils, only: [escape: 1]

  alias Wasmex.{JSON, Quantity}
  alias Wasmex.HTTP.{Folder, Request, Response, Stats, Versions}

  @spec response(Wasmex.HTTP.Service.t(), Wasmex.HTTP.Request.t()) :: Wasmex.HTTP.Response.t()
  def response(service, request) do
    cond do
      request.method not in ["GET", "HEAD"] ->
        not_allowed()

      html?(request) ->
        html(page(service, request))

      true ->
        functions =
          for function <- functions(service, request), do: Map.delete(function, :function)

        json(JSON.encode(Map.merge(%{functions: functions}, nodes(service))))
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

  defp functions(service, request) do
    for {name, found, error} <- Folder.list(service.table) do
      function = with {:ok, function} <- found, do: function
      stats = Stats.read(service.stats, name)

      %{
        name: name,
        url: request.mount <> "/" <> name,
        convention: if(is_struct(function), do: function.convention),
        size: if(is_struct(function), do: function.size),
        state: state(found),
        load_error: error,
        versions: Versions.list(service.scope, name),
        requests: stats.requests,
        errors: stats.errors,
        p50_us: stats.p50,
        p99_us: stats.p99,
        last_error: stats.last_error,
        function: current(service, name, function)
      }
    end
  end

  # For a cluster: the last heartbeat of each node.
  defp nodes(%{scope: :cluster}) do
    nodes =
      for {node, known} <- Enum.sort(Wasmex.Cluster.info()) do
        %{
          name: Atom.to_string(node),
          here: node == node(),
          load: Float.round(known.load / 1, 2),
          delay_us: known.delay,
          versions:
            for({name, version} <- Enum.sort(known.names), into: %{}, do: {called(name), version})
        }
      end

    %{nodes: nodes}
  end

  defp nodes(_service), do: %{}

  defp called({:http, :cluster, function}), do: function
  defp called(name) when is_binary(name), do: name
  defp called(name), do: inspect(name)

  defp cluster(%{nodes: nodes}) do
    rows =
      for node <- nodes do
        versions = Enum.map_join(node.versions, ", ", fn {name, n} -> "#{name} #{n}" end)

        cells = [
          {"Node", "", escape(node.name) <> if(node.here, do: " (this one)", else: "")},
          {"Load", "n", :erlang.float_to_binary(node.load, decimals: 2)},
          {"Delay", "n", time(if(node.delay_us > 0, do: node.delay_us))},
          {"Functions and versions", "", escape(versions)}
        ]

        for {title, class, content} <- cells,
            do: ~s|<td data-label="#{title}" class="#{class}">#{content}</td>|
      end

    """
    <h2>Nodes</h2>
    <table id="nodes"><thead><tr><th>Node</th><th class="n">Load</th><th class="n">Delay</th><th>Functions and versions</th></tr></thead>
    <tbody>#{for row <- rows, do: ["<tr>", row, "</tr>\n"]}</tbody></table>
    <p class="faint">Load: running and runnable processes per scheduler. Delay: latency beyond the work.</p>
    """
  end

  defp cluster(_none), do: []

  defp current(service, name, function) do
    case Versions.find(service.scope, name) do
      {:ok, function, _counted} -> function
      :error -> if is_struct(function), do: function
    end
  end

  defp state({:ok, _}), do: "serving"
  defp state({:broken, _}), do: "broken"
  defp state(:refused), do: "refused"

  defp page(service, request) do
    functions = functions(service, request)
    asked = URI.decode_query(request.query)

    IO.iodata_to_binary([
      """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><title>Functions</title>
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <style>
        :root { color-scheme: light dark; --text: #1c2030; --faint: #596080; --line: #d9dce8; --panel: #f4f5fa; --bad: #b3261e; --link: #2a4bd0 }
        @media (prefers-color-scheme: dark) {
          :root { --text: #e4e6f0; --faint: #9aa2c0; --line: #353b52; --panel: #1d2130; --bad: #ff8a80; --link: #9db4ff }
          body { background: #12141d }
        }
        * { box-sizing: border-box }
        body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; color: var(--text) }
        a { color: var(--link); overflow-wrap: anywhere } h1 { font-size: 1.5rem; margin: 0 0 1rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
        table { border-collapse: collapse; width: 100% }
        th, td { text-align: left; padding: .45rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top }
        th { color: var(--faint); font-weight: 600; font-size: .85rem } th:first-child { width: 40% }
        .failed td { border-bottom: 0; padding-bottom: 0 } .trouble td { padding-top: 0; font-size: .9rem }
        th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
        pre { background: var(--panel); padding: .8rem; border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 }
        form { display: grid; grid-template-columns: 12rem 8rem 1fr; gap: .6rem .8rem }
        label { display: grid; gap: .2rem; color: var(--faint); font-size: .85rem; min-width: 0 }
        .wide { grid-column: 1 / -1 }
        input, select, textarea, button { font: inherit; padding: .45rem .6rem; color: var(--text); background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; width: 100%; min-width: 0 }
        button { width: auto; justify-self: start; padding-inline: 1.4rem; cursor: pointer }
        .bad { color: var(--bad); overflow-wrap: anywhere } .faint { color: var(--faint) }
        @media (max-width: 40rem) {
          thead { display: none }
          tr { display: block; border-bottom: 1px solid var(--line); padding: .6rem 0 }
          .failed { border-bottom: 0; padding-bottom: 0 } .trouble { padding-top: 0 }
          td, td.n { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem 0; text-align: right; white-space: normal }
          td.bad { display: block; text-align: left }
          td::before { content: attr(data-label); color: var(--faint); text-align: left; white-space: nowrap }
          td:empty { display: none } td:first-child { text-align: left } td:first-child::before { content: none } a { font-size: 1.1rem }
          form { grid-template-columns: 1fr 1fr } form > label:nth-child(n+3) { grid-column: 1 / -1 }
        }
      </style></head><body>
      <h1>Functions</h1>
      """,
      list(functions),
      cluster(nodes(service)),
      form(functions, asked, request),
      called(functions, asked, request),
      "</body></html>\n"
    ])
  end

  defp list([]),
    do: ~s|<p class="faint">There are none yet: put a .wasm file into the folder.</p>\n|

  @columns [
    {"Name", ""},
    {"Kind", ""},
    {"Version", "n"},
    {"Size", "n"},
    {"Requests", "n"},
    {"Errors", "n"},
    {"Median", "n"},
    {"99th percentile", "n"}
  ]

  defp list(functions) do
    [
      ~s|<table id="functions"><thead><tr>|,
      for(
        {title, class} <- @columns,
        do: ~s|<th class="#{class}">#{title}</th>|
      ),
      "</tr></thead><tbody>\n",
      Enum.map(functions, &row/1),
      "</tbody></table>\n"
    ]
  end

  defp row(function) do
    trouble = function.load_error || function.last_error

    cells = [
      ~s|<a href="#{escape(function.url)}">#{escape(function.name)}</a>|,
      function.convention || function.state,
      Enum.map_join(function.versions, ", ", &version/1),
      function.size && Quantity.bytes(function.size),
      function.requests,
      function.errors,
      time(function.p50_us),
      time(function.p99_us)
    ]

    # Labels are shown beside the values if the screen is too narrow for a table.
    cells =
      for {{title, class}, content} <- Enum.zip(@columns, cells),
          do: ~s|<td data-label="#{title}" class="#{class}">#{content}</td>|

    [~s|<tr#{if trouble, do: ~s( class="failed")}>|, cells, "</tr>\n", trouble(trouble)]
  end

  # In a row of its own: beside the numbers it would be a column of one word.
  defp trouble(nil), do: []

  defp trouble(text) do
    text = text |> String.slice(0, 200) |> escape()

    ~s|<tr class="trouble"><td class="bad" colspan="#{length(@columns)}">Last error: #{text}</td></tr>\n|
  end

  defp version(%{percent: 100, version: number}), do: "#{number}"
  defp version(%{percent: percent, version: number}), do: "#{number} (#{percent} %)"

  defp time(nil), do: ""
  defp time(us), do: Quantity.time(us)

  @methods ~w(GET POST PUT PATCH DELETE HEAD OPTIONS)

  defp form([], _asked, _request), do: []

  defp form(functions, asked, request) do
    options =
      for %{name: name, function: function} <- functions, function != nil do
        selected = if asked["call"] == name, do: " selected"
        ~s|<option#{selected}>#{escape(name)}</option>|
      end

    method = asked["method"] || "GET"

    methods =
      for name <- @methods,
          do: ~s|<option#{if name == method, do: " selected"}>#{name}</option>|

    """
    <h2>Try one</h2>
    <form method="get" action="#{escape(request.mount)}/">
      <label>Function <select name="call">#{options}</select></label>
      <label>Method <select name="method">#{methods}</select></label>
      <label>Path and query <input name="target" value="#{escape(asked["target"] || "/?foo=bar&id=1234")}"></label>
      <label class="wide">Content type of the body <input name="type" value="#{escape(asked["type"] || "text/plain")}"></label>
      <label class="wide">Body <textarea name="body" rows="3">#{escape(asked["body"] || "")}</textarea></label>
      <button>Send</button>
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
        ~s|<p class="bad">There is no function #{escape(name)}.</p>|
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
    #{part("Headers", "headers", headers)}#{part("Body", "body", String.slice(body, 0, 100_000))}#{part("Log", "log", log)}
    """
  end

  defp part(_title, _id, ""), do: ""
  defp part(title, id, text), do: ~s|<h2>#{title}</h2><pre id="#{id}">#{escape(text)}</pre>\n|
end
