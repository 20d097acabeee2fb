defmodule Wasmex.Options.Compile do
  @moduledoc false
  # The options of everything that compiles: where, and within which limits. See `Wasmex.Compiler`.

  # The helper cannot start with less memory.
  @least 64 * 1024 * 1024
  @most 0x7FFF_FFFF_FFFF_FFFF
  # The longest timer of the VM.
  @longest 0xFFFF_FFFF

  @doc "The rows; `where` is the default of `compile:`, and `cache?` that of `cache:`."
  @spec rows(:auto | :isolated, boolean()) :: keyword(keyword())
  def rows(where \\ :auto, cache? \\ true) do
    [
      compile: [
        type: {:one_of, [:auto, :in_process, :isolated]},
        default: where,
        doc:
          "where to compile: in the VM, or in a separate operating system process; `:auto` compiles in the VM what takes a " <>
            "moment, see `Wasmex.Compiler`",
        flag: {:compile, "isolated|auto|in_process"},
        group: :compile
      ],
      compile_memory: [
        type: {:or, [nil], {:bytes, @least..@most}},
        default_doc: "2 GiB",
        doc: "the memory limit of that process",
        flag: {:compile_memory, "2GiB"},
        flag_doc: "the memory limit for compiling",
        group: :compile
      ],
      compile_timeout: [
        type: {:or, [nil, :infinity], {:milliseconds, 1..@longest}},
        default_doc: "120,000",
        doc: "the time limit of that process",
        flag: {:compile_timeout, "2m"},
        flag_doc: "the time limit for compiling",
        group: :compile
      ],
      compile_reuse: [
        type: :any,
        default_doc: "a new process each time",
        doc: "a name: compiles with the same name may reuse a process",
        group: :compile
      ],
      cache: [
        type: :boolean,
        default: cache?,
        doc: "whether compiled code is kept in the disk cache, see `Wasmex.Compiler`",
        flag: :cache,
        flag_doc: "keep compiled code in the disk cache; `--no-cache` always compiles",
        group: :compile
      ]
    ]
  end
end
