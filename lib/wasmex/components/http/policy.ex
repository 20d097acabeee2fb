defmodule Wasmex.Components.HTTP.Policy do
  @moduledoc false
  # Whether, where and how a store's components may send requests: its options, as `wasi/http/options.rs` reads them.

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

  @doc "How a store's guests send requests, of options that were checked; nil when they may not."
  @spec native!(WasiP2Options.t()) :: %__MODULE__.Native{} | nil
  def native!(%WasiP2Options{} = options) do
    if rules = rules(options) do
      %__MODULE__.Native{
        # A function without a list of hosts is asked about all.
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

  @doc "The hosts that may be asked; nil when none may."
  @spec rules(WasiP2Options.t()) :: [Address.rule()] | nil
  def rules(%WasiP2Options{allowed_hosts: nil, allow_http: false, http: nil}), do: nil
  def rules(%WasiP2Options{allowed_hosts: nil}), do: [Address.native("*")]
  def rules(%WasiP2Options{allowed_hosts: hosts}), do: Enum.map(hosts, &Address.native/1)

  defp limit(:infinity), do: nil
  defp limit(bytes), do: bytes
end
