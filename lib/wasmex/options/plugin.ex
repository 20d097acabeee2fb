defmodule Wasmex.Options.Plugin do
  @moduledoc false
  # The options of plug-ins and of the key-value store they share.

  alias Wasmex.Options.{Compile, Row, Type, WASI}

  @gib 1024 * 1024 * 1024
  @mib 1024 * 1024

  @doc "Of `Wasmex.Plugin.compile/2`."
  @spec compile() :: keyword(keyword())
  def compile do
    [
      functions: [
        type: Type.HostFunctions,
        default: %{},
        default_doc: "none",
        doc: "host functions, see `Wasmex.Plugin.Functions`"
      ],
      imports: [
        type: :map,
        default: %{},
        default_doc: "none",
        doc: "imports of a component, as in `Wasmex.Components.Instance.instantiate/4`"
      ],
      wasi: [
        type: :boolean,
        default: false,
        doc:
          "allow WASI: clocks, randomness and the directories in `allowed_paths`. Arguments, environment and standard input are empty, and output is discarded"
      ],
      http: [
        type: {:or, [true, false], {:function, 1}},
        default: true,
        doc:
          "how requests to the allowed hosts are performed: `true` by the library, `false` not at all, or a function, see `Wasmex.Plugin.HTTP`"
      ],
      http_timeout:
        http(
          :http_timeout,
          "the time limit in ms of one HTTP request, and of fetching a module from a URL"
        ),
      http_cacerts: http(:http_cacerts, "the trusted certificates, as PEM"),
      strict: [
        type: :boolean,
        default: true,
        doc: "unknown fields of the manifest are errors"
      ],
      config: [type: {:or, [nil], Type.Strings}, doc: "replaces `config` of the manifest"],
      allowed_hosts: [
        type: {:or, [nil], {:list, :text}},
        doc: "replaces `allowed_hosts` of the manifest"
      ],
      allowed_paths: [
        type: {:or, [nil], Type.Strings},
        doc: "replaces `allowed_paths` of the manifest"
      ],
      fuel: [
        type: :boolean,
        default: false,
        doc: "count executed instructions, which the option `:fuel` of calls requires"
      ],
      snapshot: [
        type: {:or, [nil], :keyword},
        doc:
          "start instances from a snapshot, for a plug-in of one module; the options of `Wasmex.Snapshot.take/2`",
        default_doc: "none",
        example: ~s|[init: "warm"]|
      ],
      engine: [
        type: {:or, [nil], {:struct, Wasmex.Engine}},
        default_doc: "a shared engine",
        doc: "the engine to compile for"
      ]
    ] ++ compiler()
  end

  defp http(name, doc), do: Keyword.put(WASI.component()[name], :doc, doc)

  @doc "Where to compile: the rows of `Wasmex.Options.Compile`, with a default that depends on the module."
  @spec compiler() :: keyword(keyword())
  def compiler do
    Keyword.update!(Compile.rows(), :compile, fn row ->
      Keyword.merge(row,
        type: {:or, [nil], {:one_of, [:auto, :in_process, :isolated]}},
        default: nil,
        default_doc: "`:isolated` for modules from a URL, `:auto` for others"
      )
    end)
  end

  @doc "Of `Wasmex.Plugin.new/2`."
  @spec new() :: keyword(keyword())
  def new do
    [
      config: [
        type: Type.Strings,
        default: %{},
        doc: "configuration values, merged into those of the manifest"
      ],
      timeout: [
        type: {:or, [nil], :timeout},
        default_doc: "`timeout_ms` of the manifest",
        doc: "the time limit for creating the plug-in and for each call"
      ],
      max_memory: [
        type: {:or, [:infinity], :bytes},
        default: @gib,
        default_doc: "1 GiB",
        doc:
          "the maximum size of all its memories together. `max_pages` of the manifest separately limits their growth"
      ],
      log_level: [
        type: {:one_of, [:trace, :debug, :info, :warn, :warning, :error, :off]},
        default: :off,
        doc: "the minimum level for `Logger`"
      ],
      name: [
        type: :any,
        default_doc: "the name of its file",
        doc: "any term, the value of `plugin:` in the metadata of its log lines"
      ],
      tags: Row.tags(),
      http_response_headers: [
        type: :boolean,
        default: false,
        doc: "pass response headers to the plug-in"
      ],
      stdout: [
        type: Type.Stdio,
        default_doc: "discarded",
        doc: "the destination of standard output, see `Wasmex.Wasi.WasiOptions`"
      ],
      stderr: [
        type: Type.Stdio,
        default_doc: "discarded",
        doc: "the destination of standard error"
      ],
      fuel: [
        type: {:or, [nil], :natural},
        doc: "the fuel for the initialization; needs `fuel: true` in `compile/2`"
      ]
    ]
  end

  @doc "Of `Wasmex.Plugin.call/4`."
  @spec call() :: keyword(keyword())
  def call do
    [
      timeout: [
        type: {:or, [nil], :timeout},
        default_doc: "the plug-in's `:timeout`",
        doc:
          "after which the call is stopped. It includes waiting for other calls and the time of host functions, though these are not interrupted"
      ],
      fuel: [
        type: {:or, [nil], :natural},
        doc: "the fuel for this call; needs `fuel: true` in `compile/2`"
      ],
      context: [
        type: :any,
        doc:
          "a term that host functions receive in the field `context` of `Wasmex.Plugin.Context`"
      ],
      returns: [
        type: {:one_of, [:bytes, :string, :json]},
        default: :bytes,
        doc: "the kind of output; JSON is decoded"
      ]
    ]
  end

  @doc "Of `Wasmex.Plugin.KeyValue.start_link/1`."
  @spec key_value() :: keyword(keyword())
  def key_value do
    [
      name: [type: :atom, doc: "a name to register the process"],
      max_bytes: [
        type: :bytes,
        default: 64 * @mib,
        default_doc: "64 MiB",
        doc: "the maximum size of all keys and values together, plus 64 bytes per pair"
      ]
    ]
  end
end
