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

  `Wasmex.Compiler` tells more.

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

  alias Wasmex.{Artefact, CLI, JSON, Plugin, Quantity}

  # ms for what --wasm-url fetches.
  @fetch 30_000

  @impl true
  def run(argv) do
    {opts, words} = CLI.options(__MODULE__, argv, @options)
    {source, function} = words(opts, words)

    if opts[:input] && opts[:stdin],
      do: CLI.misuse(__MODULE__, "--input and --stdin cannot be combined")

    CLI.start()
    level = level(opts)
    log_to_stderr()

    with {:ok, manifest} <- manifest(source, opts),
         {:ok, plugin} <- Plugin.new(manifest, options(opts, level)),
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

  # The options that add to each field of the manifest.
  defp manifest(source, opts) do
    with {:ok, map} <- base(source, opts) do
      config = opts |> json(:set_config) |> Map.merge(Map.new(opts[:config] || [], &pair/1))
      hosts = json(opts, :allow_hosts, []) ++ (opts[:allow_host] || [])
      paths = opts |> json(:allow_paths) |> Map.merge(Map.new(opts[:allow_path] || [], &path/1))
      links = Enum.map(opts[:link] || [], &link/1)

      memory =
        for {field, name} <- [
              {"max_pages", :memory_max},
              {"max_http_response_bytes", :http_response_max},
              {"max_var_bytes", :var_max}
            ],
            opts[name] != nil,
            into: %{},
            do: {field, opts[name]}

      {:ok,
       map
       |> add("config", config, &Map.merge/2)
       |> add("allowed_hosts", hosts, &(&1 ++ &2))
       |> add("allowed_paths", paths, &Map.merge/2)
       |> add("memory", memory, &Map.merge/2)
       |> Map.update("wasm", links, &(links ++ List.wrap(&1)))}
    end
  end

  defp base({:file, file}, opts) do
    cond do
      opts[:manifest] ->
        with {:ok, text} <- CLI.read(file),
             {:ok, %{} = map} <- JSON.decode(text) do
          {:ok, map}
        else
          {:ok, _} ->
            {:error, "#{file}: a manifest must be a JSON object"}

          {:error, %{__exception__: true} = error} ->
            {:error, "#{file}: #{Exception.message(error)}"}

          error ->
            error
        end

      true ->
        {:ok, %{"wasm" => [hashed(%{"path" => file}, opts)]}}
    end
  end

  defp base({:url, url}, opts) do
    headers =
      case {opts[:auth_header_name], opts[:auth_header_value]} do
        {nil, nil} ->
          %{}

        {name, value} when name != nil and value != nil ->
          %{name => value}

        _ ->
          CLI.misuse(
            __MODULE__,
            "--auth-header-name and --auth-header-value must be used together"
          )
      end

    with {:ok, bytes} <- fetched(url, headers, opts[:sha256]),
         :ok <- trusted(bytes, opts[:sha256]),
         do: {:ok, %{"wasm" => [hashed(%{"data" => {:bytes, bytes}}, opts)]}}
  end

  # Machine code, from whoever answers at the URL.
  defp trusted(bytes, nil) do
    if Artefact.artefact?(bytes),
      do: {:error, "what the URL has is an artefact, which is machine code: it needs --sha256"},
      else: :ok
  end

  defp trusted(_bytes, _sha256), do: :ok

  defp hashed(module, opts),
    do: if(opts[:sha256], do: Map.put(module, "hash", opts[:sha256]), else: module)

  # Cached by URL. A cached file with the expected hash is not fetched again.
  defp fetched(url, headers, sha256) do
    file =
      Path.join([
        cache(),
        "plugins",
        Base.encode16(:crypto.hash(:sha256, url), case: :lower) <> ".wasm"
      ])

    case File.read(file) do
      {:ok, bytes} when sha256 == nil -> {:ok, bytes}
      {:ok, bytes} -> if hash?(bytes, sha256), do: {:ok, bytes}, else: fetch(url, headers, file)
      _ -> fetch(url, headers, file)
    end
  end

  defp fetch(url, headers, file) do
    with {:ok, bytes} <- Plugin.HTTP.fetch(url, headers: headers, http_timeout: @fetch),
         :ok <- File.mkdir_p(Path.dirname(file)),
         :ok <- CLI.write(file, bytes),
         do: {:ok, bytes}
  end

  defp cache, do: :filename.basedir(:user_cache, "wasmex") |> to_string()

  defp hash?(bytes, sha256),
    do: Base.encode16(:crypto.hash(:sha256, bytes), case: :lower) == String.downcase(sha256)

  defp add(map, _field, nothing, _merge) when nothing in [%{}, []], do: map

  defp add(map, field, value, merge),
    do: Map.update(map, field, value, &merge.(&1 || empty(value), value))

  defp empty(value) when is_map(value), do: %{}
  defp empty(_value), do: []

  defp json(opts, name, default \\ %{}) do
    case opts[name] do
      nil -> default
      text -> text |> JSON.decode() |> decoded(name, default)
    end
  end

  defp decoded({:ok, value}, _name, default) when is_map(value) == is_map(default), do: value

  defp decoded({:ok, _value}, name, default) do
    expected = if default == [], do: "array", else: "object"
    CLI.misuse(__MODULE__, "#{flag(name)}: expected a JSON #{expected}")
  end

  defp decoded({:error, error}, name, _default),
    do: CLI.misuse(__MODULE__, "#{flag(name)}: #{Exception.message(error)}")

  defp flag(name), do: "--" <> (name |> Atom.to_string() |> String.replace("_", "-"))

  # The value is empty if there is no `=`.
  defp pair(text) do
    case String.split(text, "=", parts: 2) do
      [key, value] -> {key, value}
      [key] -> {key, ""}
    end
  end

  # [ro:]HOST[:GUEST]
  defp path("ro:" <> rest) do
    {host, guest} = path(rest)
    {"ro:" <> host, guest}
  end

  defp path(text) do
    case String.split(text, ":", parts: 2) do
      [host, guest] -> {host, guest}
      [host] -> {host, host}
    end
  end

  defp link(text) do
    {name, place} =
      case String.split(text, "=", parts: 2) do
        [name, place] -> {name, place}
        [place] -> {Path.basename(place, ".wasm"), place}
      end

    if place =~ ~r{\Ahttps?://},
      do: %{"name" => name, "url" => place},
      else: %{"name" => name, "path" => place}
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
    with {ms, ""} when ms >= 0 <- Integer.parse(text) do
      ms
    else
      _ ->
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
          IO.binwrite(:stdio, if(times > 1, do: [output, ?\n], else: output))
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
