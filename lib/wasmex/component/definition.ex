defmodule Wasmex.Component.Definition do
  @moduledoc false
  # The code of `use Wasmex.Component`: a world becomes modules.

  alias Wasmex.Component.Spec
  alias Wasmex.WIT

  # What a module of ours defines for itself.
  @reserved [:start_link, :instantiate, :child_spec, :module_info, :__info__]

  def module(world, opts, module) do
    context = %{
      module: module,
      world: world,
      structs?: opts[:structs],
      interfaces: interfaces(world, module)
    }

    names = for name <- WIT.value_names(world), into: %{}, do: {name, Spec.atom(name)}
    exports = for {:func, _, function} <- world.exports, do: function
    check!(exports, module)

    [
      quote do
        unquote(frame(world, opts, names, context))
        unquote_splicing(types(root_types(world), context, nil))
        unquote_splicing(Enum.map(exports, &function(&1, nil, context)))
      end
      | for(
          {:interface, name, interface} <- world.exports,
          do: interface(name, interface, context)
        )
    ] ++ imports(context)
  end

  defp frame(world, opts, names, context) do
    file = opts[:path]

    quote do
      for path <- unquote(Enum.filter([file, opts[:wit]], & &1)), do: @external_resource(path)

      unless Module.get_attribute(__MODULE__, :moduledoc) do
        @moduledoc unquote(world.docs || "A component, called from Elixir.")
      end

      @doc """
      Starts a process around an instance. Options as for `Wasmex.Components.start_link/1`, and `host:`, see
      `Wasmex.Component`.
      """
      @spec start_link(keyword()) :: GenServer.on_start()
      def start_link(opts \\ []), do: Wasmex.Component.start_link(__MODULE__, opts)

      @doc "An instance in a store. Options: `:host`, `:imports`, `:timeout`, `:fuel`, `:path` or `:bytes` for another file."
      @spec instantiate(Wasmex.Components.Store.t(), keyword()) ::
              {:ok, Wasmex.Components.Instance.t()} | {:error, Exception.t() | String.t()}
      def instantiate(store, opts \\ []),
        do: Wasmex.Component.instantiate(__MODULE__, store, opts)

      @doc false
      def child_spec(opts),
        do: %{id: __MODULE__, start: {__MODULE__, :start_link, [opts]}, type: :worker}

      defoverridable child_spec: 1

      @doc false
      def __names__, do: unquote(Macro.escape(names))

      @doc false
      def __imports__, do: unquote(Macro.escape(imported(context)))

      unquote(bytes(opts))
    end
  end

  defp bytes(opts) do
    case {opts[:path], opts[:otp_app]} do
      {nil, _} ->
        quote do
          @doc false
          def __bytes__,
            do: raise(ArgumentError, "start_link needs path: or bytes: of the component")
        end

      {path, nil} ->
        quote do
          @wasmex_bytes File.read!(unquote(path))
          @doc false
          def __bytes__, do: @wasmex_bytes
        end

      {path, app} ->
        quote do
          @doc false
          def __bytes__, do: File.read!(Application.app_dir(unquote(app), unquote(path)))
        end
    end
  end

  # The modules of interfaces by name: short where that tells them apart.
  defp interfaces(world, module) do
    for side <- [:exports, :imports],
        items = for({:interface, name, _} <- world[side], do: name),
        name <- items,
        into: %{} do
      base = if side == :imports, do: Module.concat(module, Imports), else: module
      {{side, name}, Module.concat(base, camel(short(name, items)))}
    end
  end

  defp short(name, others) do
    last = last(name)

    if Enum.count(others, &(last(&1) == last)) > 1,
      do: String.replace(name, ~r/@.*/, ""),
      else: last
  end

  defp last(name), do: name |> String.replace(~r/@.*/, "") |> String.split("/") |> List.last()

  defp camel(name),
    do: name |> String.split(~r/[^a-zA-Z0-9]+/, trim: true) |> Enum.map_join(&capital/1)

  defp capital(<<first::utf8, rest::binary>>), do: String.upcase(<<first::utf8>>) <> rest

  defp check!(functions, module) do
    for function <- functions, Spec.atom(function.name) in @reserved do
      raise CompileError,
        description:
          "#{inspect(module)}: the component exports `#{function.name}`, which is the name of a generated function"
    end
  end

  defp root_types(world),
    do: for({:type, name, type} <- world.imports ++ world.exports, do: {name, type})

  defp types(types, context, owner) do
    for {name, %{type: type, docs: docs}} <- types, uniq = Spec.atom(name) do
      quoted =
        if struct?(type, context),
          do: quote(do: unquote(struct_module(owner, name, context)).t()),
          else: Spec.type(type, &place(&1, &2, context))

      quote do
        @typedoc unquote(docs || "`#{name}` of WIT.")
        @type unquote({uniq, [], []}) :: unquote(quoted)
      end
    end
  end

  defp struct?({:record, _}, %{structs?: true}), do: true
  defp struct?(_type, _context), do: false

  defp struct_module(nil, name, context), do: Module.concat(context.module, camel(name))

  defp struct_module(owner, name, context),
    do: Module.concat(module_of(owner, context), camel(name))

  # Where a named type is: in the module of its interface, of whichever side has it.
  defp place(nil, name, context), do: remote(context.module, name)

  defp place(interface, name, context) do
    case module_of(interface, context) do
      nil -> quote(do: term())
      module -> remote(module, name)
    end
  end

  defp remote(module, name), do: quote(do: unquote(module).unquote(Spec.atom(name))())

  defp module_of(interface, context) do
    Map.get(context.interfaces, {:exports, interface}) ||
      Map.get(context.interfaces, {:imports, interface})
  end

  defp interface(name, interface, context) do
    module = context.interfaces[{:exports, name}]
    free = Enum.filter(interface.functions, &(&1.kind == :func))
    resources = for {resource, %{type: :resource} = type} <- interface.types, do: {resource, type}

    quote do
      unquote_splicing(structs(interface.types, name, context))

      defmodule unquote(module) do
        @moduledoc unquote(interface.docs || "The interface `#{name}`.")
        unquote_splicing(types(interface.types, context, name))
        unquote_splicing(Enum.map(free, &function(&1, name, context)))
      end

      unquote_splicing(
        for {resource, type} <- resources,
            do: resource(resource, type, name, interface, module, context)
      )
    end
  end

  defp structs(types, owner, %{structs?: true} = context) do
    for {name, %{type: {:record, fields}, docs: docs}} <- types do
      keys = Enum.map(fields, fn {field, _, _} -> Spec.atom(field) end)

      quote do
        defmodule unquote(struct_module(owner, name, context)) do
          @moduledoc unquote(docs || "The record `#{name}`.")
          @enforce_keys unquote(keys)
          defstruct unquote(keys)

          @type t :: %__MODULE__{
                  unquote_splicing(
                    for {field, type, _} <- fields,
                        do: {Spec.atom(field), Spec.type(type, &place(&1, &2, context))}
                  )
                }
        end
      end
    end
  end

  defp structs(_types, _owner, _context), do: []

  defp resource(resource, type, interface_name, interface, module, context) do
    functions = Enum.filter(interface.functions, &(&1.resource == resource))

    quote do
      defmodule unquote(Module.concat(module, camel(resource))) do
        @moduledoc unquote(type.docs || "The resource `#{resource}`.")

        @type t :: Wasmex.Components.GuestResource.t()

        @doc "Runs the guest's destructor; the handle is gone then."
        @spec drop(t(), keyword()) :: :ok | {:error, String.t() | :timeout}
        def drop(handle, opts \\ []) do
          Wasmex.Components.GuestResource.drop(handle, Keyword.get(opts, :timeout, 5000))
        end

        unquote_splicing(Enum.map(functions, &function(&1, interface_name, context)))
      end
    end
  end

  defp function(%{kind: :method} = function, _interface, context) do
    [_self | params] = function.params
    {args, arg_types} = args(params, context)
    name = function |> WIT.function_name() |> String.to_atom()
    structs = structs_of(function.result, context)

    quote do
      @doc unquote(doc(function))
      @spec unquote(name)(
              Wasmex.Components.GuestResource.t(),
              unquote_splicing(arg_types),
              keyword()
            ) :: {:ok, unquote(result(function, context))} | {:error, Exception.t()}
      def unquote(name)(handle, unquote_splicing(args), opts \\ []) do
        Wasmex.Component.method(
          handle,
          unquote(function.resource),
          unquote(function.name),
          unquote(args),
          opts,
          unquote(structs)
        )
      end
    end
  end

  defp function(function, interface, context) do
    {args, arg_types} = args(function.params, context)
    name = WIT.function_name(function)
    path = if interface, do: [interface, function.name], else: [function.name]
    result = result(function, context)
    structs = structs_of(function.result, context)

    quote do
      @doc unquote(doc(function))
      @spec unquote(String.to_atom(name))(
              GenServer.server() | Wasmex.Components.Instance.t(),
              unquote_splicing(arg_types),
              keyword()
            ) :: {:ok, unquote(result)} | {:error, Exception.t()}
      def unquote(String.to_atom(name))(target, unquote_splicing(args), opts \\ []),
        do:
          Wasmex.Component.call(
            target,
            unquote(path),
            unquote(args),
            opts,
            unquote(structs)
          )

      @doc unquote(
             "As `#{name}/#{length(args) + 2}`, but returns the value or raises the exception."
           )
      @spec unquote(String.to_atom(name <> "!"))(
              GenServer.server() | Wasmex.Components.Instance.t(),
              unquote_splicing(arg_types),
              keyword()
            ) :: unquote(result)
      def unquote(String.to_atom(name <> "!"))(target, unquote_splicing(args), opts \\ []),
        do:
          Wasmex.Component.call!(
            target,
            unquote(path),
            unquote(args),
            opts,
            unquote(structs)
          )
    end
  end

  defp args(params, context) do
    args =
      for {{name, _type}, index} <- Enum.with_index(params),
          do: Macro.var(argument(name, index), __MODULE__)

    {args, Enum.map(params, fn {_name, type} -> Spec.type(type, &place(&1, &2, context)) end)}
  end

  # Names of parameters may be Elixir's own words.
  defp argument(name, index) do
    atom = Spec.atom(name)
    words = [:target, :opts, :handle, :do, :end, :fn, :after, :else, :rescue, :catch, :when]
    words = words ++ [:and, :or, :not, :in, true, false, nil]
    if atom in words or Atom.to_string(atom) =~ ~r/\A\d/, do: :"arg#{index + 1}", else: atom
  end

  defp result(%{kind: :constructor}, _context),
    do: quote(do: Wasmex.Components.GuestResource.t())

  defp result(%{result: nil}, _context), do: nil
  defp result(%{result: type}, context), do: Spec.type(type, &place(&1, &2, context))

  defp doc(function) do
    text = function.docs || "Calls `#{function.name}` of the component."
    params = Enum.map_join(function.params, ", ", fn {name, _} -> name end)
    if params == "", do: text, else: text <> "\n\nParameters: #{params}."
  end

  # What it takes to make structs of a result; nil for nothing.
  defp structs_of(nil, _context), do: nil
  defp structs_of(_type, %{structs?: false}), do: nil

  defp structs_of(type, context) do
    table =
      for {:interface, interface, %{types: types}} <-
            context.world.exports ++ context.world.imports,
          {name, %{type: type}} <- types,
          into: %{} do
        module =
          if struct?(type, context) and exported?(interface, context),
            do: struct_module(interface, name, context)

        {{interface, name}, {module, atoms(type)}}
      end

    roots =
      for {name, %{type: type}} <- root_types(context.world),
          into: %{},
          do: {{nil, name}, {nil, atoms(type)}}

    Macro.escape({atoms(type), Map.merge(table, roots)})
  end

  defp exported?(interface, context), do: Map.has_key?(context.interfaces, {:exports, interface})

  # Names of fields and cases as they come in results.
  defp atoms({kind, list}) when kind in [:record, :variant],
    do: {kind, for({name, type, docs} <- list, do: {Spec.atom(name), atoms(type), docs})}

  defp atoms({:tuple, types}), do: {:tuple, Enum.map(types, &atoms/1)}
  defp atoms({kind, names}) when kind in [:enum, :flags], do: {kind, names}
  defp atoms({:named, _, _} = named), do: named
  defp atoms({:list, type, length}), do: {:list, atoms(type), length}
  defp atoms({kind, one, other}), do: {kind, atoms(one), atoms(other)}
  defp atoms({kind, type}), do: {kind, atoms(type)}
  defp atoms(other), do: other

  # What is to be implemented: `[{interface | nil, [{wit, name, arity}]}]`, without WASI and resources.
  defp imported(context) do
    root = for {:func, _, function} <- context.world.imports, do: callback(function)

    interfaces =
      for {:interface, name, interface} <- context.world.imports,
          not String.starts_with?(name, "wasi:"),
          free = Enum.filter(interface.functions, &(&1.kind == :func)),
          free != [],
          do: {name, Enum.map(free, &callback/1)}

    if root == [], do: interfaces, else: [{nil, root} | interfaces]
  end

  defp callback(function),
    do: {function.name, Spec.atom(function.name), length(function.params)}

  defp imports(context) do
    root = for {:func, _, function} <- context.world.imports, do: function

    behaviours =
      for {:interface, name, interface} <- context.world.imports,
          not String.starts_with?(name, "wasi:") do
        free = Enum.filter(interface.functions, &(&1.kind == :func))
        module = context.interfaces[{:imports, name}]
        same? = Map.has_key?(context.interfaces, {:exports, name})
        behaviour(module, name, if(same?, do: [], else: interface.types), free, context)
      end

    case {root, behaviours} do
      {[], []} ->
        []

      {[], behaviours} ->
        behaviours

      {root, behaviours} ->
        [
          behaviour(Module.concat(context.module, Imports), "the world", [], root, context)
          | behaviours
        ]
    end
  end

  defp behaviour(module, name, types, functions, context) do
    quote do
      defmodule unquote(module) do
        @moduledoc unquote("What the component imports of #{name}.")
        unquote_splicing(types(types, %{context | structs?: false}, name))
        unquote_splicing(Enum.map(functions, &callback_spec(&1, context)))
      end
    end
  end

  defp callback_spec(function, context) do
    {_args, types} = args(function.params, context)
    name = Spec.atom(function.name)

    result =
      if function.result,
        do: Spec.type(function.result, &place(&1, &2, context)),
        else: quote(do: term())

    quote do
      @doc unquote(function.docs || "`#{function.name}`")
      @callback unquote(name)(unquote_splicing(types)) :: unquote(result)
    end
  end
end
