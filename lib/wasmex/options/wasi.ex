defmodule Wasmex.Options.WASI do
  @moduledoc false
  # WASI options. A row of `granted/0` or `network/0` is an option of `Wasmex.Wasi.WasiOptions`, of
  # `Wasmex.Wasi.WasiP2Options` and of programs; a row of `http/0` is one of the latter two. The native side
  # reads each option by name where it takes effect: `WasiOptions::build` in `native/wasmex/src/wasi/p1.rs`.

  alias Wasmex.Options.Type

  @doc "Options of both previews, also available to programs."
  @spec granted() :: keyword(keyword())
  def granted do
    [
      env: [
        type: Type.Env,
        default: %{},
        doc: "environment variables; those of the VM are not inherited",
        example: ~s|%{"LANG" => "C"}|,
        flag: {:env, "NAME=VALUE"},
        flag_doc: "an environment variable",
        group: :granted
      ],
      clock: [
        type: Type.Clock,
        default: :real,
        doc: "the system's clocks, or a fixed time for all clocks",
        group: :granted
      ],
      seed: [
        type: {:or, [nil], {:integer, 0..0xFFFF_FFFF_FFFF_FFFF}},
        doc: "an integer seed makes all randomness repeatable; `nil` uses the system's",
        example: "42",
        flag: {:seed, "N"},
        flag_doc: "an integer seed that makes all randomness repeatable",
        group: :granted
      ]
    ]
  end

  @doc "Limits of a module's files and streams."
  @spec files() :: keyword(keyword())
  def files do
    [
      max_open_files: files_limit("files", {:max_open_files, "N"}),
      max_open_dirs: files_limit("directories", {:max_open_dirs, "N"}),
      non_blocking_stdio: [
        type: :boolean,
        default: false,
        doc: "reading standard input does not block, as if the module had requested that itself",
        flag: :non_blocking_stdio,
        group: :limits
      ]
    ]
  end

  defp files_limit(what, flag) do
    [
      type: {:or, [nil], :natural},
      default_doc: "1,000 files, directories and the like together",
      doc: "the maximum number of #{what} a module may have open",
      flag: flag,
      group: :limits
    ]
  end

  @doc "Permissions and limits of a guest's sockets."
  @spec network() :: keyword(keyword())
  def network do
    [
      dial: [
        type: {:list, Type.Dial},
        default: [],
        doc:
          "addresses it may connect and send to. The host adds TLS for `tls://`, and Elixir handles `{address, function or pid}`",
        example: ~s|["10.0.0.5:5432", "udp://10.0.0.53:53", "unix:///run/db.sock"]|,
        flag: {:dial, "ADDRESS"},
        flag_doc: "an address it may connect and send to",
        group: :network
      ],
      listen: [
        type: {:list, Type.Listen},
        default: [],
        doc:
          "open listeners for it, as file descriptors from 3 on, after its directories; at an address without `tcp://` it may bind and listen itself",
        example: ~s|["tcp://127.0.0.1:0", {:pipe, :http}]|,
        flag: {:listen, "ADDRESS"},
        flag_doc:
          "an open listener for it, such as `tcp://127.0.0.1:8080`, or an address where it may listen itself",
        group: :network
      ],
      bind: [
        type: {:list, Type.Place},
        default: [],
        doc: "addresses where its own sockets may listen and receive",
        example: ~s|["127.0.0.1:8000-8999"]|,
        flag: {:bind, "ADDRESS"},
        flag_doc: "an address where its own sockets may listen and receive",
        group: :network
      ],
      dns: [
        type: {:list, Type.Address},
        default: [],
        doc: "names it may look up, in addition to those in the other lists",
        example: ~s|["*.internal"]|,
        flag: {:dns, "NAME"},
        flag_doc: "a name it may look up",
        group: :network
      ],
      tcp: addresses("connect to", ~s|["10.0.0.5:5432"]|, {:tcp, "ADDRESS"}),
      udp: addresses("send to", ~s|["10.0.0.5:53"]|, {:udp, "ADDRESS"}),
      lookup:
        addresses(
          "look up, in addition to `:tcp` and `:udp`",
          ~s|["*.internal"]|,
          {:lookup, "NAME"}
        ),
      sockets: [
        type: {:one_of, [:auto, :v1, :v2, :none]},
        default: :auto,
        doc:
          "the version of WasmEdge's functions a module may import; `:auto` detects it from the types of its imports",
        flag: {:sockets, "auto|v1|v2|none"},
        group: :network
      ],
      max_sockets: [
        type: {:integer, 0..1_000_000},
        default: 1_000,
        doc: "the maximum number of open sockets of a module",
        flag: {:max_sockets, "N"},
        group: :network
      ],
      socket_buffer: [
        type: {:bytes, 0..0x7FFF_FFFF},
        default: 1_048_576,
        doc: "the largest system buffer a module may request, per direction of a socket",
        group: :network
      ],
      dial_timeout: [
        type: {:milliseconds, 1..0x7FFF_FFFF},
        default: 30_000,
        doc:
          "the time limit of a lookup and of connecting; for components, of connections made by the host",
        group: :network
      ],
      dial_cacerts: [
        type: {:or, [nil], Type.Certificates},
        default_doc: "the system's",
        doc: "the trusted certificates for `tls://`",
        group: :network
      ]
    ]
  end

  @doc "The names of the rows of `network/0` for a guest that connects to others, but does not listen."
  @spec outgoing() :: [atom()]
  def outgoing,
    do: [:dial, :dns, :tcp, :udp, :lookup, :max_sockets, :dial_timeout, :dial_cacerts]

  @doc "Outgoing HTTP, which only components may be granted."
  @spec http() :: keyword(keyword())
  def http do
    [
      allow_http: [
        type: :boolean,
        default: false,
        doc: "allow outgoing HTTP requests to any host",
        group: :network
      ],
      allowed_hosts: [
        type: {:or, [nil], {:list, Type.Address}},
        doc: "outgoing HTTP requests to these hosts only, also without `:allow_http`",
        example: ~s|["*.example.com"]|,
        flag: {:allow_host, "HOST"},
        flag_doc: "a host that a component may send HTTP requests to",
        group: :network
      ],
      http: [
        type: {:or, [nil], {:function, 1}},
        doc: "a function that performs HTTP requests, see `Wasmex.Components.HTTP`",
        group: :network
      ]
    ]
  end

  defp addresses(verb, example, flag) do
    [
      type: {:list, Type.Address},
      default: [],
      doc: "addresses the guest may #{verb}",
      example: example,
      flag: flag,
      flag_doc: "an address that a component may #{String.replace(verb, "`:", "`--")}",
      group: :network
    ]
  end

  @doc "Further options of stores, which are fields of the structs only."
  @spec store() :: keyword(keyword())
  def store do
    [
      args: [
        type: {:list, :text},
        default: [],
        doc: "argv, with the program's name first",
        example: ~s|["prog", "-v"]|
      ],
      preopen: [
        type: {:list, {:options, Wasmex.Wasi.PreopenOptions}},
        default: [],
        doc: "directories",
        example: ~s|[%Wasmex.Wasi.PreopenOptions{path: "lib"}]|
      ],
      max_output: [
        type: {:or, [nil], :bytes},
        doc:
          "the maximum output to pipes and the VM's own streams, `:stdout` and `:stderr` together. A guest that prints more is stopped"
      ],
      counted: [
        type: {:list, {:one_of, [:stdout, :stderr]}},
        default: [:stdout, :stderr],
        doc: "the streams that count towards `:max_output`"
      ]
    ]
  end

  @doc "The standard streams of a store. `nothing` documents the meaning of `nil`."
  @spec streams(String.t()) :: keyword(keyword())
  def streams(nothing) do
    for {name, nil_and_null} <- [stdin: "end of file", stdout: "discarded", stderr: "discarded"] do
      {name, [type: Type.Stdio, doc: "`:null`: #{nil_and_null}, `nil`: #{nothing}"]}
    end
  end

  @doc "Options of `Wasmex.Wasi.WasiP2Options` only."
  @spec component() :: keyword(keyword())
  def component do
    [
      inherit_stdin: inherit(:stdin),
      inherit_stdout: inherit(:stdout),
      inherit_stderr: inherit(:stderr),
      cwd: [
        type: {:or, [nil], :text},
        doc: "the working directory reported to the guest",
        example: ~s|"/data"|
      ],
      http_timeout: [
        type: {:milliseconds, 1..0x7FFF_FFFF_FFFF_FFFF},
        default: 30_000,
        doc: "the time limit for an outgoing HTTP request, up to the last byte of the response"
      ],
      http_max_request: [
        type: {:or, [:infinity], {:bytes, 1..0x7FFF_FFFF_FFFF_FFFF}},
        default: 8 * 1024 * 1024,
        doc: "the maximum size of a request body"
      ],
      http_max_response: [
        type: {:or, [:infinity], {:bytes, 1..0x7FFF_FFFF_FFFF_FFFF}},
        default: 8 * 1024 * 1024,
        doc: "the maximum size of a response body"
      ],
      http_max_total: [
        type: {:or, [:infinity], {:bytes, 1..0x7FFF_FFFF_FFFF_FFFF}},
        default: :infinity,
        doc: "the maximum size of all bodies of the store together, in both directions"
      ],
      http_max_exchanges: [
        type: {:integer, 1..1_000},
        default: 64,
        doc: "the number of concurrent requests; further requests wait"
      ],
      http_redirects: [
        type: {:integer, 0..100},
        default: 0,
        doc:
          "the number of redirects to follow per request; with 0 the guest receives the redirect response"
      ],
      http_cacerts: [
        type: {:or, [nil], Type.Certificates},
        default_doc: "the system's",
        doc: "the trusted root certificates"
      ]
    ]
  end

  defp inherit(stream) do
    doc = "use the VM's own stream if `#{inspect(stream)}` is `nil`"
    [type: :boolean, default: true, doc: doc]
  end

  @doc "The fields of `Wasmex.Wasi.PreopenOptions`."
  @spec preopen() :: keyword(keyword())
  def preopen do
    [
      path: [type: :text, required: true, doc: "the directory on the host", example: ~s|"lib"|],
      alias: [
        type: {:or, [nil], :text},
        default_doc: "`:path`",
        doc: "its path for the guest",
        example: ~s|"/src"|
      ],
      read_only: [type: :boolean, default: false, doc: "the guest may only read and list"]
    ]
  end
end
