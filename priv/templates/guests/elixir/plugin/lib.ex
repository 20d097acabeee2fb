defmodule @Name@ do
  @moduledoc """
  The plug-in in `guests/@name@`.

      {:ok, plugin} = @Name@.new()
      Wasmex.Plugin.call(plugin, "greet", "Ada")
      #=> {:ok, "Hello, Ada!"}
  """

  @doc """
  Makes one; options as of `Wasmex.Plugin.new/2`. Of WASI, which Go needs, it has clocks and randomness; no files, and its
  output is discarded.
  """
  def new(opts \\ []), do: Wasmex.Plugin.new(path(), Keyword.merge([wasi: true], opts))

  defp path, do: Application.app_dir(:@app@, "priv/guests/@name@.wasm")
end
