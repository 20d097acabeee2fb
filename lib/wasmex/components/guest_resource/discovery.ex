defmodule Wasmex.Components.GuestResource.Discovery do
  @moduledoc """
  Finds the resources that a world exports, from WIT text.

  ## Example

      iex> wit = "package a:b; interface i { resource r { constructor(n: u8); get: func() -> u8; } } world w { export i; }"
      iex> {:ok, [info]} = Wasmex.Components.GuestResource.Discovery.from_wit(wit)
      iex> {info.constructor_path, Enum.map(info.functions, & &1.elixir_name)}
      {["a:b/i", "r"], ["constructor", "get"]}
  """

  alias Wasmex.Components.Discovery

  @doc "All resources. Options: `:path` (a label for messages) and `:world`."
  @spec from_wit(String.t(), keyword()) :: {:ok, [map()]} | {:error, String.t()}
  def from_wit(wit, opts \\ []) do
    source = {:text, Keyword.get(opts, :path, "wit"), wit}

    with {:ok, infos} <- Discovery.resources(source, :exports, opts),
         do: {:ok, Enum.map(infos, &with_path/1)}
  end

  defp with_path(info) do
    functions = Enum.map(info.functions, &Map.delete(&1, :canonical_name))

    info
    |> Map.put(:functions, functions)
    |> Map.put(:constructor_path, info.interface_path ++ [info.name])
  end

  @doc "The resource with this name, a string as in the WIT or an atom (`:my_counter` is `my-counter`)."
  @spec get_resource_from_wit(String.t(), String.t() | atom(), keyword()) ::
          {:ok, map()} | {:error, :not_found | String.t()}
  def get_resource_from_wit(wit, name, opts \\ []) do
    with {:ok, infos} <- from_wit(wit, opts) do
      case Enum.find(infos, &(&1.name == Discovery.wit_name(name))) do
        nil -> {:error, :not_found}
        info -> {:ok, info}
      end
    end
  end
end
