defmodule Wasmex.HTTP.Component do
  @moduledoc false
  # Components that export `wasi:http/incoming-handler`. The request is handed to the handler as it is; the
  # NIF writes the answer as a CGI program would print it (see http.rs).

  @behaviour Wasmex.HTTP.Convention

  alias Wasmex.HTTP.{CGI, Request}

  @impl true
  def imports(_name), do: %{}

  @impl true
  def input(_request), do: {[], %{}}

  @impl true
  def invoke(%Request{} = request) do
    authority = Request.header(request, "host") || request.host
    query = if request.query == "", do: "", else: "?" <> request.query
    path = if request.path == "", do: "/", else: request.path

    {:http,
     {request.method, request.scheme, "#{request.scheme}://#{authority}#{path}#{query}",
      headers(request)}}
  end

  # Of the connection, which ends here.
  @hop [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "proxy-connection"
  ]

  defp headers(request), do: Enum.reject(request.headers, fn {name, _} -> name in @hop end)

  @impl true
  defdelegate head(printed), to: CGI
end
