defmodule Wasmex.Options.Program do
  @moduledoc false
  # The options of a program: of `Wasmex.run/3` and everything else that runs programs.

  alias Wasmex.Options.{Compile, Row, Type, WASI}

  @doc "The rows."
  @spec rows() :: keyword(keyword())
  def rows do
    streams() ++
      dirs() ++
      WASI.granted() ++
      WASI.network() ++
      WASI.http() ++ limits() ++ WASI.files() ++ Compile.rows() ++ observers() ++ others()
  end

  defp streams do
    [
      stdin: [type: Type.Input, doc: "standard input, none by default", group: :streams],
      stdout: output("standard output"),
      stderr: output("standard error; `:stdout` joins both")
    ]
  end

  defp output(doc), do: [type: Type.Output, default: :capture, doc: doc, group: :streams]

  @doc "The directories that a program may use."
  @spec dirs() :: keyword(keyword())
  def dirs do
    [
      dirs: [
        type: Type.Dirs,
        default: [],
        default_doc: "none",
        doc: "directories by the guest's path, `:ro` for read-only",
        example: ~s|%{"/data" => "lib", "/etc" => {"test", :ro}}|,
        flag: {:dir, "HOST[::GUEST][:ro]"},
        flag_doc: "a directory, with the same path in the guest or GUEST; `:ro` for read-only",
        group: :granted
      ]
    ]
  end

  @doc "Limits. A program that exceeds one ends with an error."
  @spec limits() :: keyword(keyword())
  def limits do
    [
      timeout: [
        type: :timeout,
        default: :infinity,
        doc: "the maximum running time",
        flag: {:timeout, "2s"},
        flag_doc: "the maximum running time (`500ms`, `1m`; a bare number is seconds)",
        group: :limits
      ],
      fuel: [
        type: {:or, [nil], :natural},
        doc:
          "the approximate number of instructions it may execute. The program is compiled with fuel, or must be a `Wasmex.Module` of an engine with `consume_fuel: true`",
        flag: {:fuel, "N"},
        flag_doc: "the approximate number of instructions it may execute",
        group: :limits
      ],
      max_memory: [
        type: {:or, [nil], :bytes},
        default_doc: "4 GiB, or half of the machine's memory if that is less",
        doc:
          "the maximum size of all its memories together. Most programs exit when they cannot get more",
        flag: {:max_memory, "64MiB"},
        flag_doc: "the maximum memory",
        group: :limits
      ],
      max_output: [
        type: {:or, [nil, :infinity], :bytes},
        default_doc: "64 MiB of captured output",
        doc: "the maximum output of both streams together",
        flag: {:max_output, "1GB"},
        flag_doc: "the maximum output",
        group: :limits
      ]
    ]
  end

  defp observers do
    [
      trace: [
        type: {:or, [nil], {:function, 1}},
        doc: "called with a `Wasmex.Trace` for each call to WASI or to Elixir",
        example: "&IO.inspect/1",
        group: :observers
      ],
      profile: [
        type: :boolean,
        default: false,
        doc: "adds a `Wasmex.Profile` to the `Wasmex.Run`",
        group: :observers
      ],
      core_dump: [
        type: :boolean,
        default: false,
        doc: "adds the state at a trap to the `Wasmex.Run`",
        group: :observers
      ]
    ]
  end

  defp others do
    [
      imports: [
        type: Type.Imports,
        default: %{},
        doc: "Elixir functions it may call, as in `Wasmex.Instance.new/5`",
        group: :others
      ],
      links: [
        type: Type.Links,
        default: %{},
        doc: "modules by name, whose exports it may import",
        group: :others
      ],
      invoke: [
        type: Type.Invoke,
        doc:
          "a function and its parameters, called instead of `_start`; the results are in the `Wasmex.Run`. For a module, options of `Wasmex.Instance.call/4` may follow: `{\"up\", [{:string, \"a\"}], returns: :string}`",
        example: ~s|{"add", [1, 2]}|,
        group: :others
      ],
      name: [
        type: {:or, [nil], :string},
        default_doc: "the file's or the module's name",
        doc: "argv[0], and the name in logs",
        flag: {:name, "TEXT"},
        flag_doc: "argv[0], by default the file's name",
        group: :others
      ],
      tags: Row.tags() ++ [group: :others],
      engine: [
        type: {:or, [nil], {:struct, Wasmex.Engine}},
        default_doc: "the default engine",
        doc: "the engine that paths and bytes are compiled for",
        group: :others
      ],
      entry: [
        type: :any,
        internal: true,
        doc: "an entry other than `_start` and `:invoke`, as a `Wasmex.Program.Entry`"
      ]
    ]
  end
end
