defmodule Wasmex.Components.HostResource do
  @moduledoc """
  A resource implemented in Elixir and used by a guest. Any term can be a resource.

      defmodule Counter do
        use Wasmex.Components.HostResource, wit_path: "priv/wit", resource: "counter"

        def new(start), do: Agent.start_link(fn -> start end) |> elem(1)
        def increment(agent), do: Agent.get_and_update(agent, &{&1 + 1, &1 + 1})
        def drop(agent), do: Agent.stop(agent)
      end

      Wasmex.Components.start_link(path: "guest.wasm", imports: Counter.imports())

  Options: `wit:` (text) or `wit_path:` (a file, or a folder with its `deps/`), `resource:`, and where needed `world:` and
  `interface:`. The module defines `new` (the constructor, which returns the term), each method (the
  term is its first argument), each static function, and optionally `drop/1`, which runs when the guest
  drops the resource. Missing functions are a compile error. Pass `imports/0` to the component.

  A function that borrows a resource receives its term. A function that takes ownership receives it for
  good, and `drop/1` is not called. When a function returns a resource, the guest owns it.

  ## Example

      iex> Wasmex.Components.HostResource.merge_imports([%{"a" => %{"f" => 1}}, %{"a" => %{"g" => 2}}])
      %{"a" => %{"f" => 1, "g" => 2}}
  """

  alias Wasmex.Components.Bindgen.Names
  alias Wasmex.Components.Discovery

  @doc "Merges the imports of several modules or maps."
  @spec merge_imports([module() | map()]) :: map()
  def merge_imports(list) do
    list
    |> Enum.map(fn
      module when is_atom(module) and module != nil ->
        module.imports()

      imports when is_map(imports) and not is_struct(imports) ->
        imports

      other ->
        Wasmex.Options.misuse!("imports as maps, or modules with imports/0", other)
    end)
    |> Enum.reduce(%{}, fn imports, merged ->
      Map.merge(merged, imports, fn
        _name, %{} = left, %{} = right -> Map.merge(left, right)
        _name, _left, right -> right
      end)
    end)
  end

  @doc false
  defmacro __using__(opts) do
    opts = Enum.map(opts, fn {key, value} -> {key, evaluate(value, __CALLER__)} end)
    info = discover!(opts, __CALLER__.module)
    constructor? = Enum.any?(info.functions, &(&1.kind == :constructor))
    reserved = if constructor?, do: ["drop", "imports", "new"], else: ["drop", "imports"]
    Discovery.check_names!(info, reserved, __CALLER__.module)

    quote do
      for path <- unquote(external(opts[:wit_path])), do: @external_resource(path)
      @wasmex_host_resource unquote(Macro.escape(info))
      @before_compile Wasmex.Components.HostResource

      @doc "The imports for a component."
      @spec imports() :: map()
      def imports do
        %{unquote(hd(info.interface_path)) => %{unquote_splicing(entries(info))}}
      end

      @doc "Called when the guest drops a resource."
      def drop(_term), do: :ok

      defoverridable drop: 1
    end
  end

  defp evaluate(value, env), do: value |> Code.eval_quoted([], env) |> elem(0)

  defp discover!(opts, module) do
    name = to_string(Keyword.fetch!(opts, :resource))
    options = Keyword.take(opts, [:world, :interface])

    found =
      case {opts[:wit], opts[:wit_path]} do
        {nil, nil} ->
          Discovery.fail(module, "Missing required :wit or :wit_path option")

        {wit, nil} ->
          __MODULE__.Discovery.get_resource_from_wit(wit, name, options)

        {nil, path} ->
          __MODULE__.Discovery.get_resource_from_path(path, name, options)

        _both ->
          Discovery.fail(module, "Pass either :wit or :wit_path, not both")
      end

    case found do
      {:ok, info} ->
        info

      {:error, reason} ->
        text = if is_binary(reason), do: reason, else: inspect(reason)
        Discovery.fail(module, "Failed to discover host resource #{inspect(name)}: #{text}")
    end
  end

  # A folder with all its files and subfolders, so that new files count as changes.
  defp external(nil), do: []

  defp external(path) do
    if File.dir?(path), do: [path | Path.wildcard(Path.join(path, "**"))], else: [path]
  end

  defp entries(info) do
    functions =
      for function <- info.functions do
        {name, arity} = callback(function)
        {function.canonical_name, {:fn, capture(name, arity)}}
      end

    [{info.name, {:resource, capture(:drop, 1)}} | functions]
  end

  defp capture(name, arity), do: quote(do: &(__MODULE__.unquote(name) / unquote(arity)))

  @doc false
  # The Elixir function that implements a function of the resource.
  @spec callback(map()) :: {atom(), arity()}
  def callback(%{kind: :constructor, arity: arity}), do: {:new, arity}

  def callback(%{kind: kind, elixir_name: name, arity: arity})
      when kind in [:method, :async_method],
      do: {Names.identifier(name), arity + 1}

  def callback(%{elixir_name: name, arity: arity}), do: {Names.identifier(name), arity}

  @doc false
  defmacro __before_compile__(env) do
    info = Module.get_attribute(env.module, :wasmex_host_resource)
    wanted = Enum.map(info.functions, &callback/1)

    case Enum.reject(wanted, &Module.defines?(env.module, &1, :def)) do
      [] ->
        nil

      missing ->
        list = Enum.map_join(missing, ", ", fn {name, arity} -> "#{name}/#{arity}" end)
        Discovery.fail(env.module, "Missing host resource callbacks: #{list}")
    end
  end
end
