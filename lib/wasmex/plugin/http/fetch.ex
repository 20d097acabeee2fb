defmodule Wasmex.Plugin.HTTP.Fetch do
  @moduledoc false
  # An HTTP request of the application itself. The native client performs it, see `wasi/http/fetch.rs`, and the calling
  # process waits for a message.

  alias Wasmex.{Error, Native}
  alias Wasmex.Call.Timeout
  alias Wasmex.Options.Type.Certificates

  @enforce_keys [:method, :url, :headers, :timeout, :most, :cacerts]
  defstruct @enforce_keys

  @doc """
  Returns the status and the body. Options: `:method`, `:headers` as `{name, value}`, `:timeout` in ms, `:most` bytes of the
  body, and `:cacerts` as PEM, nil for the system's.
  """
  @spec run(String.t(), keyword()) ::
          {:ok, {non_neg_integer(), binary()}} | {:error, String.t() | Exception.t()}
  def run(url, opts) do
    reference = make_ref()

    fetch = %__MODULE__{
      url: url,
      method: Keyword.get(opts, :method, "GET"),
      headers: Keyword.get(opts, :headers, []),
      timeout: opts |> Keyword.fetch!(:timeout) |> Timeout.capped(),
      most: Keyword.fetch!(opts, :most),
      cacerts: opts[:cacerts] && Certificates.native(opts[:cacerts])
    }

    case Native.http_fetch(reference, fetch) do
      :ok -> receive do: ({:wasmex_fetched, ^reference, result} -> result)
      {:error, text} when is_binary(text) -> {:error, text}
      {:error, native} -> {:error, Error.from_native(native)}
    end
  end
end
