defmodule Wasmex.Components.HTTP.Policy do
  @moduledoc false
  # Which hosts a store's components may send requests to.

  alias Wasmex.Options.Type.Address
  alias Wasmex.Wasi.WasiP2Options

  @typedoc "`{kind, text, port | nil}`, see `Wasmex.Options.Type.Address`."
  @type rule :: {:any | :ip | :name | :suffix, String.t(), :inet.port_number() | nil}

  @doc "The rules of options that were checked; nil where they grant no requests at all."
  @spec rules(WasiP2Options.t()) :: [rule()] | nil
  def rules(%{allowed_hosts: nil, allow_http: false, http: nil}), do: nil
  def rules(%{allowed_hosts: nil}), do: [{:any, "", nil}]
  def rules(%{allowed_hosts: hosts}), do: Enum.map(hosts, &Address.native/1)

  @doc "Whether a request to this URL is granted."
  @spec reachable?([rule()], URI.t()) :: boolean()
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
