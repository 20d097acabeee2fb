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
  """

  alias Wasmex.Components.HTTP.Client
  alias Wasmex.Wasi.WasiP2Options

  @doc "Whether a store with these options would send a request to this URL."
  @spec allowed?(WasiP2Options.t(), String.t()) :: boolean()
  def allowed?(%WasiP2Options{} = options, url) do
    case rules(options) do
      nil -> false
      rules -> reachable?(rules, URI.parse(url))
    end
  end

  @doc false
  # What a store is given: the process that performs requests and its options, or nil.
  def client(%WasiP2Options{} = options) do
    function = function!(options.http)
    timeout = positive!(:http_timeout, options.http_timeout)
    max = positive!(:http_max_response, options.http_max_response)

    case rules(options) do
      nil ->
        nil

      rules ->
        {Client.whereis!(), %{rules: rules, function: function, timeout: timeout, max: max}}
    end
  end

  defp rules(%{allowed_hosts: nil, allow_http: true}), do: [{:any, "", nil}]
  defp rules(%{allowed_hosts: nil, allow_http: false, http: nil}), do: nil
  defp rules(%{allowed_hosts: nil, allow_http: false}), do: [{:any, "", nil}]

  defp rules(%{allowed_hosts: nil, allow_http: other}),
    do: WasiP2Options.fail(:allow_http, "a boolean", other)

  defp rules(%{allowed_hosts: hosts}), do: WasiP2Options.rules!(:allowed_hosts, hosts)

  defp function!(nil), do: nil
  defp function!(function) when is_function(function, 1), do: function
  defp function!(other), do: WasiP2Options.fail(:http, "a function of one argument", other)

  defp positive!(_field, n) when is_integer(n) and n > 0, do: n
  defp positive!(field, other), do: WasiP2Options.fail(field, "a positive integer", other)

  @doc false
  def reachable?(rules, %URI{scheme: scheme, host: host, port: port})
      when scheme in ["http", "https"] and is_binary(host) do
    host = host |> String.downcase() |> String.trim_trailing(".")

    Enum.any?(rules, fn {kind, text, wanted} ->
      (wanted == nil or wanted == port) and matches?(kind, String.downcase(text), host)
    end)
  end

  def reachable?(_rules, _uri), do: false

  defp matches?(:any, _text, _host), do: true
  defp matches?(:suffix, text, host), do: String.ends_with?(host, text) and host != text
  defp matches?(_ip_or_name, text, host), do: host == text
end
