defmodule Wasmex.Options.Limits do
  @moduledoc false
  # Limits for wasm, WAT and WIT: the fields of `Wasmex.Limits`. Names and defaults must equal those of
  # `native/scan/src/limits.rs`; a test compares them.

  @kib 1024
  @mib 1024 * @kib

  @doc "The rows."
  @spec rows() :: keyword(keyword())
  def rows do
    [
      size: bytes(256 * @mib, "of a module or a component"),
      text_size: bytes(16 * @mib, "of a text, WAT or WIT"),
      text_work:
        count(
          1024 * @mib,
          "bytes that the parsers may need for the items and words of WAT, and for the names and statements of WIT, those that worlds include as often as they do; labels of WAT count with the blocks around them"
        ),
      nesting:
        count(
          32,
          "components within components, types within types, and brackets within brackets of WIT; 128 is the most that works"
        ),
      parts: count(1000, "modules and components in a component"),
      instances:
        count(
          50_000,
          "instances and canonical functions of a component, counting each instantiation; eight imports, exports or aliases count as one"
        ),
      types: count(30_000, "types"),
      type_members:
        count(
          1_000_000,
          "parameters, results, fields, cases and declarations of all types; those of a world that is read, as often as they are used"
        ),
      type_work:
        count(
          200_000_000,
          "parts of types that are read where a component imports, exports, lowers or lifts something, or instantiates others, as often as they are"
        ),
      imports: count(100_000, "imports"),
      exports: count(100_000, "exports, also those that instances are made of"),
      aliases: count(100_000, "aliases of a component"),
      name_size: bytes(64 * @kib, "of one name"),
      external_names: bytes(4 * @mib, "of the names of all imports and exports"),
      names: count(1_000_000, "names in the custom section for names"),
      functions: count(100_000, "functions"),
      function_size: bytes(2 * @mib, "of one function"),
      function_work:
        count(
          1_800_000,
          "instructions of one function; loops, calls, and instructions that pass many values count as several, and blocks, branches, calls and handlers of exceptions in which many globals, locals or references meet as more"
        ),
      work:
        count(
          20_000_000,
          "instructions of all functions that parameters and results count as, and blocks and loops which keep many globals, locals or references apart"
        ),
      locals: count(10_000_000, "local variables of all functions"),
      globals: count(100_000, "globals"),
      tags: count(10_000, "tags"),
      constants:
        count(
          30_000,
          "instructions that compute initial values when a module is instantiated; four functions that are put into a table then count as one"
        ),
      tables: count(1000, "tables"),
      table_elements:
        count(
          4_000_000,
          "elements of tables that are known when the module is compiled, gaps between segments included"
        ),
      memories: count(1000, "memories"),
      memory_images:
        count(
          50,
          "memories whose contents are known when the module is compiled: each takes a file descriptor as long as the module is loaded"
        ),
      memory_gaps:
        bytes(
          64 * @mib,
          "between the data segments of memories whose contents are known when the module is compiled"
        ),
      segments: count(200_000, "segments of data and of elements"),
      debug_nesting:
        count(
          128,
          "nesting of entries in debug information; it and the next only count for engines that read it, with `wasm_backtrace_details` or `debug_info`"
        ),
      debug_work:
        count(
          1024 * @mib,
          "what reading debug information costs, in about the bytes that its parser needs: entries, attributes, lines and paths, each as often as they are used"
        )
    ]
  end

  defp bytes(default, doc), do: [type: :bytes, default: default, doc: doc]
  defp count(default, doc), do: [type: :natural, default: default, doc: doc]
end
