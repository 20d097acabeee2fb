defmodule Wasmex.Plugin.Settings do
  @moduledoc false
  # The settings of a plug-in for the native side, read by `plugin/state.rs`.

  alias Wasmex.Plugin.{Log, Manifest}

  @enforce_keys [
    :config,
    :max_pages,
    :max_var_bytes,
    :max_http_response_bytes,
    :allowed_hosts,
    :http_response_headers,
    :log_level
  ]
  defstruct @enforce_keys

  @type t :: %__MODULE__{}

  @doc "Creates settings from a manifest and the options of `Wasmex.Plugin.new/2`."
  @spec new(Manifest.t(), map()) :: t()
  def new(%Manifest{} = manifest, options) do
    %__MODULE__{
      config: Map.merge(manifest.config, options.config),
      max_pages: manifest.memory.max_pages,
      max_var_bytes: manifest.memory.max_var_bytes,
      max_http_response_bytes: manifest.memory.max_http_response_bytes,
      allowed_hosts: manifest.allowed_hosts,
      http_response_headers: options.http_response_headers,
      log_level: Log.number(options.log_level)
    }
  end
end
