defmodule Wasmex.Components.HostResource.Discovery do
  @moduledoc """
  Finds the resources that a world imports, from WIT text, a file or a folder.

  ## Example

      iex> wit = "package a:b; interface i { resource r { constructor(n: u8); get: func() -> u8; } } world w { import i; }"
      iex> {:ok, info} = Wasmex.Components.HostResource.Discovery.get_resource_from_wit(wit, "r")
      iex> Enum.map(info.functions, & &1.canonical_name)
      ["[constructor]r", "[method]r.get"]
  """

  alias Wasmex.Components.Discovery

  @doc "All resources. Options: `:path` (a label for messages) and `:world`."
  @spec from_wit(String.t(), keyword()) :: {:ok, [map()]} | {:error, String.t()}
  def from_wit(wit, opts \\ []),
    do: Discovery.resources({:text, Keyword.get(opts, :path, "wit"), wit}, :imports, opts)

  @doc "Like `from_wit/2`, for a WIT file or a folder with its `deps/`."
  @spec from_path(Path.t(), keyword()) :: {:ok, [map()]} | {:error, String.t()}
  def from_path(path, opts \\ []), do: Discovery.resources({:path, path}, :imports, opts)

  @doc "The resource with this name. `:interface` selects among resources with the same name."
  @spec get_resource_from_wit(String.t(), String.t() | atom(), keyword()) ::
          {:ok, map()} | {:error, :not_found | String.t()}
  def get_resource_from_wit(wit, name, opts \\ []),
    do: wit |> from_wit(opts) |> find(name, opts[:interface])

  @doc "Like `get_resource_from_wit/3`, for a file or folder."
  @spec get_resource_from_path(Path.t(), String.t() | atom(), keyword()) ::
          {:ok, map()} | {:error, :not_found | String.t()}
  def get_resource_from_path(path, name, opts \\ []),
    do: path |> from_path(opts) |> find(name, opts[:interface])

  defp find({:error, _} = error, _name, _interface), do: error

  defp find({:ok, infos}, name, interface) do
    case Enum.filter(infos, &(&1.name == Discovery.wit_name(name) and of?(&1, interface))) do
      [] -> {:error, :not_found}
      [info] -> {:ok, info}
      _ -> {:error, "Multiple imported resources are named `#{name}`; pass the :interface option"}
    end
  end

  defp of?(_info, nil), do: true
  defp of?(info, interface), do: interface in [info.interface | info.interface_path]
end
