defmodule Wasmex.Options.Snapshot do
  @moduledoc false
  # The option of functions that support snapshots.

  @doc "The row; its value is a list of options of `Wasmex.Snapshot.take/2`."
  @spec row() :: keyword(keyword())
  def row do
    [
      snapshot: [
        type: {:or, [nil], :keyword},
        default_doc: "none",
        doc: "start instances from a snapshot; the options of `Wasmex.Snapshot.take/2`",
        example: ~s|[init: "warm"]|
      ]
    ]
  end
end
