defmodule Wasmex.Wat do
  @moduledoc """
  The text format of WebAssembly (core specification, chapter 6).

  ## Example

      iex> {:ok, wasm} = Wasmex.Wat.to_wasm("(module)")
      iex> wasm
      <<0, 97, 115, 109, 1, 0, 0, 0>>
  """

  alias Wasmex.{Error, Native}

  @doc "Turns text into wasm bytes; modules and components."
  @spec to_wasm(binary()) :: {:ok, binary()} | {:error, String.t()}
  def to_wasm(text) when is_binary(text) do
    case Native.wat_to_wasm(text) do
      {:ok, wasm} -> {:ok, wasm}
      {:error, {:parse, %{message: message}}} -> {:error, "Failed to parse WAT: #{message}"}
      {:error, native} -> {:error, native |> Error.from_native() |> Exception.message()}
    end
  end
end
