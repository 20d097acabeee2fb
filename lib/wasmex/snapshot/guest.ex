defmodule Wasmex.Snapshot.Guest do
  @moduledoc false
  # Runs the initialisation of an instrumented guest, and reads its whole state.

  alias Wasmex.{
    Components,
    Engine,
    Error,
    Global,
    Instance,
    Linker,
    Memory,
    Native,
    Store
  }

  alias Wasmex.{StoreLimits, Template, Utils}
  alias Wasmex.Program.Compiled
  alias Wasmex.Snapshot.{Absent, Refusal, State}
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  # The names of Wizer's exports.
  @module "__wizer_"
  @component "wasmtime:wizer/access"

  # Read in parts, so that each takes little time.
  @part 4 * 1024 * 1024

  @doc "The state, and the shared state that was read."
  @spec run(:module | :component, binary(), map(), Wasmex.Compiler.Options.t()) ::
          {:ok, [State.value()], [atom()] | :unknown} | {:error, Exception.t()}
  def run(kind, wasm, opts, compile) do
    engine = opts.engine || Engine.default()
    limits = %StoreLimits{memory_size: opts.max_memory}

    with {:ok, compiled} <- Compiled.compile(wasm, engine, compile),
         {:ok, store} <- Store.make(wasi(kind, opts.wasi), limits, engine, observed(kind)) do
      try do
        initialised(kind, compiled, store, opts)
      after
        Store.close(store)
      end
    end
  end

  defp observed(:module), do: [:trace]
  defp observed(:component), do: []

  defp wasi(:module, true), do: %WasiOptions{}
  defp wasi(:module, %WasiOptions{} = wasi), do: wasi
  defp wasi(:component, true), do: WasiP2Options.nothing()
  defp wasi(:component, %WasiP2Options{} = wasi), do: wasi

  defp wasi(kind, other),
    do: Wasmex.Options.misuse!("true or the WASI options of a #{kind} as wasi", other)

  defp initialised(:module, module, store, opts) do
    linker = %Linker{imports: imports(module, opts.imports), wasi: :traced}

    with {:ok, template} <- Linker.instantiate_pre(linker, module),
         {:ok, instance} <- Template.instantiate(template, store, timeout: opts.timeout),
         calls = calls(store),
         :ok <- called(opts.init, &Instance.call(instance, &1, [], timeout: opts.timeout)),
         calls = calls ++ calls(store),
         :ok <- closed(calls),
         {:ok, state} <- read(store, instance, Wasmex.Module.exports(module)) do
      {:ok, state, uses(calls)}
    end
  end

  defp initialised(:component, component, store, opts) do
    own = Components.Store.__wrap_resource__(store.resource)

    with {:ok, template} <- Components.Template.new(component, opts.imports),
         {:ok, instance} <- Components.Template.instantiate(template, own, timeout: opts.timeout),
         :ok <-
           called(opts.init, &Components.Instance.call(instance, &1, [], timeout: opts.timeout)),
         {:ok, state} <- read(instance, Components.Component.exports(component)) do
      {:ok, state, :unknown}
    end
  end

  # Missing imports that a function of Elixir could be are defined, and fail when called: they may exist at run time, but
  # must not be needed now.
  defp imports(module, provided) do
    provided =
      Map.new(provided, fn {namespace, items} ->
        {Utils.stringify(namespace), Utils.stringify_keys(items)}
      end)

    missing =
      for {namespace, items} <- Wasmex.Module.imports(module),
          namespace != "wasi_snapshot_preview1",
          {name, {:fn, params, results}} <- items,
          not is_map_key(Map.get(provided, namespace, %{}), name),
          params = Enum.map(params, &declared/1),
          results = Enum.map(results, &declared/1),
          # Others are reported as missing.
          nil not in params and nil not in results and length(params) <= Absent.most(),
          do: {namespace, name, {:fn, params, results, absent(namespace, name, length(params))}}

    Enum.reduce(missing, provided, fn {namespace, name, function}, imports ->
      Map.update(imports, namespace, %{name => function}, &Map.put(&1, name, function))
    end)
  end

  # The types of `Wasmex.Module.imports/1` as those of functions; nil for references to types of the module's own.
  @references for type <- ~w(extern func any eq i31 struct array exn),
                  into: %{},
                  do: {"(ref null #{type})", :"#{type}ref"}

  defp declared({:reference, text}), do: @references[text]
  defp declared(type), do: type

  # A function of a context and this number of arguments.
  defp absent(namespace, name, count) do
    message = "the guest calls #{namespace}.#{name} during initialisation: pass it in imports:"
    Absent.function(count, message)
  end

  defp called(nil, _call), do: :ok

  defp called(init, call) do
    case call.(init) do
      {:ok, result} when result in [[], nil, :ok] ->
        :ok

      {:ok, other} ->
        Refusal.error(
          "the function #{inspect(init)} returned #{inspect(other, limit: 5)}; an initialisation function must return nothing"
        )

      error ->
        error
    end
  end

  defp calls(store) do
    {events, _dropped} = Native.trace_take(store.resource, true)
    for {name, args, result, outputs, _duration} <- events, do: {name, args, result, outputs}
  end

  # Descriptors that were opened and not closed.
  defp closed(calls) do
    open =
      Enum.reduce(calls, %{}, fn
        {"path_open", args, :ok, outputs}, open ->
          Map.put(open, List.last(Keyword.values(outputs)), Keyword.get(args, :path, "a file"))

        {"fd_close", [{_, fd} | _], :ok, _outputs}, open ->
          Map.delete(open, fd)

        _, open ->
          open
      end)

    if open == %{} do
      :ok
    else
      files = open |> Map.values() |> Enum.map_join(", ", &inspect/1)
      Refusal.error("it has open files at the end of its initialisation: #{files}")
    end
  end

  @uses %{
    "random_get" => :random,
    "clock_time_get" => :clock,
    "environ_get" => :env,
    "args_get" => :args
  }

  defp uses(calls) do
    calls |> Enum.map(&@uses[elem(&1, 0)]) |> Enum.reject(&is_nil/1) |> Enum.uniq() |> Enum.sort()
  end

  defp read(store, instance, exports) do
    each(for({@module <> _ = name, type} <- exports, do: {name, type}), fn
      {name, {:global, %{type: type}}} when type in [:i32, :i64, :f32, :f64, :v128] ->
        with {:ok, global} <- Instance.export(instance, :global, name),
             {:ok, value} <- Global.get(global),
             do: {:ok, {name, type, value}}

      {name, {:memory, _}} ->
        with {:ok, memory} <- Instance.export(instance, :memory, name),
             do: {:ok, {name, :memory, contents(store, memory)}}

      {name, _other} ->
        Refusal.error("its #{name} can't be read")
    end)
  end

  defp contents(store, memory) do
    size = Memory.size(store, memory)

    for(
      offset <- Stream.iterate(0, &(&1 + @part)) |> Enum.take_while(&(&1 < size)),
      do: Memory.read_binary(store, memory, offset, min(@part, size - offset))
    )
    |> IO.iodata_to_binary()
  end

  # Wizer exports a function for each global and memory.
  defp read(instance, exports) do
    {:instance, items} = Map.get(exports, @component, {:instance, %{}})

    each(for({name, {:func, [], type}} <- items, do: {name, type}), fn {name, type} ->
      case Components.Instance.call(instance, [@component, name], []) do
        {:ok, value} -> {:ok, {name, type(type), value}}
        error -> error
      end
    end)
  end

  defp type(:s32), do: :i32
  defp type(:s64), do: :i64
  defp type({:list, :u8}), do: :memory
  defp type(float) when float in [:f32, :f64], do: float

  defp each(list, fun) do
    Enum.reduce_while(list, {:ok, []}, fn item, {:ok, done} ->
      case fun.(item) do
        {:ok, value} -> {:cont, {:ok, [value | done]}}
        {:error, %Error{}} = error -> {:halt, error}
        error -> {:halt, error}
      end
    end)
  end
end
