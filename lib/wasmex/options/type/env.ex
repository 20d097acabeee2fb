defmodule Wasmex.Options.Type.Env do
  @moduledoc false
  # Environment variables: a map or a keyword list, converted to a map of strings.

  use Wasmex.Options.Type

  alias Wasmex.Utils

  @impl true
  def cast(env) when (is_map(env) and not is_struct(env)) or is_list(env) do
    Enum.reduce_while(env, {:ok, %{}}, fn pair, {:ok, env} ->
      case variable(pair) do
        {:error, _, _, _} = problem -> {:halt, problem}
        {name, value} -> {:cont, {:ok, Map.put(env, name, value)}}
      end
    end)
  rescue
    # An improper list.
    FunctionClauseError -> problem(env)
  end

  def cast(other), do: problem(other)

  defp variable({name, value}) when is_atom(name) and name != nil,
    do: variable({Atom.to_string(name), value})

  defp variable({name, value}) when is_binary(name) and is_binary(value) do
    cond do
      name == "" or Utils.byte?(name, ?=) ->
        {:error, "", "non-empty names without =", name}

      not Utils.text?(name) ->
        {:error, "", "strings of UTF-8 without NUL", name}

      not Utils.text?(value) ->
        {:error, ", variable #{inspect(name)}", "a string of UTF-8 without NUL", value}

      true ->
        {name, value}
    end
  end

  defp variable({name, value}) when is_binary(name),
    do: {:error, ", variable #{inspect(name)}", "a string", value}

  defp variable(other), do: {:error, "", "pairs of names and strings", other}

  defp problem(other), do: {:error, "", expected(), other}

  @impl true
  def expected, do: "a map of names and strings"

  @impl true
  def spec, do: quote(do: %{optional(String.t()) => String.t()} | keyword(String.t()))

  @impl true
  def example, do: ~s|%{"LANG" => "C"}|

  @impl true
  def native(env), do: Map.to_list(env)

  @impl true
  defdelegate parse(word), to: Wasmex.Options.Type.Pair

  @impl true
  def repeats?, do: true
end
