defmodule @Name@ do
  @moduledoc """
  The program in `guests/@name@`.

      @Name@.run(["Ada"], stdin: "12345")
  """

  @doc "Runs the program. The options are those of `Wasmex.run/3`; nothing is granted by default."
  def run(args \\ [], opts \\ []), do: Wasmex.run(path(), args, opts)

  defp path, do: Application.app_dir(:@app@, "priv/guests/@name@.wasm")
end
