defmodule Wasmex.Wasi.WasiOptions do
  alias Wasmex.Options
  alias Wasmex.Options.WASI

  use Options,
    rows:
      WASI.store() ++ WASI.streams("the same") ++ WASI.granted() ++ WASI.network() ++ WASI.files()

  @moduledoc """
  WASI preview 1 options for the guests of a store. Nothing is granted by default.

  #{Options.Docs.table(@options)}

  ## Example

      iex> {:ok, stdout} = Wasmex.Pipe.new()
      iex> options = %Wasmex.Wasi.WasiOptions{args: ["prog", "-v"], env: %{"LANG" => "C"}, stdout: stdout}
      iex> {:ok, _store} = Wasmex.Store.new_wasi(options)
  """

  @type stdio :: Wasmex.Pipe.t() | :inherit | :null | nil

  @doc false
  @spec to_native!(t()) :: %{atom() => term()}
  def to_native!(%__MODULE__{} = options), do: Options.native!(options, @options)
end
