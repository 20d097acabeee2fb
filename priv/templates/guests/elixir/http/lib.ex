defmodule @Name@ do
  @moduledoc """
  The HTTP function in `guests/@name@`. With Plug or Phoenix:

      children = [{Wasmex.Plug, name: @Name@, dir: @Name@.dir()}]
      forward "/functions", Wasmex.Plug, name: @Name@
  """

  @doc "The folder of the functions."
  def dir, do: Application.app_dir(:@app@, "priv/guests")

  @doc "The function itself, for `Wasmex.HTTP.call/2`."
  def load(opts \\ []), do: Wasmex.HTTP.load(Path.join(dir(), "@name@.wasm"), opts)
end
