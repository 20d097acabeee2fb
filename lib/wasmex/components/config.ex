defmodule Wasmex.Components.Config do
  @moduledoc """
  Configuration for components, `wasi:config/store@0.2.0-rc.1`, from a map.

      Wasmex.Components.start_link(path: "guest.wasm", imports: Wasmex.Components.Config.imports(%{"level" => "debug"}))

  ## Example

      iex> %{"wasi:config/store@0.2.0-rc.1" => %{"get" => {:fn, get}}} = Wasmex.Components.Config.imports(%{"level" => "debug"})
      iex> {get.("level"), get.("other")}
      {{:ok, {:some, "debug"}}, {:ok, :none}}

  Source: [wasi:config](https://github.com/WebAssembly/wasi-config).
  """

  @interface "wasi:config/store@0.2.0-rc.1"

  @doc "Imports that read from the map. A function without arguments is called for the map each time."
  @spec imports(%{String.t() => String.t()} | (() -> %{String.t() => String.t()})) :: map()
  def imports(config) when is_map(config) or is_function(config, 0) do
    %{
      @interface => %{
        "get" => {:fn, &get(config, &1)},
        "get-all" => {:fn, fn -> {:ok, Enum.to_list(values(config))} end}
      }
    }
  end

  defp get(config, key) do
    case values(config) do
      %{^key => value} -> {:ok, {:some, value}}
      _ -> {:ok, :none}
    end
  end

  defp values(config) when is_function(config), do: config.()
  defp values(config), do: config
end
