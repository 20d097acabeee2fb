defmodule @Name@ do
  @moduledoc """
  The program in `guests/@name@`.

      @Name@.run(["Ada"], stdin: "12345")
  """

  @doc "Runs it; options as of `Wasmex.run/3`. Nothing is granted by default."
  def run(args \\ [], opts \\ []), do: Wasmex.run(path(), args, opts)

  defp path, do: Application.app_dir(:@app@, "priv/guests/@name@.wasm")
end
