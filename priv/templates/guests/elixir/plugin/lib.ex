defmodule @Name@ do
  @moduledoc """
  The plug-in in `guests/@name@`.

      {:ok, plugin} = @Name@.new()
      Wasmex.Plugin.call(plugin, "greet", "Ada")
      #=> {:ok, "Hello, Ada!"}
  """

  @doc "Makes one; options as of `Wasmex.Plugin.new/2`."
  def new(opts \\ []),
    do: Wasmex.Plugin.new(Application.app_dir(:@app@, "priv/guests/@name@.wasm"), opts)
end
