defmodule Wasmex.Build.Features do
  @moduledoc false
  # The parts of the native library to build: all, unless the project or the environment selects some.

  @all [:compiler, :components, :plugins, :wat]
  # As in native/wasmex/Cargo.toml.
  @requires %{plugins: [:compiler, :wat]}

  @doc "All features, in the order of names."
  @spec all() :: [atom()]
  def all, do: @all

  @doc "The selected features, from `WASMEX_FEATURES` or `config :wasmex, features:`, with those that they require."
  @spec selected(String.t() | nil, term()) :: {:ok, [atom()]} | {:error, String.t()}
  def selected(
        variable \\ System.get_env("WASMEX_FEATURES"),
        configured \\ Application.get_env(:wasmex, :features)
      )

  def selected(nil, nil), do: {:ok, @all}
  def selected(nil, names) when is_list(names), do: check(Enum.map(names, &name/1))
  def selected(nil, other), do: {:error, "features: must be a list, got: #{inspect(other)}"}
  def selected(variable, _), do: variable |> String.split([",", " "], trim: true) |> check()

  @doc "The arguments of cargo."
  @spec cargo([atom()]) :: [String.t()]
  def cargo(@all), do: []
  def cargo([]), do: ["--no-default-features"]
  def cargo(features), do: ["--no-default-features", "--features", Enum.join(features, ",")]

  @doc "What the names of archives with these features end with."
  @spec suffix([atom()]) :: String.t()
  def suffix(@all), do: ""
  def suffix([]), do: "-core"
  def suffix(features), do: "-" <> Enum.join(features, "-")

  defp check(names) do
    case names -- Enum.map(@all, &Atom.to_string/1) do
      [] ->
        chosen = Enum.filter(@all, &(Atom.to_string(&1) in names))
        required = Enum.flat_map(chosen, &Map.get(@requires, &1, []))
        {:ok, Enum.filter(@all, &(&1 in chosen or &1 in required))}

      unknown ->
        {:error,
         "unknown features: #{Enum.join(unknown, ", ")}; there are #{Enum.join(@all, ", ")}"}
    end
  end

  defp name(name) when is_atom(name), do: Atom.to_string(name)
  defp name(name), do: inspect(name)
end
