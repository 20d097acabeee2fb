defmodule Wasmex.Options.HTTP do
  @moduledoc false
  # The options of HTTP: the settings of a function, and those of what serves functions.

  alias Wasmex.HTTP.Convention
  alias Wasmex.Options.{Compile, Program, Type, WASI}

  # What a function may be granted of WASI. Its clock and its randomness are the system's.
  @granted [:env]
  @network [:tcp, :udp, :lookup, :allowed_hosts]

  @doc "The settings of a function."
  @spec function() :: keyword(keyword())
  def function do
    limits() ++
      [
        methods: [
          type: {:or, [nil], {:list, :string}},
          default_doc: "all",
          doc: "requests with others are answered with 405",
          example: ~s|["GET", "HEAD"]|
        ],
        convention: [
          type: {:or, [nil], {:one_of, Convention.names()}},
          default_doc: "found out",
          doc: "how it gets the request and answers, see above"
        ],
        reuse: [
          type: {:integer, 0..1_000},
          default: 0,
          doc: "how many instances of a component may wait for another request, see below",
          flag: {:reuse, "N"},
          flag_doc:
            "how many instances of a component may wait for another request, see `Wasmex.HTTP`; by default 0"
        ]
      ] ++
      Program.dirs() ++
      Keyword.take(WASI.granted(), @granted) ++
      Keyword.take(WASI.network(), @network) ++
      Compile.rows(:isolated)
  end

  # Those of a program, with defaults that fit requests.
  defp limits do
    program = Program.limits()

    [
      timeout: [
        type: {:milliseconds, 1..0x7FFF_FFFF_FFFF_FFFF},
        default: 5_000,
        doc: "then the answer is 504; a body that is not there by then is 408",
        flag: {:timeout, "2s"}
      ],
      max_memory: [
        type: {:bytes, 1..0x7FFF_FFFF_FFFF_FFFF},
        default: 128 * 1024 * 1024,
        doc: "of all its memories together",
        example: "1_048_576",
        flag: {:max_memory, "64MiB"}
      ],
      max_output: [
        type: {:bytes, 1..0x7FFF_FFFF_FFFF_FFFF},
        default: 16 * 1024 * 1024,
        doc: "beyond it the answer is 502, or broken off",
        example: "1_048_576",
        flag: {:max_output, "1MiB"}
      ],
      max_body: [
        type: :bytes,
        default: 8 * 1024 * 1024,
        doc: "a longer request is answered with 413",
        flag: {:max_body, "1MiB"}
      ],
      fuel: program[:fuel]
    ]
  end

  @doc "The options of a server, and of `Wasmex.Plug` but for the port, the address and the page."
  @spec service() :: keyword(keyword())
  def service do
    [
      dir: [
        type: {:or, [nil], :string},
        default_doc: "",
        doc: "the folder of the functions; needed, or `:file`",
        example: ~s|"functions"|
      ],
      file: [
        type: {:or, [nil], :string},
        default_doc: "",
        doc: "one function, whose own the whole path is, in place of `:dir`",
        example: ~s|"functions/goenv.wasm"|
      ],
      concurrency: [
        type: {:integer, 1..1_000_000},
        default: 64,
        doc: "requests that run at once",
        flag: {:concurrency, "N"}
      ],
      queue: [
        type: {:integer, 1..1_000_000},
        default: 256,
        doc: "requests that wait for a place, a second at most; others are answered with 503"
      ],
      defaults: [
        type: :keyword,
        default: [],
        doc: "settings of all functions, see `Wasmex.HTTP`",
        example: "[timeout: 100]"
      ],
      functions: [
        type: :keyword,
        default: %{},
        doc: "settings by the function's name",
        example: ~s|%{"goenv" => [timeout: 100]}|
      ],
      log: [type: :boolean, default: false, doc: "a line to Logger for each request"]
    ]
  end

  @doc "The options of a server besides."
  @spec server() :: keyword(keyword())
  def server do
    [
      port: [
        type: {:integer, 0..65_535},
        default: 8080,
        doc: "0 for any that is free, see `Wasmex.HTTP.Server.port/1`",
        flag: {:port, "N"},
        flag_doc: "the port, by default 8080; 0 for any that is free"
      ],
      ip: [
        type: Type.IP,
        default: {127, 0, 0, 1},
        doc: "the address to listen on",
        flag: {:ip, "ADDRESS"},
        flag_doc: "the address to listen on, by default 127.0.0.1"
      ],
      name: [type: :any, doc: "of the supervisor"],
      web_server: [
        type: {:one_of, [:auto, :bandit, :builtin]},
        default: :auto,
        doc:
          "what speaks HTTP: Bandit, or the server of HTTP/1.1 that is built in; `:auto` is Bandit where the project has it"
      ],
      bandit: [
        type: :keyword,
        default: [],
        doc: "more options of `Bandit`, such as `scheme: :https, certfile: …, keyfile: …`",
        example: "[scheme: :https, certfile: \"cert.pem\", keyfile: \"key.pem\"]"
      ]
    ]
  end

  @doc "Whether there is a page, which a server has by default and a plug has not."
  @spec page(boolean()) :: keyword(keyword())
  def page(default) do
    [
      page: [
        type: :boolean,
        default: default,
        doc: "what `GET /` shows: the functions and how they do"
      ]
    ]
  end
end
