defmodule Wasmex.Options.Store do
  @moduledoc false
  # Limits for the guests of one store: the fields of `Wasmex.StoreLimits`.

  @doc "The rows."
  @spec rows() :: keyword(keyword())
  def rows do
    [
      memory_size: [
        type: {:or, [nil], :bytes},
        default_doc: "4 GiB, or half of the machine's memory if that is less",
        doc:
          "all memories of the store together, and its heap of garbage-collected objects. All tables together may have the same size, at 24 bytes an element, at least 3 MiB and by default at most 1 GiB; so may all terms that guests hold as references or resources, and each pipe without a capacity that guests write to",
        example: "16 * 1024 * 1024"
      ],
      table_elements: [
        type: {:or, [nil], :natural},
        default_doc: "10,000,000",
        doc: "elements of each table"
      ],
      instances: count("instances"),
      tables: count("tables"),
      memories: count("memories"),
      call_depth: [
        type: {:or, [nil], {:integer, 1..10_000}},
        default_doc: "64",
        doc:
          "nested calls: a guest calls an Elixir function, which calls into the store again, and so on",
        example: "16"
      ],
      hostcall_fuel: [
        type: {:or, [nil], :natural},
        default_doc: "128 MiB; 1 MiB to functions of WASI, without bytes for files",
        doc:
          "how much a component may pass to Elixir in one call: a byte of a string or of a `list<u8>` costs 1, a byte of other terms 4 (an integer in a list 64, a float 128)"
      ]
    ]
  end

  defp count(what),
    do: [type: {:or, [nil], :natural}, default_doc: "500", doc: "the number of #{what}"]
end
