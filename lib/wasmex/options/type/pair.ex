defmodule Wasmex.Options.Type.Pair do
  @moduledoc false
  # A name and a value, NAME=VALUE in a command line.

  use Wasmex.Options.Type

  @impl true
  def cast({name, text} = pair) when is_binary(name) and is_binary(text), do: {:ok, pair}
  def cast(other), do: {:error, "", expected(), other}

  @impl true
  def expected, do: "a name and a text"

  @impl true
  def spec, do: quote(do: {String.t(), String.t()})

  @impl true
  def example, do: ~s|{"lib", "lib.wasm"}|

  @impl true
  def parse(word) do
    case String.split(word, "=", parts: 2) do
      [<<_, _::binary>> = name, text] -> {:ok, {name, text}}
      _ -> {:error, "expected NAME=VALUE, got #{inspect(word)}"}
    end
  end
end
