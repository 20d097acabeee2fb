defmodule Wasmex.Components.HTTP do
  @moduledoc """
  Outgoing HTTP requests of components (`wasi:http/outgoing-handler`).

  A guest may send requests when its store's `Wasmex.Wasi.WasiP2Options` say so: to any host
  (`allow_http: true`), or to those in `allowed_hosts:`. They are performed outside the guest, by a small
  process each, with OTP's `:httpc`; redirects are not followed (a guest that follows one asks again, and
  the new host is looked at). `http:` names a function that performs them instead:

      http: fn request -> {:ok, %{status: 200, headers: [{"x", "y"}], body: "hello"}} end

  `request` is a map of `:method`, `:url`, `:headers` (`[{name, value}]`) and `:body` (a binary). The answer is
  `{:ok, %{status:, headers:, body:}}` or `{:error, reason}`, where `:denied`, `:timeout`, `:refused`, `:dns` and
  `:too_large` become the error codes of `wasi:http`, and anything else an internal error. The function
  is asked only about hosts that are allowed; with `http:` alone all hosts are.

  Bodies of requests and responses are limited to `http_max_response:` bytes, and all of it to
  `http_timeout:` ms, or the guest's own time-outs where they are shorter.

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

  @doc "Whether a store with these options would send a request to this URL."
  @spec allowed?(WasiP2Options.t(), String.t()) :: boolean()
  def allowed?(%WasiP2Options{} = options, url) do
    case options |> WasiP2Options.validate!() |> Policy.rules() do
      nil -> false
      rules -> Policy.reachable?(rules, URI.parse(url))
    end
  end
end
