defmodule Wasmex.Options.Type.Invoke do
  @moduledoc false
  # A function and its parameters, or nil. Options of a module's function may follow, such as `returns:`.

  use Wasmex.Options.Type

  @impl true
  def cast(nil), do: {:ok, nil}
  def cast({name, params} = call) when is_binary(name) and is_list(params), do: {:ok, call}

  def cast({name, params, opts} = call) when is_binary(name) and is_list(params) do
    if Keyword.keyword?(opts), do: {:ok, call}, else: {:error, "", expected(), call}
  end

  def cast(other), do: {:error, "", expected(), other}

  @impl true
  def expected, do: "a function's name and its parameters"

  @impl true
  def spec, do: quote(do: {String.t(), [term()]} | {String.t(), [term()], keyword()} | nil)

  @impl true
  def example, do: ~s|{"add", [1, 2]}|
end
