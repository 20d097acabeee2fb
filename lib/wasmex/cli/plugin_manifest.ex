defmodule Wasmex.CLI.PluginManifest do
  @moduledoc false
  # The manifest of a plug-in from a command line: a file or a URL, and the options that add to its fields.

  alias Wasmex.{Artefact, CLI, JSON, Plugin}

  # The time limit for fetching --wasm-url, in ms.
  @fetch 30_000

  @doc """
  Builds the manifest. `source` is `{:file, path}` or `{:url, url}`; `task` is the Mix task, for errors in its command
  line.
  """
  @spec build(module(), {:file | :url, String.t()}, keyword()) ::
          {:ok, map()} | {:error, Exception.t() | String.t() | File.posix()}
  def build(task, source, opts) do
    with {:ok, map} <- base(task, source, opts) do
      config = task |> json(opts, :set_config) |> Map.merge(Map.new(opts[:config] || [], &pair/1))
      hosts = json(task, opts, :allow_hosts, []) ++ (opts[:allow_host] || [])

      paths =
        task |> json(opts, :allow_paths) |> Map.merge(Map.new(opts[:allow_path] || [], &path/1))

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

  defp base(_task, {:file, file}, opts) do
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

  defp base(task, {:url, url}, opts) do
    headers =
      case {opts[:auth_header_name], opts[:auth_header_value]} do
        {nil, nil} ->
          %{}

        {name, value} when name != nil and value != nil ->
          %{name => value}

        _ ->
          CLI.misuse(
            task,
            "--auth-header-name and --auth-header-value must be used together"
          )
      end

    with {:ok, bytes} <- fetched(url, headers, opts[:sha256]),
         :ok <- trusted(bytes, opts[:sha256]),
         do: {:ok, %{"wasm" => [hashed(%{"data" => {:bytes, bytes}}, opts)]}}
  end

  # Machine code from a URL must have a known hash.
  defp trusted(bytes, nil) do
    if Artefact.artefact?(bytes),
      do: {:error, "the URL has an artefact, which is machine code: it requires --sha256"},
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

  defp json(task, opts, name, default \\ %{}) do
    case opts[name] do
      nil -> default
      text -> text |> JSON.decode() |> decoded(task, name, default)
    end
  end

  defp decoded({:ok, value}, _task, _name, default) when is_map(value) == is_map(default),
    do: value

  defp decoded({:ok, _value}, task, name, default) do
    expected = if default == [], do: "array", else: "object"
    CLI.misuse(task, "#{flag(name)}: expected a JSON #{expected}")
  end

  defp decoded({:error, error}, task, name, _default),
    do: CLI.misuse(task, "#{flag(name)}: #{Exception.message(error)}")

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
end
