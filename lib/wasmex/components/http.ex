defmodule Wasmex.Components.HTTP do
  @moduledoc """
  Outgoing HTTP requests of components (`wasi:http/outgoing-handler`).

  A guest may send requests when its store's `Wasmex.Wasi.WasiP2Options` say so: to any host
  (`allow_http: true`), or to those in `allowed_hosts:`. The library sends them with a client of its own (HTTP/1.1, TLS 1.2 and
  1.3, certificates by the rules of webpki), which shares nothing with the application, nor one store's connections
  with another's. Bodies stream in both directions. A request ends with the guest's handles: a future or a body that is
  dropped closes the connection, and so does a guest that traps, which breaks off what it was sending.

  The addresses of a name are judged after it was looked up, see `Wasmex.Wasi.WasiP2Options`. Redirects are not followed
  (a guest that follows one asks again, and the new host is looked at), unless `http_redirects:` says how many.

  ## Limits

  | what | limit | the guest's error |
  |---|---|---|
  | the head of a response with those before it, trailers | 64 KiB, 100 fields | `HTTP-response-header-section-size`, `-trailer-section-size` |
  | the head of a request, its trailers | the same | `HTTP-request-header-section-size`, `-trailer-section-size` |
  | bodies | `http_max_request:`, `http_max_response:`, `http_max_total:` | `HTTP-request-body-size`, `HTTP-response-body-size` |
  | bytes on their way | 128 KiB of a request, 64 KiB of a response, whatever the bodies | |
  | exchanges of a store | `http_max_exchanges:`; more of them wait | `connection-limit-reached` after the connect timeout |
  | connections of all guests | 1,024, and a quarter of the files that the VM may open | the same |
  | time | `http_timeout:`, and the guest's own connect, first-byte and between-bytes timeouts | `connection-timeout`, `connection-read-timeout`, `HTTP-response-timeout` |

  Up to eight connections of a store wait ten seconds for another request. Only requests that may be sent twice use them,
  `GET` and the like without a body; they are sent again where the server has closed the connection meanwhile.

  ## A function instead

  `http:` names a function that performs the requests, in the process that called the guest, as it runs imports:

      http: fn request -> {:ok, %{status: 200, headers: [{"x", "y"}], body: "hello"}} end

  `request` is a map of `:method`, `:url`, `:headers` (`[{name, value}]`) and `:body` (a binary). The answer is
  `{:ok, %{status:, headers:, body:}}` or `{:error, reason}`, where `:denied`, `:timeout`, `:refused`, `:dns` and
  `:too_large` become the error codes of `wasi:http`. Of any other reason, and of a function that raises, the guest learns
  only that the request failed. The function is asked only about hosts in `allowed_hosts:`; without such a list about all.

  ## Example

      iex> options = %Wasmex.Wasi.WasiP2Options{allowed_hosts: ["*.example.com"]}
      iex> Wasmex.Components.HTTP.allowed?(options, "https://api.example.com/v1")
      true
      iex> Wasmex.Components.HTTP.allowed?(options, "https://example.org/")
      false

  ## Answering requests

  `handle/3` asks a component that exports `wasi:http/incoming-handler`, in this process, in a fresh instance for
  each request, or in an instance of yours.

  `Wasmex.HTTP` (and with it `Wasmex.HTTP.Server` and `Wasmex.Plug`) serves such components as it serves programs:
  with streamed bodies, limits, and a fresh instance per request or, with `reuse:`, one that has answered before.
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
  The answer to a request; always a response, see its `:error`.

  A `Wasmex.Components.Component` gets a fresh instance for the request, with the settings of `Wasmex.HTTP` (but `:reuse`)
  as options; what `Wasmex.HTTP.load/2` returns has its settings from there. A `Wasmex.Components.Instance` is asked as it is, and keeps
  its state from request to request: `:timeout` (ms, 5,000 by default) and `:max_output` (bytes, 16 MiB) are its
  options, and what it may do is up to its store.

      iex> {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), File.read!("test/guests/component_http/component_http.wasm"))
      iex> response = Wasmex.Components.HTTP.handle(component, Wasmex.HTTP.Request.new("GET", "/hello"))
      iex> {response.status, response.body}
      {200, "hello from a component"}
  """
  @spec handle(Component.t() | Function.t() | Instance.t(), Request.t(), keyword()) ::
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
      "no options: a function that is loaded has its settings from Wasmex.HTTP.load/2",
      opts
    )
  end

  def handle(%Component{} = component, %Request{} = request, opts) do
    settings = Function.settings!(opts, "Wasmex.Components.HTTP.handle")

    if Map.get(settings, :reuse, 0) != 0,
      do: raise(ArgumentError, "reuse: is for Wasmex.HTTP.load/2, whose function is asked again")

    case Function.of(component, "component", settings) do
      {:ok, function} -> Wasmex.HTTP.call(function, request)
      {:error, error} -> %{Response.plain(500, "500 Internal Server Error") | error: error}
    end
  end

  @doc "Whether a store with these options would look at the host of this URL at all. Its addresses are judged when it is asked."
  @spec allowed?(WasiP2Options.t(), String.t()) :: boolean()
  def allowed?(%WasiP2Options{} = options, url) do
    case options |> WasiP2Options.validate!() |> Policy.rules() do
      nil -> false
      rules -> Wasmex.Native.http_allowed(rules, url)
    end
  end
end
