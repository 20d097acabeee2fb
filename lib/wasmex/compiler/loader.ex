defmodule Wasmex.Compiler.Loader do
  @moduledoc false
  # Loads the code of processes started with bytes or a path: compiles it, or loads the artefact. A file is compiled
  # once until it changes, and compiled code is kept in the disk cache.

  alias Wasmex.{Artefact, Cache, Compat, Compiler, Engine, Error, Module, Native, StoreOrCaller}
  alias Wasmex.Components
  alias Wasmex.Components.Component

  @type source :: {:bytes, binary()} | {:path, Path.t()}

  @doc "The compile options among the validated options of a process."
  @spec options(map()) :: Compiler.Options.t()
  def options(opts) do
    opts
    |> Map.take(Compiler.Options.keys())
    |> Map.put_new(:cache, true)
    |> Map.to_list()
    |> Compiler.Options.new!()
  end

  @doc "The module for a store. Errors are texts, as in `Wasmex.Module.compile/3`."
  @spec module(StoreOrCaller.t(), source(), Compiler.Options.t()) ::
          {:ok, Module.t()} | {:error, String.t()}
  def module(store, source, options) do
    {resource, _via} = StoreOrCaller.split(store)
    engine = Native.store_engine(resource)
    source |> load(:module, engine, &module_of(&1, engine, options)) |> text(source)
  end

  defp module_of(bytes, engine, options) do
    if Artefact.artefact?(bytes),
      do: Module.deserialize(bytes, %Engine{resource: engine}),
      else: Module.make(engine, bytes, options)
  end

  @doc "The component for a store, the same way."
  @spec component(Components.Store.t(), source(), Compiler.Options.t()) ::
          {:ok, Component.t()} | {:error, String.t()}
  def component(store, source, options) do
    engine = Native.store_engine(Components.Store.resource!(store))
    source |> load(:component, engine, &component_of(&1, engine, %{}, options)) |> text(source)
  end

  @doc "The component from bytes, with atoms for names; errors are exceptions."
  @spec component_of(binary(), reference(), map(), Compiler.Options.t()) ::
          {:ok, Component.t()} | {:error, Exception.t()}
  def component_of(bytes, engine, names, options) do
    if Artefact.artefact?(bytes),
      do: Component.deserialize(bytes, %Engine{resource: engine}, names: names),
      else: Component.make(engine, bytes, names, options)
  end

  @doc "Loads a source with a function, for a file once until it changes; `kind` distinguishes results for the same file."
  @spec load(source(), term(), reference(), (binary() -> {:ok, made} | {:error, Exception.t()})) ::
          {:ok, made} | {:error, Exception.t()}
        when made: term()
  def load({:bytes, bytes}, _kind, _engine, make), do: make.(bytes)
  def load({:path, path}, kind, engine, make), do: Cache.fetch(path, {kind, engine}, make)

  # As in Wasmex 0.15.
  defp text({:error, %Error{reason: :file, details: %{posix: posix}}}, {:path, path}),
    do: {:error, "could not read #{path}: #{:file.format_error(posix)}"}

  defp text({:error, error}, _source), do: {:error, Compat.text(error)}
  defp text(ok, _source), do: ok
end
