defmodule Wasmex.Options.Compile do
  @moduledoc false
  # The options of all that compiles: where, and within which limits. `Wasmex.Compiler` tells more.

  # With less memory the helper can't even start.
  @least 64 * 1024 * 1024
  @most 0x7FFF_FFFF_FFFF_FFFF
  # The longest that the VM's timers take.
  @longest 0xFFFF_FFFF

  @doc "The rows; `where` is the default of `compile:`, and `cache?` that of `cache:`."
  @spec rows(:in_process | :isolated, boolean()) :: keyword(keyword())
  def rows(where \\ :in_process, cache? \\ true) do
    [
      compile: [
        type: {:one_of, [:in_process, :isolated]},
        default: where,
        doc: "where it is compiled: in the VM, or in a process of its own, see `Wasmex.Compiler`",
        flag: {:compile, "isolated|in_process"},
        group: :compile
      ],
      compile_memory: [
        type: {:or, [nil], {:bytes, @least..@most}},
        default_doc: "2 GiB",
        doc: "of `:isolated`: the memory that compiling may take",
        flag: {:compile_memory, "2GiB"},
        flag_doc: "the memory that compiling may take",
        group: :compile
      ],
      compile_timeout: [
        type: {:or, [nil, :infinity], {:milliseconds, 1..@longest}},
        default_doc: "120,000",
        doc: "of `:isolated`: the time that compiling may take",
        flag: {:compile_timeout, "2m"},
        flag_doc: "the time that compiling may take",
        group: :compile
      ],
      compile_reuse: [
        type: :any,
        default_doc: "a fresh process each",
        doc: "of `:isolated`: a name; compiles of the same one may use one process after another",
        group: :compile
      ],
      cache: [
        type: :boolean,
        default: cache?,
        doc: "whether compiled code is kept in the disk cache, see `Wasmex.Compiler`",
        flag: :cache,
        flag_doc: "keep compiled code in the disk cache; `--no-cache` compiles anew",
        group: :compile
      ]
    ]
  end
end
