defmodule Wasmex.Plugin.HTTP do
  @moduledoc """
  HTTP requests of plug-ins, and fetching modules from a URL.

  A plug-in may send requests to the hosts in `allowed_hosts`, which is empty by default. A pattern matches a host name, or an
  IP address as written in a URL. A host name may only resolve to public addresses, except `localhost`. To allow others, list
  their addresses too: `["db.internal", "10.0.*"]`. Link-local addresses and those of cloud metadata services must be listed
  one by one.

  At most 10 redirects are followed, each checked like the request itself. `max_http_response_bytes` limits the response body,
  which counts as memory of the plug-in while it is received. A request takes at most the remaining time of the call, and at
  most `http_timeout:`. The calling process waits, and no thread is blocked. If the call is stopped, its connection is closed.

  Certificates are verified with the system's root certificates, or with `http_cacerts:`. Each plug-in has its own
  connections, and shares no state with other plug-ins or with the application. The response is passed on as it was sent,
  whatever its status.

  ## A function instead

  The option `http:` of `Wasmex.Plugin.compile/2` is `true` (the default), `false` to disable requests, or a function that
  performs them. The function takes `%{method:, url:, headers:, body:}` and returns `{:ok, %{status:, headers:, body:}}`, the
  map alone, or `{:error, reason}`. It is called for the hosts in `allowed_hosts` only. It also handles redirects.

  ## Modules

  The URL of a module may have any host, and redirects to public addresses are followed. A module has at most 256 MiB. By
  default it is compiled in a separate operating system process, see `compile:`. An artefact of `mix wasmex.compile` is machine
  code, so it is only accepted with a `hash`.
  """

  alias Wasmex.Error
  alias Wasmex.Options.Type.Certificates
  alias Wasmex.Plugin.HTTP.Fetch
  alias Wasmex.Plugin.Manifest

  @type request :: %{
          method: String.t(),
          url: String.t(),
          headers: [{String.t(), String.t()}],
          body: binary()
        }
  @type handler :: boolean() | (request() -> term())

  # The maximum size of a fetched module.
  @largest 256 * 1024 * 1024

  @doc false
  # Called by the native side, which has checked the host, if the native client does not send requests.
  @spec import(handler()) :: function()
  def import(handler) when is_boolean(handler) do
    fn _context, _request ->
      {:error, "HTTP is not available to this plug-in: it was compiled with http: false"}
    end
  end

  def import(handler) do
    fn _context, {method, url, headers, body} ->
      %{method: method, url: url, headers: headers, body: body} |> handler.() |> response()
    end
  end

  @doc false
  # From validated options, for `plugin/requests.rs`.
  @spec sending(map()) :: {boolean(), pos_integer(), [binary()] | nil}
  def sending(%{http: http, http_timeout: timeout, http_cacerts: pem}),
    do: {http == true, timeout, pem && Certificates.native(pem)}

  defp response({:ok, response}), do: response(response)

  defp response(%{status: status} = response) when status in 0..999 do
    headers =
      for {name, value} <- response[:headers] || [], do: {to_string(name), to_string(value)}

    {:ok, {status, headers, IO.iodata_to_binary(response[:body] || "")}}
  end

  defp response({:error, %{__exception__: true} = error}), do: {:error, Exception.message(error)}
  defp response({:error, text}) when is_binary(text), do: {:error, text}
  defp response({:error, reason}), do: {:error, inspect(reason)}

  defp response(other) do
    raise ArgumentError,
          "http: must return {:ok, %{status: 200, headers: [], body: \"\"}} or {:error, reason}, got: " <>
            inspect(other, limit: 5)
  end

  @doc false
  # Fetches a module. Options: `:method`, `:headers`, and `:http_timeout` and `:http_cacerts` of `compile/2`.
  @spec fetch(String.t(), keyword()) :: {:ok, binary()} | {:error, Error.t()}
  def fetch(url, opts) do
    opts = [
      method: Keyword.get(opts, :method, "GET"),
      headers: Map.to_list(Keyword.get(opts, :headers, %{})),
      timeout: Keyword.fetch!(opts, :http_timeout),
      cacerts: opts[:http_cacerts],
      most: @largest
    ]

    case Fetch.run(url, opts) do
      {:ok, {200, body}} -> {:ok, body}
      {:ok, {status, _body}} -> Manifest.error("cannot fetch #{url}: HTTP status #{status}")
      {:error, text} when is_binary(text) -> Manifest.error("cannot fetch #{url}: #{text}")
      error -> error
    end
  end
end
