defmodule Mix.Tasks.Wasmex.Call do
  @shortdoc "Calls a function of a plug-in"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @options Options.table(
             [
               input: [
                 type: {:or, [nil], :string},
                 doc: false,
                 flag: {:input, "TEXT", :i},
                 flag_doc: "the input, empty by default",
                 group: :input
               ],
               stdin: [
                 type: :boolean,
                 default: false,
                 doc: "read the input from standard input",
                 flag: :stdin,
                 group: :input
               ],
               loop: [
                 type: :natural,
                 default: 1,
                 doc: "call the function N times and print a line break after each output",
                 flag: {:loop, "N"},
                 group: :input
               ],
               manifest: [
                 type: :boolean,
                 default: false,
                 doc: "FILE is a manifest (JSON); the other options are added to it",
                 flag: {:manifest, "", :m},
                 group: :source
               ],
               link: [
                 type: {:list, :string},
                 default: [],
                 doc:
                   "a module that provides the imports of NAME, by default the name of the file",
                 flag: {:link, "NAME=FILE"},
                 group: :source
               ],
               wasm_url: [
                 type: {:or, [nil], :string},
                 doc: "fetch the module from URL instead of FILE; downloads are cached",
                 flag: {:wasm_url, "URL"},
                 group: :source
               ],
               sha256: [
                 type: {:or, [nil], :string},
                 doc: "the expected hash of the module",
                 flag: {:sha256, "HEX"},
                 group: :source
               ],
               auth_header_name: [
                 type: {:or, [nil], :string},
                 doc: "the name of a header for that request",
                 flag: {:auth_header_name, "NAME"},
                 group: :source
               ],
               auth_header_value: [
                 type: {:or, [nil], :string},
                 doc: "the value of that header",
                 flag: {:auth_header_value, "VALUE"},
                 group: :source
               ],
               wasi: [
                 type: :boolean,
                 default: false,
                 doc: "enable WASI, with the terminal's standard output and error",
                 flag: :wasi,
                 group: :granted
               ],
               allow_path: [
                 type: {:list, :string},
                 default: [],
                 doc: "a directory, or `HOST:GUEST`; the prefix `ro:` makes it read-only",
                 flag: {:allow_path, "DIR"},
                 group: :granted
               ],
               allow_paths: [
                 type: {:or, [nil], :string},
                 doc: ~S(directories as a JSON object: `{"/srv": "/data"}`),
                 flag: {:allow_paths, "JSON"},
                 group: :granted
               ],
               allow_host: [
                 type: {:list, :string},
                 default: [],
                 doc: "hosts that the plug-in may send HTTP requests to",
                 flag: {:allow_host, "PATTERN"},
                 group: :granted
               ],
               allow_hosts: [
                 type: {:or, [nil], :string},
                 doc: "hosts as a JSON array",
                 flag: {:allow_hosts, "JSON"},
                 group: :granted
               ],
               enable_http_response_headers: [
                 type: :boolean,
                 default: false,
                 doc: "pass response headers to the plug-in",
                 flag: :enable_http_response_headers,
                 group: :granted
               ],
               config: [
                 type: {:list, :string},
                 default: [],
                 doc: "a configuration value",
                 flag: {:config, "NAME=VALUE"},
                 group: :granted
               ],
               set_config: [
                 type: {:or, [nil], :string},
                 doc: "configuration values as a JSON object; `--config` takes precedence",
                 flag: {:set_config, "JSON"},
                 group: :granted
               ],
               timeout: [
                 type: {:or, [nil], :string},
                 doc: "the time limit for each call, in milliseconds or with a unit (`2s`)",
                 flag: {:timeout, "MS"},
                 group: :limits
               ],
               memory_max: [
                 type: {:or, [nil], :natural},
                 doc: "the maximum growth of its memory, in pages of 64 KiB",
                 flag: {:memory_max, "PAGES"},
                 group: :limits
               ],
               http_response_max: [
                 type: {:or, [nil], :natural},
                 doc: "the maximum size of a response body",
                 flag: {:http_response_max, "BYTES"},
                 group: :limits
               ],
               var_max: [
                 type: {:or, [nil], :natural},
                 doc: "the maximum size of its variables",
                 flag: {:var_max, "BYTES"},
                 group: :limits
               ],
               log_level: [
                 type: {:or, [nil], {:one_of, [:trace, :debug, :info, :warn, :error, :off]}},
                 doc: "the minimum level of log messages on standard error, by default error",
                 flag: {:log_level, "LEVEL"},
                 group: :logs
               ],
               verbose: [
                 type: :boolean,
                 default: false,
                 doc: "the same as `--log-level trace`",
                 flag: {:verbose, "", :v},
                 group: :logs
               ],
               quiet: [
                 type: :boolean,
                 default: false,
                 doc: "the same as `--log-level off`",
                 flag: {:quiet, "", :q},
                 group: :logs
               ]
             ] ++ Options.Compile.rows(:isolated),
             "mix wasmex.call"
           )

  @moduledoc """
  Calls a function of a plug-in with the Extism ABI and writes its output, byte for byte.

      mix wasmex.call [OPTIONS] FILE FUNCTION
      mix wasmex.call plugin.wasm greet --input Ada
      cat page.html | mix wasmex.call --stdin --timeout 500 plugin.wasm clean > clean.html
      mix wasmex.call --wasm-url https://example.com/p.wasm --sha256 450f… greet

  The options are those of `extism call`. FILE is wasm, WAT, or a manifest with `--manifest`.

  ## Input

  #{Flag.docs(@options, :input)}

  ## Source

  #{Flag.docs(@options, :source)}

  ## Grants

  #{Flag.docs(@options, :granted)}

  ## Limits

  #{Flag.docs(@options, :limits)}

  ## Compiling

  See `Wasmex.Compiler`.

  #{Flag.docs(@options, :compile)}

  ## Logs

  #{Flag.docs(@options, :logs)}

  ## Exit status

  0 for success. 1 if the call failed (an error of the plug-in with its code, a trap, a timeout); the reason is on
  standard error. 2 for an invalid command line.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  alias Wasmex.{CLI, Plugin, Quantity}
  alias Wasmex.CLI.{PluginManifest, Progress}

  @impl true
  def run(argv) do
    {opts, words} = CLI.options(__MODULE__, argv, @options)
    {source, function} = words(opts, words)

    if opts[:input] && opts[:stdin],
      do: CLI.misuse(__MODULE__, "--input and --stdin cannot be combined")

    CLI.start()
    level = level(opts)
    log_to_stderr()

    with {:ok, manifest} <- PluginManifest.build(__MODULE__, source, opts),
         {:ok, plugin} <-
           Progress.run("loading the plug-in", fn ->
             Plugin.new(manifest, options(opts, level))
           end),
         :ok <- call(plugin, function, input(opts), Keyword.get(opts, :loop, 1)) do
      :ok
    else
      {:error, error} -> CLI.fail("Error: " <> reason(error))
    end
  end

  defp words(opts, words) do
    case {opts[:wasm_url], words} do
      {nil, [file, function]} -> {{:file, file}, function}
      {url, [function]} when url != nil -> {{:url, url}, function}
      {nil, _} -> CLI.misuse(__MODULE__, "expected FILE and FUNCTION")
      {_url, _} -> CLI.misuse(__MODULE__, "with --wasm-url, expected only FUNCTION")
    end
  end

  defp options(opts, level) do
    stdio = if opts[:wasi], do: [stdout: :inherit, stderr: :inherit], else: []

    [
      wasi: opts[:wasi] || false,
      http_response_headers: opts[:enable_http_response_headers] || false,
      log_level: level
    ] ++
      stdio ++
      CLI.compile_options(__MODULE__, opts) ++
      if(opts[:timeout], do: [timeout: timeout(opts[:timeout])], else: [])
  end

  # Milliseconds as in `extism call`, or a time with a unit.
  defp timeout(text) do
    case Quantity.natural(text) do
      {:ok, ms} ->
        ms

      :error ->
        case Quantity.duration(text) do
          {:ok, ms} -> ms
          {:error, why} -> CLI.misuse(__MODULE__, "--timeout: #{why}")
        end
    end
  end

  defp level(opts) do
    cond do
      level = opts[:log_level] -> level
      opts[:verbose] -> :trace
      opts[:quiet] -> :off
      true -> :error
    end
  end

  # Standard output is for the output of the plug-in.
  defp log_to_stderr do
    for %{id: id} <- :logger.get_handler_config(), do: :logger.remove_handler(id)
    :ok = :logger.add_handler(__MODULE__, __MODULE__, %{})
    :logger.set_primary_config(:level, :debug)
  end

  @doc false
  @spec log(:logger.log_event(), term()) :: :ok
  def log(%{level: level, msg: {:string, text}, meta: %{plugin: _}}, _config),
    do: IO.puts(:stderr, "#{level}: #{text}")

  def log(_event, _config), do: :ok

  defp input(opts) do
    if opts[:stdin], do: read_all(), else: opts[:input] || ""
  end

  defp read_all do
    :io.setopts(:standard_io, encoding: :latin1, binary: true)

    case IO.binread(:stdio, :eof) do
      bytes when is_binary(bytes) -> bytes
      _ -> ""
    end
  end

  defp call(_plugin, _function, _input, 0), do: :ok

  defp call(plugin, function, input, times) do
    :io.setopts(:standard_io, encoding: :latin1)

    Enum.reduce_while(1..times, :ok, fn _, :ok ->
      case Plugin.call(plugin, function, input) do
        {:ok, output} ->
          CLI.print_bytes(if(times > 1, do: [output, ?\n], else: output))
          {:cont, :ok}

        error ->
          {:halt, error}
      end
    end)
  end

  defp reason(%Plugin.Error{code: code, message: text}), do: "#{text} (code #{code})"
  defp reason(%{__exception__: true} = error), do: Exception.message(error)
  defp reason(text) when is_binary(text), do: text
  defp reason(posix), do: to_string(:file.format_error(posix))
end
