defmodule Wasmex.Options.Store do
  @moduledoc false
  # What the guests of one store may use: the fields of `Wasmex.StoreLimits`.

  @doc "The rows."
  @spec rows() :: keyword(keyword())
  def rows do
    [
      memory_size: [
        type: {:or, [nil], :bytes},
        doc:
          "of each memory and of all memories of the store together; and as many of all tables together, 8 for an element (1 MiB of them in any case)",
        example: "16 * 1024 * 1024"
      ],
      table_elements: [type: {:or, [nil], :natural}, doc: "elements of each table"],
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
        default_doc: "128 MiB",
        doc:
          "what one call may hand over from a component: a byte of a string or of a `list<u8>` costs 1, of other terms 4 (a list of integers 64 for each, of floats 128), for they are made in one go"
      ]
    ]
  end

  defp count(what),
    do: [type: {:or, [nil], :natural}, default_doc: "500", doc: "the number of #{what}"]
end
