defmodule Wasmex.Options.HTTP do
  @moduledoc false
  # The options of HTTP: the settings of a function, and those of servers.

  alias Wasmex.HTTP.Convention
  alias Wasmex.Options.{Compile, Program, Snapshot, Type, WASI}

  # The WASI options of a function. Clocks and randomness are always the system's.
  @granted [:env]
  @network WASI.outgoing() ++ [:allowed_hosts]

  @doc "The settings of a function."
  @spec function() :: keyword(keyword())
  def function do
    limits() ++
      [
        methods: [
          type: {:or, [nil], {:list, :string}},
          default_doc: "all",
          doc: "allowed methods; others get 405",
          example: ~s|["GET", "HEAD"]|
        ],
        convention: [
          type: {:or, [nil], {:one_of, Convention.names()}},
          default_doc: "detected",
          doc: "how it receives the request and returns the response, see above",
          flag: {:convention, "NAME"},
          flag_doc:
            "the convention of the functions: #{Enum.map_join(Convention.names(), ", ", &"`#{&1}`")}, see `Wasmex.HTTP`"
        ],
        reuse: [
          type: {:integer, 0..1_000},
          default: 0,
          doc: "how many instances of a component are kept for further requests, see below",
          flag: {:reuse, "N"},
          flag_doc:
            "how many instances of a component are kept for further requests, see `Wasmex.HTTP`; by default 0"
        ]
      ] ++
      Snapshot.row() ++
      Program.dirs() ++
      Keyword.take(WASI.granted(), @granted) ++
      Keyword.take(WASI.network() ++ WASI.http(), @network) ++
      Compile.rows(:isolated)
  end

  # The limits of a program, with defaults for requests.
  defp limits do
    program = Program.limits()

    [
      timeout: [
        type: {:milliseconds, 1..0x7FFF_FFFF_FFFF_FFFF},
        default: 5_000,
        doc:
          "the maximum running time, after which the response is 504, or 408 if the request body is incomplete",
        flag: {:timeout, "2s"}
      ],
      max_memory: [
        type: {:bytes, 1..0x7FFF_FFFF_FFFF_FFFF},
        default: 128 * 1024 * 1024,
        doc: "the maximum size of all its memories together",
        example: "1_048_576",
        flag: {:max_memory, "64MiB"}
      ],
      max_output: [
        type: {:bytes, 1..0x7FFF_FFFF_FFFF_FFFF},
        default: 16 * 1024 * 1024,
        doc: "the maximum output, beyond which the response is 502, or ends early",
        example: "1_048_576",
        flag: {:max_output, "1MiB"}
      ],
      max_body: [
        type: :bytes,
        default: 8 * 1024 * 1024,
        doc: "the maximum request body; longer ones get 413",
        flag: {:max_body, "1MiB"}
      ],
      fuel: program[:fuel]
    ]
  end

  @doc "The options that `Wasmex.HTTP.Server` and `Wasmex.Plug` share."
  @spec service() :: keyword(keyword())
  def service do
    [
      dir: [
        type: {:or, [nil], :string},
        default_doc: "",
        doc: "the folder of the functions; either this or `:file` is required",
        example: ~s|"functions"|
      ],
      file: [
        type: {:or, [nil], :string},
        default_doc: "",
        doc: "a single function that handles all paths, instead of `:dir`",
        example: ~s|"functions/goenv.wasm"|
      ],
      concurrency: [
        type: {:integer, 1..1_000_000},
        default: 64,
        doc: "the number of requests that run at once",
        flag: {:concurrency, "N"}
      ],
      queue: [
        type: {:integer, 1..1_000_000},
        default: 256,
        doc: "the number of requests that may wait, at most one second; others get 503"
      ],
      defaults: [
        type: :keyword,
        default: [],
        doc: "settings for all functions, see `Wasmex.HTTP`",
        example: "[timeout: 100]"
      ],
      functions: [
        type: :keyword,
        default: %{},
        doc: "settings by function name, including `deploy:`",
        example: ~s|%{"goenv" => [timeout: 100]}|
      ],
      deploy: [
        type: :keyword,
        default: [],
        doc:
          "how a changed file takes over: `canary:`, `rollback:` and `drain:` of `Wasmex.Deploy.deploy/3`",
        example: "[canary: 10]"
      ],
      cluster: [
        type: :boolean,
        default: false,
        doc:
          "deploy the functions on all nodes of the `Wasmex.Cluster`, and run requests that this node has no room for on others; one folder per cluster",
        flag: :cluster,
        flag_doc:
          "deploy the functions on all nodes of the cluster, and forward requests that this node has no room for, see above"
      ],
      log: [type: :boolean, default: false, doc: "log a line for each request"]
    ]
  end

  @doc "Further options of `Wasmex.HTTP.Server`."
  @spec server() :: keyword(keyword())
  def server do
    [
      port: [
        type: {:integer, 0..65_535},
        default: 8080,
        doc: "the port; 0 for any free port, see `Wasmex.HTTP.Server.port/1`",
        flag: {:port, "N"},
        flag_doc: "the port, by default 8080; 0 for any free port"
      ],
      ip: [
        type: Type.IP,
        default: {127, 0, 0, 1},
        doc: "the address to listen on",
        flag: {:ip, "ADDRESS"},
        flag_doc: "the address to listen on, by default 127.0.0.1"
      ],
      name: [type: :any, doc: "the name of the supervisor"],
      web_server: [
        type: {:one_of, [:auto, :bandit, :builtin]},
        default: :auto,
        doc: "Bandit or the built-in HTTP/1.1 server; `:auto` uses Bandit if the project has it"
      ],
      bandit: [
        type: :keyword,
        default: [],
        doc: "further options for `Bandit`, such as `scheme: :https, certfile: …, keyfile: …`",
        example: "[scheme: :https, certfile: \"cert.pem\", keyfile: \"key.pem\"]"
      ]
    ]
  end

  @doc "Whether to serve the overview page; `default` differs between the server and the plug."
  @spec page(boolean()) :: keyword(keyword())
  def page(default) do
    [
      page: [
        type: :boolean,
        default: default,
        doc: "serve a page at `GET /` that lists the functions and their statistics"
      ]
    ]
  end
end
