defmodule @Name@ do
  @moduledoc """
  The plug-in in `guests/@name@`.

      {:ok, plugin} = @Name@.new()
      Wasmex.Plugin.call(plugin, "greet", "Ada")
      #=> {:ok, "Hello, Ada!"}
  """

  @doc """
  Creates a plug-in. The options are those of `Wasmex.Plugin.new/2`. WASI, which Go needs, is on: it provides clocks and
  random numbers, no files, and discards output.
  """
  def new(opts \\ []), do: Wasmex.Plugin.new(path(), Keyword.merge([wasi: true], opts))

  defp path, do: Application.app_dir(:@app@, "priv/guests/@name@.wasm")
end
