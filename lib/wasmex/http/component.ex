defmodule Wasmex.HTTP.Component do
  @moduledoc false
  # Components that export `wasi:http/incoming-handler`. The NIF writes the response in the format of a CGI program (see
  # component/http.rs).

  @behaviour Wasmex.HTTP.Convention

  alias Wasmex.{Components, Native, Pipe}
  alias Wasmex.HTTP.{CGI, Request}
  alias Wasmex.Program.Entry

  # A patch version follows.
  @handler "wasi:http/incoming-handler@0.2"

  @doc "Whether a compiled program is a component that handles requests."
  @spec handler?(term()) :: boolean()
  def handler?(%Components.Component{} = component),
    do: Components.Component.interface(component, @handler) != nil

  def handler?(_module), do: false

  @impl true
  def imports(_name), do: %{}

  @impl true
  def input(_request), do: {[], %{}}

  @impl true
  def entry(%Request{} = request) do
    head = head_of(request)
    %Entry{begin: &begin(head, &1, &2), wasi: &wasi/2}
  end

  defp begin(head, instance, {stdin, stdout}) do
    {nil,
     fn -> Native.component_handle_http(instance, head, body(stdin).resource, stdout.resource) end}
  end

  # A request without a body has an empty one.
  defp body(%Pipe{} = pipe), do: pipe

  defp body(:null) do
    {:ok, pipe} = Pipe.new(mode: :stream)
    Pipe.close(pipe)
    pipe
  end

  # Standard input and output of the session carry the bodies; output of the component is logged. The exchange counts the
  # output instead of the store, because the instance may outlive the request.
  defp wasi(options, {_stdin, _stdout, stderr}),
    do: {%{options | max_output: :infinity}, {:null, stderr, stderr}}

  defp head_of(request) do
    # A client may send an empty one (RFC 9110, section 7.2); a URL has none.
    authority =
      Enum.find(
        [Request.header(request, "host"), request.host],
        "localhost",
        &(&1 not in [nil, ""])
      )

    query = if request.query == "", do: "", else: "?" <> request.query
    path = if request.path == "", do: "/", else: request.path
    url = "#{request.scheme}://#{authority}#{path}#{query}"
    {request.method, request.scheme, url, headers(request)}
  end

  # Hop-by-hop fields.
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

  # The first field is the status, even if the component sets a field with the same name.
  @impl true
  def head(printed) do
    with {:ok, [{"status", status} | fields], rest} <- CGI.fields(printed) do
      case String.to_integer(status) do
        status when status in 200..599 -> {:head, status, CGI.passed(fields), rest}
        status -> {:error, "#{status} is not the status of a final response"}
      end
    end
  end
end
