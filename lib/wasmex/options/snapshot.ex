defmodule Wasmex.Options.Snapshot do
  @moduledoc false
  # The option of all that can begin in a snapshot.

  @doc "The row; its value are the options of `Wasmex.Snapshot.take/2`."
  @spec row() :: keyword(keyword())
  def row do
    [
      snapshot: [
        type: {:or, [nil], :keyword},
        default_doc: "none",
        doc: "instances begin in a snapshot; the options of `Wasmex.Snapshot.take/2`",
        example: ~s|[init: "warm"]|
      ]
    ]
  end
end
