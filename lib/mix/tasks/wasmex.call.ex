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
                 flag_doc: "the input, by default none",
                 group: :input
               ],
               stdin: [
                 type: :boolean,
                 default: false,
                 doc: "the input is what comes from standard input",
                 flag: :stdin,
                 group: :input
               ],
               loop: [
                 type: :natural,
                 default: 1,
                 doc: "calls it so often, and writes a line break after each output",
                 flag: {:loop, "N"},
                 group: :input
               ],
               manifest: [
                 type: :boolean,
                 default: false,
                 doc: "FILE is a manifest (JSON), to which the options here are added",
                 flag: {:manifest, "", :m},
                 group: :source
               ],
               link: [
                 type: {:list, :string},
                 default: [],
                 doc: "a module that it imports from NAME, by default the file's own name",
                 flag: {:link, "NAME=FILE"},
                 group: :source
               ],
               wasm_url: [
                 type: {:or, [nil], :string},
                 doc: "in the place of FILE; what was fetched is kept in a cache",
                 flag: {:wasm_url, "URL"},
                 group: :source
               ],
               sha256: [
                 type: {:or, [nil], :string},
                 doc: "the hash that it must have",
                 flag: {:sha256, "HEX"},
                 group: :source
               ],
               auth_header_name: [
                 type: {:or, [nil], :string},
                 doc: "a header for that request",
                 flag: {:auth_header_name, "NAME"},
                 group: :source
               ],
               auth_header_value: [
                 type: {:or, [nil], :string},
                 doc: "its value",
                 flag: {:auth_header_value, "VALUE"},
                 group: :source
               ],
               wasi: [
                 type: :boolean,
                 default: false,
                 doc: "WASI, with the terminal's standard output and error",
                 flag: :wasi,
                 group: :granted
               ],
               allow_path: [
                 type: {:list, :string},
                 default: [],
                 doc: "a directory, also `HOST:GUEST`, and `ro:` before it for reading only",
                 flag: {:allow_path, "DIR"},
                 group: :granted
               ],
               allow_paths: [
                 type: {:or, [nil], :string},
                 doc: ~S(the same as an object: `{"/srv": "/data"}`),
                 flag: {:allow_paths, "JSON"},
                 group: :granted
               ],
               allow_host: [
                 type: {:list, :string},
                 default: [],
                 doc: "hosts that it may send HTTP requests to",
                 flag: {:allow_host, "PATTERN"},
                 group: :granted
               ],
               allow_hosts: [
                 type: {:or, [nil], :string},
                 doc: "the same as an array",
                 flag: {:allow_hosts, "JSON"},
                 group: :granted
               ],
               enable_http_response_headers: [
                 type: :boolean,
                 default: false,
                 doc: "it sees the headers of responses",
                 flag: :enable_http_response_headers,
                 group: :granted
               ],
               config: [
                 type: {:list, :string},
                 default: [],
                 doc: "its configuration",
                 flag: {:config, "NAME=VALUE"},
                 group: :granted
               ],
               set_config: [
                 type: {:or, [nil], :string},
                 doc: "the same as an object; `--config` wins",
                 flag: {:set_config, "JSON"},
                 group: :granted
               ],
               timeout: [
                 type: {:or, [nil], :string},
                 doc: "the time that each call may take; also `2s`",
                 flag: {:timeout, "MS"},
                 group: :limits
               ],
               memory_max: [
                 type: {:or, [nil], :natural},
                 doc: "pages of 64 KiB that its memory may grow by",
                 flag: {:memory_max, "PAGES"},
                 group: :limits
               ],
               http_response_max: [
                 type: {:or, [nil], :natural},
                 doc: "what a response may take",
                 flag: {:http_response_max, "BYTES"},
                 group: :limits
               ],
               var_max: [
                 type: {:or, [nil], :natural},
                 doc: "what its variables may take",
                 flag: {:var_max, "BYTES"},
                 group: :limits
               ],
               log_level: [
                 type: {:or, [nil], {:one_of, [:trace, :debug, :info, :warn, :error, :off]}},
                 doc: "what it logs goes to standard error from this level on, by default error",
                 flag: {:log_level, "LEVEL"},
                 group: :logs
               ],
               verbose: [
                 type: :boolean,
                 default: false,
                 doc: "as `--log-level trace`",
                 flag: {:verbose, "", :v},
                 group: :logs
               ],
               quiet: [
                 type: :boolean,
                 default: false,
                 doc: "as `--log-level off`",
                 flag: {:quiet, "", :q},
                 group: :logs
               ]
             ],
             "mix wasmex.call"
           )

  @moduledoc """
  Calls a function of a plug-in with the ABI of Extism and writes its output, byte for byte.

      mix wasmex.call [OPTIONS] FILE FUNCTION
      mix wasmex.call plugin.wasm greet --input Ada
      cat page.html | mix wasmex.call --stdin --timeout 500 plugin.wasm clean > clean.html
      mix wasmex.call --wasm-url https://example.com/p.wasm --sha256 450f… greet

  The options are those of `extism call`. FILE is WebAssembly, its text form, or with `--manifest` a manifest.

  ## Input

  #{Flag.docs(@options, :input)}

  ## What it is made of

  #{Flag.docs(@options, :source)}

  ## What it is granted

  #{Flag.docs(@options, :granted)}

  ## Limits

  #{Flag.docs(@options, :limits)}

  ## Logs

  #{Flag.docs(@options, :logs)}

  ## Exit status

  0, or 1 with the reason on standard error: the plug-in's own error and its code, a trap, a time that was up; 2 for
  a wrong command line.
  """

  use Mix.Task

  alias Wasmex.{CLI, JSON, Plugin, Quantity}

  @impl true
  def run(argv) do
    {opts, words} = CLI.options(__MODULE__, argv, @options)
    {source, function} = words(opts, words)

    if opts[:input] && opts[:stdin],
      do: CLI.misuse(__MODULE__, "--input and --stdin exclude each other")

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
      {_url, _} -> CLI.misuse(__MODULE__, "expected FUNCTION alone, for there is a --wasm-url")
    end
  end

  # Each of the manifest's fields by the options that add to it.
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
            {:error, "#{file}: a manifest is a JSON object"}

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
        {nil, nil} -> %{}
        {name, value} when name != nil and value != nil -> %{name => value}
        _ -> CLI.misuse(__MODULE__, "--auth-header-name and --auth-header-value go together")
      end

    with {:ok, file} <- fetched(url, headers, opts[:sha256]),
         do: {:ok, %{"wasm" => [hashed(%{"path" => file}, opts)]}}
  end

  defp hashed(module, opts),
    do: if(opts[:sha256], do: Map.put(module, "hash", opts[:sha256]), else: module)

  # By the URL; what is there and has the hash is not fetched again.
  defp fetched(url, headers, sha256) do
    file =
      Path.join([
        cache(),
        "plugins",
        Base.encode16(:crypto.hash(:sha256, url), case: :lower) <> ".wasm"
      ])

    if File.exists?(file) and (sha256 == nil or hash(file) == String.downcase(sha256)) do
      {:ok, file}
    else
      with {:ok, bytes} <- Plugin.HTTP.fetch(url, "GET", headers),
           :ok <- File.mkdir_p(Path.dirname(file)),
           :ok <- CLI.write(file, bytes),
           do: {:ok, file}
    end
  end

  defp cache, do: :filename.basedir(:user_cache, "wasmex") |> to_string()
  defp hash(file), do: :sha256 |> :crypto.hash(File.read!(file)) |> Base.encode16(case: :lower)

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

  # Without = the value is empty.
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
    ] ++ stdio ++ if(opts[:timeout], do: [timeout: timeout(opts[:timeout])], else: [])
  end

  # Milliseconds as `extism call` has it, or a time with its unit.
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

  # Standard output belongs to the plug-in.
  defp log_to_stderr do
    for %{id: id} <- :logger.get_handler_config(), do: :logger.remove_handler(id)
    :ok = :logger.add_handler(__MODULE__, __MODULE__, %{})
    :logger.set_primary_config(:level, :debug)
  end

  @doc false
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
