defmodule Wasmex.Plugin.Source do
  @moduledoc false
  # Loads the source of a plug-in: its manifest, and its compiled modules in the order of instantiation.

  alias Wasmex.{Artefact, Bytes, Cache, Compiler, Engine, Module}
  alias Wasmex.Plugin.{HTTP, Manifest}

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

  @doc "Compiles the modules. Modules precede those that import from them, and the plug-in itself is last."
  @spec modules(Manifest.t(), Engine.t()) ::
          {:ok, [{String.t(), Module.t()}]} | {:error, Exception.t()}
  def modules(%Manifest{wasm: wasm}, engine) do
    with {:ok, named} <- names(wasm),
         {:ok, compiled} <- each(named, &compile(&1, engine)),
         do: order(compiled)
  end

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
  defp compile({name, %{source: {:path, path}} = module}, engine) do
    load = fn bytes ->
      with {:ok, compiled} <- from_bytes(bytes, engine), do: {:ok, {hash(bytes), compiled}}
    end

    with {:ok, {hash, compiled}} <-
           Cache.fetch(path, {__MODULE__, Engine.resource(engine)}, load),
         :ok <- verify(module, hash),
         do: {:ok, {name, compiled}}
  end

  defp compile({name, module}, engine) do
    with {:ok, bytes} <- bytes(module.source),
         :ok <- verify(module, hash(bytes)),
         {:ok, compiled} <- from_bytes(bytes, engine),
         do: {:ok, {name, compiled}}
  end

  @doc "The bytes of the only module of a manifest, which is a component."
  @spec component(Manifest.t()) :: {:ok, binary()} | {:error, Exception.t()}
  def component(%Manifest{wasm: [module]}) do
    with {:ok, bytes} <- bytes(module.source),
         :ok <- verify(module, hash(bytes)),
         do: {:ok, bytes}
  end

  def component(_several),
    do: Manifest.error("a component cannot be linked with other modules")

  defp bytes({:bytes, bytes}), do: {:ok, bytes}
  defp bytes({:path, path}), do: read(path)
  defp bytes({:url, url, method, headers}), do: HTTP.fetch(url, method, headers)

  defp from_bytes(bytes, engine) do
    if Artefact.artefact?(bytes),
      do: Module.deserialize(bytes, engine),
      else: Module.make(Engine.resource(engine), bytes, %Compiler.Options{cache: true})
  end

  defp hash(bytes), do: :sha256 |> :crypto.hash(bytes) |> Base.encode16(case: :lower)

  defp verify(%{hash: nil}, _found), do: :ok

  defp verify(%{hash: expected}, found) do
    if String.downcase(expected) == found,
      do: :ok,
      else: Manifest.error("hash mismatch: found #{found} but expected #{expected}")
  end

  defp read(path) do
    with {:error, posix} <- File.read(path),
         do: Manifest.error("cannot read #{path}: #{:file.format_error(posix)}")
  end

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
