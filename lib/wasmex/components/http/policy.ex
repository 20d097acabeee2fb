defmodule Wasmex.Components.HTTP.Policy do
  @moduledoc false
  # The options for outgoing requests, in the form that `wasi/http/options.rs` reads.

  alias Wasmex.Call.Timeout
  alias Wasmex.Options.Type.{Address, Certificates}
  alias Wasmex.Wasi.WasiP2Options

  defmodule Native do
    @moduledoc false
    defstruct [
      :rules,
      :cacerts,
      :timeout,
      :max_request,
      :max_response,
      :max_total,
      :exchanges,
      :redirects,
      :function
    ]
  end

  @doc "The native form of validated options; nil if requests are not allowed."
  @spec native!(WasiP2Options.t()) :: %__MODULE__.Native{} | nil
  def native!(%WasiP2Options{} = options) do
    if rules = rules(options) do
      %__MODULE__.Native{
        # A function without a list of hosts is called for all hosts.
        rules: if(options.http == nil or options.allowed_hosts != nil, do: rules),
        cacerts: options.http_cacerts && Certificates.native(options.http_cacerts),
        timeout: Timeout.capped(options.http_timeout),
        max_request: limit(options.http_max_request),
        max_response: limit(options.http_max_response),
        max_total: limit(options.http_max_total),
        exchanges: options.http_max_exchanges,
        redirects: options.http_redirects,
        function: options.http
      }
    end
  end

  @doc "The rules for allowed hosts; nil if none are allowed."
  @spec rules(WasiP2Options.t()) :: [Address.rule()] | nil
  def rules(%WasiP2Options{allowed_hosts: nil, allow_http: false, http: nil}), do: nil
  def rules(%WasiP2Options{allowed_hosts: nil}), do: [Address.native("*")]
  def rules(%WasiP2Options{allowed_hosts: hosts}), do: Enum.map(hosts, &Address.native/1)

  defp limit(:infinity), do: nil
  defp limit(bytes), do: bytes
end
