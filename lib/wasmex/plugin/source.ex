defmodule Wasmex.Plugin.Source do
  @moduledoc false
  # Loads the source of a plug-in: its manifest, and its compiled modules in the order of instantiation.

  alias Wasmex.{Artefact, Bytes, Cache, Compiler, Engine, Module}
  alias Wasmex.Plugin.{HTTP, Manifest}

  @typedoc "A module of a manifest; one from a URL with its bytes."
  @type module_source :: Manifest.wasm() | %{source: {:fetched, binary()}}

  @doc "The manifest for a source of `Wasmex.Plugin.compile/2`."
  @spec manifest(term(), boolean()) :: {:ok, Manifest.t()} | {:error, Exception.t()}
  def manifest(%Manifest{} = manifest, _strict?), do: {:ok, manifest}

  def manifest({:bytes, bytes}, _strict?) when is_binary(bytes),
    do: {:ok, %Manifest{wasm: [one({:bytes, bytes})]}}

  def manifest({:manifest, path}, strict?) when is_binary(path) do
    with {:ok, text} <- read(path),
         {:ok, manifest} <- Manifest.from_json(text, strict: strict?),
         do: {:ok, beside(manifest, path)}
  end

  def manifest(map, strict?) when is_map(map) and not is_struct(map),
    do: Manifest.new(map, strict: strict?)

  def manifest(text, _strict?) when is_binary(text),
    do:
      {:ok,
       %Manifest{wasm: [one(if(Bytes.code?(text), do: {:bytes, text}, else: {:path, text}))]}}

  def manifest(other, _strict?) do
    Wasmex.Options.misuse!(
      "a plug-in: a path, {:bytes, binary}, a manifest as a map or {:manifest, path}",
      other
    )
  end

  defp one(source), do: %{source: source, name: nil, hash: nil}

  # Paths are relative to the manifest, then to the current directory.
  defp beside(manifest, path) do
    folder = Path.dirname(path)

    wasm =
      for %{source: source} = module <- manifest.wasm do
        with {:path, file} <- source,
             near = Path.expand(file, folder),
             true <- File.exists?(near) do
          %{module | source: {:path, near}}
        else
          _ -> module
        end
      end

    %{manifest | wasm: wasm}
  end

  @doc "Raises if the options for compiling exclude each other."
  @spec check!(map()) :: :ok
  def check!(%{compile: nil}), do: :ok

  def check!(opts) do
    _ = Compiler.Options.from!(opts)
    :ok
  end

  @doc "Fetches the modules that come from a URL, and verifies their hashes."
  @spec fetch([Manifest.wasm()], map()) :: {:ok, [module_source()]} | {:error, Exception.t()}
  def fetch(wasm, opts), do: each(wasm, &fetch_one(&1, opts))

  defp fetch_one(%{source: {:url, url, method, headers}} = module, opts) do
    http = [http_timeout: opts.http_timeout, http_cacerts: opts.http_cacerts]

    with {:ok, bytes} <- HTTP.fetch(url, [method: method, headers: headers] ++ http),
         :ok <- verify(module, hash(bytes)),
         :ok <- trusted(module, bytes, url),
         do: {:ok, %{module | source: {:fetched, bytes}}}
  end

  defp fetch_one(module, _opts), do: {:ok, module}

  # An artefact is machine code: without a hash, the server could run anything.
  defp trusted(%{hash: nil}, bytes, url) do
    if Artefact.artefact?(bytes),
      do: Manifest.error("#{url} is an artefact, which is machine code: it needs a hash"),
      else: :ok
  end

  defp trusted(_module, _bytes, _url), do: :ok

  @doc "Compiles the modules. Modules precede those that import from them, and the plug-in itself is last."
  @spec modules([module_source()], Engine.t(), map()) ::
          {:ok, [{String.t(), Module.t()}]} | {:error, Exception.t()}
  def modules(wasm, engine, opts) do
    with {:ok, named} <- names(wasm),
         {:ok, compiled} <- each(named, &compile(&1, engine, opts)),
         do: order(compiled)
  end

  defp compiler(%{compile: nil} = opts, {:fetched, _bytes}),
    do: Compiler.Options.from!(%{opts | compile: :isolated})

  defp compiler(%{compile: nil} = opts, _source),
    do: Compiler.Options.from!(%{opts | compile: :auto})

  defp compiler(opts, _source), do: Compiler.Options.from!(opts)

  # The plug-in is the module named `main`, or the last one. Names are used by the imports of other modules.
  defp names([module]), do: {:ok, [{"main", module}]}

  defp names(wasm) do
    main = Enum.find_index(wasm, &(&1.name == "main")) || length(wasm) - 1

    {links, [plugin]} =
      wasm |> List.pop_at(main) |> then(fn {plugin, links} -> {links, [plugin]} end)

    named = Enum.map(links, &{&1.name || "main", &1}) ++ [{plugin.name || "main", plugin}]
    names = Enum.map(named, &elem(&1, 0))

    case names -- Enum.uniq(names) do
      [] -> {:ok, named}
      [name | _] -> Manifest.error("duplicate module name #{inspect(name)}")
    end
  end

  defp each(list, fun) do
    Enum.reduce_while(list, {:ok, []}, fn item, {:ok, done} ->
      case fun.(item) do
        {:ok, made} -> {:cont, {:ok, [made | done]}}
        error -> {:halt, error}
      end
    end)
    |> then(fn result -> with {:ok, done} <- result, do: {:ok, Enum.reverse(done)} end)
  end

  # A file is compiled once until it changes. The hash is that of the compiled bytes.
  defp compile({name, %{source: {:path, path} = source} = module}, engine, opts) do
    load = fn bytes ->
      with {:ok, compiled} <- from_bytes(bytes, engine, compiler(opts, source)),
           do: {:ok, {hash(bytes), compiled}}
    end

    with :ok <- check(path),
         {:ok, {hash, compiled}} <-
           Cache.fetch(path, {__MODULE__, Engine.resource(engine)}, load),
         :ok <- verify(module, hash),
         do: {:ok, {name, compiled}}
  end

  defp compile({name, module}, engine, opts) do
    with {:ok, bytes} <- bytes(module.source),
         :ok <- verify(module, hash(bytes)),
         {:ok, compiled} <- from_bytes(bytes, engine, compiler(opts, module.source)),
         do: {:ok, {name, compiled}}
  end

  @doc "Replaces the only module by its snapshot, with options of `Wasmex.Snapshot.take/2`."
  @spec snapshot([module_source()], keyword() | nil) ::
          {:ok, [module_source()]} | {:error, Exception.t()}
  def snapshot(wasm, nil), do: {:ok, wasm}

  def snapshot([%{source: source} = module], opts) do
    # Fetched bytes are used unchanged.
    kind = if match?({:fetched, _}, source), do: :fetched, else: :bytes

    with {:ok, bytes} <- bytes(source),
         :ok <- verify(module, hash(bytes)),
         {:ok, snapshot} <- Wasmex.Snapshot.take({:bytes, bytes}, opts),
         do: {:ok, [%{module | source: {kind, snapshot.bytes}, hash: nil}]}
  end

  def snapshot(_several, _opts),
    do: Manifest.error("snapshot: requires a plug-in of one module; link its snapshot instead")

  @doc "The bytes of the only module of a manifest, which is a component, and how to compile it."
  @spec component([module_source()], map()) ::
          {:ok, binary(), Compiler.Options.t()} | {:error, Exception.t()}
  def component([module], opts) do
    with {:ok, bytes} <- bytes(module.source),
         :ok <- verify(module, hash(bytes)),
         do: {:ok, bytes, compiler(opts, module.source)}
  end

  def component(_several, _opts),
    do: Manifest.error("a component cannot be linked with other modules")

  defp bytes({kind, bytes}) when kind in [:bytes, :fetched], do: {:ok, bytes}
  defp bytes({:path, path}), do: read(path)

  defp from_bytes(bytes, engine, compiler) do
    if Artefact.artefact?(bytes),
      do: Module.deserialize(bytes, engine),
      else: Module.make(Engine.resource(engine), bytes, compiler)
  end

  defp hash(bytes), do: :sha256 |> :crypto.hash(bytes) |> Base.encode16(case: :lower)

  defp verify(%{hash: nil}, _found), do: :ok

  defp verify(%{hash: expected}, found) do
    if String.downcase(expected) == found,
      do: :ok,
      else: Manifest.error("hash mismatch: found #{found} but expected #{expected}")
  end

  defp read(path), do: with({:error, posix} <- Bytes.read(path), do: unreadable(path, posix))

  # A missing file is reported where it is read.
  defp check(path) do
    case Bytes.check(path) do
      {:error, posix} when posix in [:efbig, :enotsup] -> unreadable(path, posix)
      _ -> :ok
    end
  end

  defp unreadable(path, posix),
    do: Manifest.error("cannot read #{Wasmex.Printable.line(path)}: #{Bytes.format_error(posix)}")

  defp order([_plugin] = modules), do: {:ok, modules}

  defp order(modules) do
    {plugin, _module} = List.last(modules)
    names = Map.new(modules)

    needs =
      Map.new(modules, fn {name, module} ->
        {name, module |> Module.imports() |> Map.keys() |> Enum.filter(&is_map_key(names, &1))}
      end)

    with {:ok, done} <- visit(plugin, [], [], needs),
         # Modules without importers are instantiated too, before the plug-in.
         {:ok, done} <- rest(Map.keys(names) -- done, done, needs) do
      {:ok,
       Enum.map(Enum.reverse(done) -- [plugin], &{&1, names[&1]}) ++ [{plugin, names[plugin]}]}
    end
  end

  defp rest(names, done, needs) do
    Enum.reduce_while(names, {:ok, done}, fn name, {:ok, done} ->
      case visit(name, [], done, needs) do
        {:ok, done} -> {:cont, {:ok, done}}
        error -> {:halt, error}
      end
    end)
  end

  # Depth-first search. `path` leads from the first module to the visited one.
  defp visit(name, path, done, needs) do
    cond do
      name in path ->
        cycle = path |> Enum.take_while(&(&1 != name)) |> Enum.reverse()
        text = Enum.map_join([name] ++ cycle ++ [name], " -> ", &inspect/1)
        Manifest.error("modules import from each other in a cycle: #{text}")

      name in done ->
        {:ok, done}

      true ->
        Enum.reduce_while(needs[name], {:ok, done}, fn need, {:ok, done} ->
          case visit(need, [name | path], done, needs) do
            {:ok, done} -> {:cont, {:ok, done}}
            error -> {:halt, error}
          end
        end)
        |> case do
          {:ok, done} -> {:ok, [name | done]}
          error -> error
        end
    end
  end
end
