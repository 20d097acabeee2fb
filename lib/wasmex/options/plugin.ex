defmodule Wasmex.Options.Plugin do
  @moduledoc false
  # The options of plug-ins, and of what they share.

  @gib 1024 * 1024 * 1024
  @mib 1024 * 1024

  @doc "Of `Wasmex.Plugin.compile/2`."
  @spec compile() :: keyword(keyword())
  def compile do
    [
      functions: [
        type: :any,
        default: %{},
        default_doc: "none",
        doc: "host functions, see `Wasmex.Plugin.Functions`"
      ],
      imports: [
        type: :map,
        default: %{},
        default_doc: "none",
        doc: "what a component imports, as in `Wasmex.Components.Instance.instantiate/4`"
      ],
      wasi: [
        type: :boolean,
        default: false,
        doc:
          "whether it may use WASI: clocks, randomness and the directories of `allowed_paths`; no arguments, no environment, an empty input, and what it prints goes nowhere"
      ],
      http: [
        type: {:or, [true, false], {:function, 1}},
        default: true,
        doc:
          "who performs its requests to the hosts that the manifest allows: `true` for the library, `false` for nobody, or a function, see `Wasmex.Plugin.HTTP`"
      ],
      strict: [
        type: :boolean,
        default: true,
        doc: "whether unknown fields of the manifest are errors"
      ],
      config: [type: :any, doc: "in the place of the manifest's"],
      allowed_hosts: [type: :any, doc: "in the place of the manifest's"],
      allowed_paths: [type: :any, doc: "in the place of the manifest's"],
      fuel: [
        type: :boolean,
        default: false,
        doc: "counts what is executed, for the option `:fuel` of calls"
      ],
      engine: [
        type: {:or, [nil], {:struct, Wasmex.Engine}},
        default_doc: "the one that all share",
        doc: "what to compile for"
      ]
    ]
  end

  @doc "Of `Wasmex.Plugin.new/2`."
  @spec new() :: keyword(keyword())
  def new do
    [
      config: [
        type: :any,
        default: %{},
        doc: "values beside those of the manifest, or in their place"
      ],
      timeout: [
        type: {:or, [nil], :timeout},
        default_doc: "`timeout_ms` of the manifest",
        doc: "ms that the making and each call may take"
      ],
      max_memory: [
        type: {:or, [:infinity], :bytes},
        default: @gib,
        default_doc: "1 GiB",
        doc:
          "bytes that all its memories may have together; `max_pages` of the manifest bounds apart from that what they may grow by"
      ],
      log_level: [
        type: {:one_of, [:trace, :debug, :info, :warn, :warning, :error, :off]},
        default: :off,
        doc: "what goes to `Logger`"
      ],
      name: [
        type: :any,
        default_doc: "the name of its file",
        doc: "as `plugin:` in the metadata of what it logs"
      ],
      http_response_headers: [
        type: :boolean,
        default: false,
        doc: "whether it sees the headers of responses"
      ],
      stdout: [
        type: :any,
        default_doc: "nowhere",
        doc: "where WASI prints to, see `Wasmex.Wasi.WasiOptions`"
      ],
      stderr: [type: :any, default_doc: "nowhere", doc: "the same for errors"],
      fuel: [
        type: {:or, [nil], :natural},
        doc: "what initialising may consume; needs `fuel: true` at `compile/2`"
      ]
    ]
  end

  @doc "Of `Wasmex.Plugin.call/4`."
  @spec call() :: keyword(keyword())
  def call do
    [
      timeout: [
        type: {:or, [nil], :timeout},
        default_doc: "that of the plug-in",
        doc:
          "ms after which it is stopped. Waiting for its turn counts, and so does the time of host functions, which are not interrupted"
      ],
      fuel: [
        type: {:or, [nil], :natural},
        doc: "a budget for this call; needs `fuel: true` at `compile/2`"
      ],
      context: [
        type: :any,
        doc: "a term that host functions see as `context` of their `Wasmex.Plugin.Context`"
      ]
    ]
  end

  @doc "Of `Wasmex.Plugin.KeyValue.start_link/1`."
  @spec key_value() :: keyword(keyword())
  def key_value do
    [
      name: [type: :atom, doc: "registers the process"],
      max_bytes: [
        type: :bytes,
        default: 64 * @mib,
        default_doc: "64 MiB",
        doc: "what keys and values may take together, with 64 bytes for each"
      ]
    ]
  end
end
