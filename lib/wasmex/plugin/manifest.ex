defmodule Wasmex.Plugin.Manifest do
  @moduledoc """
  The Extism manifest of a plug-in: its modules and its permissions.

  A manifest is a map (with strings or atoms as keys) or a JSON file. All fields except `wasm` are optional.

  | field | default | meaning |
  |---|---|---|
  | `wasm` | | a list of modules, see below; the plug-in is the module named `"main"`, or the last one |
  | `config` | `%{}` | strings by name, read by the plug-in with `config_get` |
  | `allowed_hosts` | `[]` | patterns of hosts for HTTP requests, without port and scheme: `*`, `?`, `[a-z]` |
  | `allowed_paths` | `%{}` | directories, `"/on/the/host"` or `"ro:/on/the/host"` to `"/in/the/guest"`; with `wasi: true` |
  | `timeout_ms` | none | the time limit for each call |
  | `memory.max_pages` | none | the maximum growth of all memories after instantiation, in pages of 64 KiB; see also `max_memory:` of `Wasmex.Plugin.new/2` |
  | `memory.max_var_bytes` | 1 MiB | the maximum size of all variables, with 48 bytes of overhead each; 0 disables them |
  | `memory.max_http_response_bytes` | 50 MiB | the maximum size of a response body |

  A module has exactly one of `path`, `data` (Base64, or `{:bytes, binary}` in Elixir) and `url` (with `method` and
  `headers`). It may have a `name` and a `hash`, its SHA-256 in hexadecimal. Modules are wasm or WAT.

  ## Example

      iex> {:ok, manifest} = Wasmex.Plugin.Manifest.new(%{"wasm" => [%{"path" => "a.wasm"}], "timeout_ms" => 500})
      iex> manifest.timeout_ms
      500
      iex> {:error, error} = Wasmex.Plugin.Manifest.new(%{"wasm" => [%{"path" => "a.wasm"}], "alowed_hosts" => []})
      iex> Exception.message(error)
      ~s|manifest: unknown field "alowed_hosts"; did you mean "allowed_hosts" or "allowed_paths"?|
  """

  alias Wasmex.{Error, JSON, Options, Printable, Utils}

  @options Options.table(
             Keyword.take(Options.Plugin.compile(), [:strict]),
             "Wasmex.Plugin.Manifest.new/2"
           )

  defstruct wasm: [],
            memory: %{
              max_pages: nil,
              max_http_response_bytes: 50 * 1024 * 1024,
              max_var_bytes: 1024 * 1024
            },
            config: %{},
            allowed_hosts: [],
            allowed_paths: %{},
            timeout_ms: nil

  @typedoc "A module: the location of its bytes, its name and its hash."
  @type wasm :: %{
          source:
            {:path, String.t()}
            | {:bytes, binary()}
            | {:url, String.t(), String.t(), %{String.t() => String.t()}},
          name: String.t() | nil,
          hash: String.t() | nil
        }

  @type t :: %__MODULE__{
          wasm: [wasm()],
          memory: %{
            max_pages: non_neg_integer() | nil,
            max_http_response_bytes: non_neg_integer(),
            max_var_bytes: non_neg_integer()
          },
          config: %{String.t() => String.t()},
          allowed_hosts: [String.t()],
          allowed_paths: %{String.t() => String.t()},
          timeout_ms: non_neg_integer() | nil
        }

  @fields ~w(wasm memory config allowed_hosts allowed_paths timeout_ms)
  @memory ~w(max_pages max_http_response_bytes max_var_bytes)
  @wasm ~w(path data url method headers name hash)
  @most 0x7FFF_FFFF_FFFF_FFFF

  @doc "Reads a manifest. With `strict: false`, unknown fields are ignored."
  @spec new(map() | t(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def new(manifest, opts \\ [])
  def new(%__MODULE__{} = manifest, _opts), do: {:ok, manifest}

  def new(%{} = map, opts) when not is_struct(map) do
    strict? = Options.new!(opts, @options).strict
    map = fields(map, @fields, "", strict?)
    memory = fields(present(map, "memory", %{}), @memory, "memory.", strict?)

    manifest = %__MODULE__{
      wasm: wasm(Map.get(map, "wasm", []), strict?),
      memory: memory(memory),
      config: config(present(map, "config", %{})),
      allowed_hosts: hosts(Map.get(map, "allowed_hosts") || []),
      allowed_paths: paths(Map.get(map, "allowed_paths") || %{}),
      timeout_ms: optional("timeout_ms", Map.get(map, "timeout_ms"))
    }

    {:ok, manifest}
  catch
    {:manifest, text} -> error(text)
  end

  def new(other, _opts), do: error("expected a map, got: #{inspect(other, limit: 5)}")

  @doc false
  # Options override fields of the manifest; they were validated.
  @spec override(t(), map()) :: t()
  def override(%__MODULE__{} = manifest, opts) do
    overrides =
      for key <- [:config, :allowed_hosts, :allowed_paths], value = opts[key], do: {key, value}

    struct!(manifest, overrides)
  end

  @doc false
  # The system does not say which directory could not be opened.
  @spec explain(Exception.t(), t()) :: Exception.t()
  def explain(%Error{reason: :wasi, details: %{message: why} = details} = error, manifest) do
    paths =
      for {path, _guest} <- manifest.allowed_paths, do: String.replace_prefix(path, "ro:", "")

    case Enum.reject(paths, &File.dir?/1) do
      [path | _] -> %{error | details: %{details | message: "allowed_paths: #{path}: #{why}"}}
      [] -> error
    end
  end

  def explain(error, _manifest), do: error

  @doc "Reads a manifest from JSON."
  @spec from_json(binary(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def from_json(text, opts \\ [])

  def from_json(text, opts) when is_binary(text) do
    case JSON.decode(text) do
      {:ok, %{} = map} -> new(map, opts)
      {:ok, _other} -> error("expected a JSON object")
      {:error, error} -> error(Exception.message(error))
    end
  end

  def from_json(other, _opts),
    do: Wasmex.Options.misuse!("a manifest as JSON text", other)

  @doc false
  @spec error(String.t()) :: {:error, Error.t()}
  def error(text),
    do:
      {:error,
       %Error{reason: :manifest, details: %{message: "manifest: #{Printable.line(text)}"}}}

  @spec fail(String.t()) :: no_return()
  defp fail(text), do: throw({:manifest, text})

  defp fields(%{} = map, known, where, strict?) do
    map = Map.new(map, fn {key, value} -> {key(key, where), value} end)
    unknown = if strict?, do: Map.keys(map) -- known, else: []

    if unknown != [] do
      names = Printable.list(unknown, ", ", &inspect(where <> &1, printable_limit: 256))
      word = if tl(unknown) == [], do: "field", else: "fields"
      fail("unknown #{word} #{names}#{Error.suggestion(hd(unknown), known)}")
    end

    map
  end

  defp fields(other, _known, where, _strict?) do
    name = if where == "", do: "it", else: String.trim_trailing(where, ".")
    fail("#{name} must be an object, got: #{inspect(other, limit: 5)}")
  end

  defp key(key, _where) when is_binary(key), do: key
  defp key(key, _where) when is_atom(key) and key != nil, do: Atom.to_string(key)
  defp key(key, where), do: fail("#{where}#{inspect(key)} is not the name of a field")

  # A null is most likely a mistake, so it does not count as absent.
  defp present(map, key, default) do
    case map do
      %{^key => nil} -> fail("#{key} must be an object, got: nil")
      %{^key => value} -> value
      _ -> default
    end
  end

  defp memory(memory) do
    defaults = %__MODULE__{}.memory

    %{
      max_pages: optional("memory.max_pages", memory["max_pages"]),
      max_http_response_bytes:
        optional("memory.max_http_response_bytes", memory["max_http_response_bytes"]) ||
          defaults.max_http_response_bytes,
      max_var_bytes:
        optional("memory.max_var_bytes", memory["max_var_bytes"]) || defaults.max_var_bytes
    }
  end

  defp optional(_name, nil), do: nil
  defp optional(_name, number) when is_integer(number) and number in 0..@most, do: number

  defp optional(name, other),
    do: fail("#{name} must be a non-negative integer, got: #{inspect(other, limit: 5)}")

  @doc false
  # For an option: raises if it is invalid.
  @spec config!(term()) :: %{String.t() => String.t()}
  def config!(config) do
    config(config)
  catch
    {:manifest, text} -> raise ArgumentError, text
  end

  defp config(%{} = config) when not is_struct(config) do
    Map.new(config, fn {key, value} ->
      key = if is_atom(key) and key != nil, do: Atom.to_string(key), else: key
      {text("the name of a config value", key), text("config.#{inspect(key)}", value)}
    end)
  end

  defp config(other),
    do: fail("config must be an object of strings, got: #{inspect(other, limit: 5)}")

  defp text(name, text) do
    if is_binary(text) and Utils.utf8?(text),
      do: text,
      else: fail("#{name} must be a string, got: #{inspect(text, limit: 5)}")
  end

  defp hosts(hosts) when is_list(hosts), do: Enum.map(hosts, &text("allowed_hosts", &1))

  defp hosts(other),
    do: fail("allowed_hosts must be a list of strings, got: #{inspect(other, limit: 5)}")

  defp paths(%{} = paths) when not is_struct(paths) do
    Map.new(paths, fn {host, guest} ->
      host = if is_atom(host) and host != nil, do: Atom.to_string(host), else: host
      {text("allowed_paths", host), text("allowed_paths.#{inspect(host)}", guest)}
    end)
  end

  defp paths(other),
    do: fail("allowed_paths must be an object of strings, got: #{inspect(other, limit: 5)}")

  # As many as a component may have: each of them is compiled.
  @modules 1000

  defp wasm([_ | _] = modules, _strict?) when length(modules) > @modules,
    do: fail("wasm must contain at most #{@modules} modules")

  defp wasm([_ | _] = modules, strict?) when is_list(modules),
    do: modules |> Enum.with_index() |> Enum.map(&module(&1, strict?))

  defp wasm([], _strict?), do: fail("wasm must contain at least one module")

  defp wasm(other, _strict?),
    do: fail("wasm must be a list of modules, got: #{inspect(other, limit: 5)}")

  defp module({map, index}, strict?) do
    where = "wasm[#{index}]."
    map = fields(map, @wasm, where, strict?)

    %{
      source: source(Map.take(map, ["path", "data", "url"]), map, where),
      name: map["name"] && text(where <> "name", map["name"]),
      hash: map["hash"] && text(where <> "hash", map["hash"])
    }
  end

  defp source(%{"path" => path} = one, _map, where) when map_size(one) == 1,
    do: {:path, text(where <> "path", path)}

  defp source(%{"data" => {:bytes, bytes}} = one, _map, _where)
       when map_size(one) == 1 and is_binary(bytes),
       do: {:bytes, bytes}

  defp source(%{"data" => data} = one, _map, where) when map_size(one) == 1 do
    case Base.decode64(text(where <> "data", data), ignore: :whitespace, padding: false) do
      {:ok, bytes} -> {:bytes, bytes}
      :error -> fail("#{where}data is not Base64")
    end
  end

  defp source(%{"url" => url} = one, map, where) when map_size(one) == 1 do
    method = text(where <> "method", map["method"] || "GET")
    {:url, text(where <> "url", url), method, config(map["headers"] || %{})}
  end

  defp source(_several, _map, where),
    do: fail("#{String.trim_trailing(where, ".")} must have exactly one of path, data and url")
end
