defmodule Wasmex.Options.Engine do
  @moduledoc false
  # The options of engines: the fields of `Wasmex.EngineConfig`.

  @doc "The rows, those of compiling first."
  @spec rows() :: keyword(keyword())
  def rows, do: compiling() ++ proposals() ++ memory()

  defp compiling do
    [
      consume_fuel: [
        type: :boolean,
        default: false,
        doc: "count and limit the instructions of guests, see `Wasmex.StoreOrCaller.set_fuel/2`",
        flag: :fuel,
        flag_doc:
          "count instructions: for runs with `--fuel`, or engines with `consume_fuel: true`"
      ],
      cranelift_opt_level: [
        type: {:one_of, [:none, :speed, :speed_and_size]},
        default: :none,
        doc:
          "how much the compiler optimizes: faster code and slower compiling; `Wasmex.Engine.default/0` uses `:speed`",
        flag: {:opt_level, "none|speed|speed_and_size"},
        flag_doc:
          "by default `speed`, which is what `Wasmex.run/3` and the default engine load; another level needs an engine with that level"
      ],
      wasm_backtrace_details: [
        type: :boolean,
        default: false,
        doc: "files and lines in backtraces, if the module has debug information"
      ],
      debug_info: [
        type: :boolean,
        default: false,
        doc: "debug information for native debuggers"
      ],
      nan_canonicalization: [
        type: :boolean,
        default: false,
        doc: "the same NaN bits on every machine"
      ],
      limits: [
        type: {:options, Wasmex.Limits},
        # No literal: a change of its fields reaches those who compile with these rows.
        default: struct(Wasmex.Limits),
        default_doc: "`%Wasmex.Limits{}`",
        doc: "limits for the bytes to compile, see `Wasmex.Limits`"
      ],
      core_dump: [
        type: :boolean,
        default: false,
        doc: "keep the state of a guest at its trap, see `Wasmex.run/3`"
      ],
      core_dump_size: [
        type: {:bytes, 0..0x100_0000_0000},
        default: 256 * 1024 * 1024,
        doc: "the size of all memories of a store up to which a core dump is written"
      ],
      cache: [
        type: {:or, [nil], :text},
        doc:
          "a directory for compiled code, at most 512 MiB. It is created with mode 0700, and refused if others may write to it",
        example: ~s|"/var/cache/wasm"|
      ]
    ]
  end

  # https://github.com/WebAssembly/proposals
  defp proposals do
    [
      wasm_component_model: proposal(true, "components"),
      memory64: proposal(true, "64-bit memories"),
      tail_call: proposal(true, "tail calls"),
      simd: proposal(true, "vectors of 128 bits"),
      relaxed_simd:
        proposal(true, "vector instructions whose results may differ between machines"),
      multi_memory: proposal(true, "several memories in a module"),
      multi_value: proposal(true, "several results of a function"),
      bulk_memory: proposal(true, "`memory.copy`, `memory.fill` and the like"),
      reference_types: proposal(true, "references in tables and variables"),
      function_references: proposal(true, "typed references to functions"),
      gc: proposal(true, "structs and arrays that are garbage-collected"),
      exceptions: proposal(true, "exceptions and tags"),
      threads: proposal(true, "shared memories and atomic instructions"),
      extended_const: proposal(true, "arithmetic in constant expressions"),
      wide_arithmetic: proposal(false, "arithmetic of 128 bits"),
      custom_page_sizes: proposal(false, "memories with pages of one byte")
    ]
  end

  defp proposal(default, doc), do: [type: :boolean, default: default, doc: doc]

  defp memory do
    [
      max_wasm_stack: [
        type: {:bytes, 0x4000..0x400_0000},
        default: 512 * 1024,
        doc: "stack for guest code, per call"
      ],
      density: [
        type: :boolean,
        default: false,
        doc:
          "for 100,000 instances at once: explicit bounds checks instead of guard pages and reservations"
      ],
      pooling: [
        type: {:or, [nil], {:integer, 1..1_000_000}},
        doc:
          "a pool of this many instances, reserved in advance, from which instances start faster"
      ],
      pooling_memory_size: [
        type: {:bytes, 0..0x1_0000_0000},
        default: 64 * 1024 * 1024,
        doc: "the maximum size of a memory in the pool"
      ],
      pooling_keep_resident: [
        type: {:bytes, 0..0x1_0000_0000},
        default: 64 * 1024,
        doc:
          "how much of each memory in the pool is cleared instead of returned to the system between instances, which is faster but keeps that memory allocated"
      ]
    ]
  end
end
