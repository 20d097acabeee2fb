defmodule Wasmex.Components.HTTP do
  @moduledoc """
  Outgoing HTTP requests of components (`wasi:http/outgoing-handler`).

  `Wasmex.Wasi.WasiP2Options` grants requests, to any host (`allow_http: true`) or to those in `allowed_hosts:`. The library
  sends them with its own client (HTTP/1.1, TLS 1.2 and 1.3, certificates verified by webpki). It shares nothing with the
  application, and stores do not share connections. Bodies stream in both directions. A request ends with the guest's
  handles: dropping a future or a body closes the connection, and so does a trap, which aborts an unfinished request body.

  The addresses of a host name are checked after the lookup, see `Wasmex.Wasi.WasiP2Options`. Redirects are returned to the
  guest, which may send another request that is checked again. `http_redirects:` follows them instead.

  ## Limits

  | | limit | error in the guest |
  |---|---|---|
  | head of a response (including informational responses), trailers | 64 KiB, 100 fields | `HTTP-response-header-section-size`, `-trailer-section-size` |
  | head of a request, trailers | the same | `HTTP-request-header-section-size`, `-trailer-section-size` |
  | bodies | `http_max_request:`, `http_max_response:`, `http_max_total:` | `HTTP-request-body-size`, `HTTP-response-body-size` |
  | buffered bytes | 128 KiB of a request, 64 KiB of a response | |
  | concurrent requests of a store | `http_max_exchanges:`; further requests wait | `connection-limit-reached` after the connect timeout |
  | connections of all guests | 1,024, at most a quarter of the VM's file descriptors | the same |
  | time | `http_timeout:`, and the guest's own connect, first-byte and between-bytes timeouts | `connection-timeout`, `connection-read-timeout`, `HTTP-response-timeout` |

  Up to eight idle connections of a store are kept for ten seconds. Only idempotent requests without a body (such as `GET`)
  reuse them. If the server has closed the connection in the meantime, the request is sent again on a new one.

  ## A function as the client

  With `http:`, a function performs the requests. It runs in the process that called the guest, like imported functions:

      http: fn request -> {:ok, %{status: 200, headers: [{"x", "y"}], body: "hello"}} end

  `request` is a map with `:method`, `:url`, `:headers` (`[{name, value}]`) and `:body` (a binary). The function returns
  `{:ok, %{status:, headers:, body:}}` or `{:error, reason}`. The reasons `:denied`, `:timeout`, `:refused`, `:dns` and
  `:too_large` become error codes of `wasi:http`. For any other reason, or if the function raises, the guest only learns
  that the request failed. With `allowed_hosts:`, the function is only called for these hosts, otherwise for all.

  ## Example

      iex> options = %Wasmex.Wasi.WasiP2Options{allowed_hosts: ["*.example.com"]}
      iex> Wasmex.Components.HTTP.allowed?(options, "https://api.example.com/v1")
      true
      iex> Wasmex.Components.HTTP.allowed?(options, "https://example.org/")
      false

  ## Incoming requests

  `handle/3` passes a request to a component that exports `wasi:http/incoming-handler`, in this process. It creates a new
  instance for each request, or uses an existing one.

  `Wasmex.HTTP`, `Wasmex.HTTP.Server` and `Wasmex.Plug` serve such components like programs, with streamed bodies and
  limits. Each request gets a new instance, or with `reuse:` one that has handled requests before.
  """

  alias Wasmex.Components.HTTP.Policy
  alias Wasmex.Components.{Component, Instance}
  alias Wasmex.HTTP.{Function, Request, Response}
  alias Wasmex.Wasi.WasiP2Options

  @instance Wasmex.Options.table(
              Keyword.take(Wasmex.Options.HTTP.function(), [:timeout, :max_output]),
              "Wasmex.Components.HTTP.handle/3"
            )

  @doc """
  Handles a request. Always returns a response; failures are in its field `:error`.

  For a `Wasmex.Components.Component`, a new instance handles the request; the options are the settings of `Wasmex.HTTP`
  except `:reuse`. The result of `Wasmex.HTTP.load/2` has its settings already. A `Wasmex.Components.Instance` keeps its state
  between requests and uses the grants of its store; its options are `:timeout` (ms, 5,000 by default) and `:max_output`
  (bytes, 16 MiB by default).

      iex> {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), File.read!("test/guests/component_http/component_http.wasm"))
      iex> response = Wasmex.Components.HTTP.handle(component, Wasmex.HTTP.Request.new("GET", "/hello"))
      iex> {response.status, response.body}
      {200, "hello from a component"}
  """
  @spec handle(Component.t() | Wasmex.HTTP.loaded() | Instance.t(), Request.t(), keyword()) ::
          Response.t()
  def handle(handler, request, opts \\ [])

  def handle(%Instance{} = instance, %Request{} = request, opts) do
    opts = Wasmex.Options.new!(opts, @instance)
    instance |> Function.of_instance("component", opts) |> Wasmex.HTTP.call(request)
  end

  def handle(%Function{} = function, %Request{} = request, []),
    do: Wasmex.HTTP.call(function, request)

  def handle(%Function{}, %Request{}, opts) do
    Wasmex.Options.misuse!(
      "no options, because a loaded function has its settings from Wasmex.HTTP.load/2",
      opts
    )
  end

  def handle(%Component{} = component, %Request{} = request, opts) do
    settings = Function.settings!(opts, "Wasmex.Components.HTTP.handle")

    if Map.get(settings, :reuse, 0) != 0,
      do: raise(ArgumentError, "reuse: is only supported by Wasmex.HTTP.load/2")

    case Function.of(component, "component", settings) do
      {:ok, function} -> Wasmex.HTTP.call(function, request)
      {:error, error} -> %{Response.plain(500, "500 Internal Server Error") | error: error}
    end
  end

  @doc "Whether these options allow the host of the URL. Its addresses are checked later, when a request is sent."
  @spec allowed?(WasiP2Options.t(), String.t()) :: boolean()
  def allowed?(%WasiP2Options{} = options, url) do
    case options |> WasiP2Options.validate!() |> Policy.rules() do
      nil -> false
      rules -> Wasmex.Native.http_allowed(rules, url)
    end
  end
end
