defmodule Wasmex.Components.Bindgen.Definition do
  @moduledoc false
  # Generates the code of `use Wasmex.Component`: modules from a world.

  import Wasmex.Components.Bindgen.Context, only: [root_types: 1]

  alias Wasmex.Components.Bindgen.{Behaviours, Context, Extent, Functions, Names, Types}
  alias Wasmex.WIT

  @spec module(map(), map(), module()) :: Macro.t()
  def module(world, opts, module) do
    :ok = Extent.check!(world, opts[:structs])
    context = Context.new(world, module, opts[:structs])

    names = for name <- WIT.value_names(world), into: %{}, do: {name, Names.atom(name)}
    exports = for {:func, _, function} <- world.exports, do: function

    [
      quote do
        unquote(frame(world, opts, names, context))
        unquote_splicing(Types.types(root_types(world), context, nil))
        unquote_splicing(Enum.map(exports, &Functions.function(&1, nil, context)))
      end
      | for(
          {:interface, name, interface} <- world.exports,
          do: interface(name, interface, context)
        )
    ] ++ Behaviours.modules(context)
  end

  defp frame(world, opts, names, context) do
    quote do
      for path <- unquote(files(opts)), do: @external_resource(path)

      unless Module.get_attribute(__MODULE__, :moduledoc) do
        @moduledoc unquote(world.docs || "A component, called from Elixir.")
      end

      @doc """
      Starts a process around an instance. Options: those of `Wasmex.Components.start_link/1`, and `host:`, see
      `Wasmex.Component`.
      """
      @spec start_link(keyword()) :: GenServer.on_start()
      def start_link(opts \\ []), do: Wasmex.Component.start_link(__MODULE__, opts)

      @doc "Creates an instance in a store. Options: `:host`, `:imports`, `:timeout`, `:fuel`, `:path` or `:bytes` for another file."
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
      def __imports__, do: unquote(Macro.escape(Behaviours.imported(context)))

      @doc false
      def __structs__, do: unquote(Macro.escape(Functions.structs(context)))

      @doc false
      def __precompiled__, do: unquote(Macro.escape(opts.precompiled))

      unquote(bytes(opts))
    end
  end

  # For a folder, all its files are tracked, including those of dependencies in subfolders.
  defp files(opts) do
    for path <- [opts[:path], opts[:wit]], path != nil, file <- [path | wits(path)], do: file
  end

  defp wits(path), do: path |> Path.join("**/*.wit") |> Path.wildcard()

  defp bytes(%{snapshot: snapshot}) when snapshot != nil do
    quote do
      @doc false
      def __bytes__, do: unquote(snapshot)

      @doc false
      def __path__, do: nil
    end
  end

  defp bytes(opts) do
    case {opts[:path], opts[:otp_app]} do
      {nil, _} ->
        quote do
          @doc false
          def __bytes__,
            do: raise(ArgumentError, "start_link needs path: or bytes: of the component")

          @doc false
          def __path__, do: nil
        end

      {path, nil} ->
        quote do
          @wasmex_bytes File.read!(unquote(path))
          @doc false
          def __bytes__, do: @wasmex_bytes

          @doc false
          def __path__, do: nil
        end

      {path, app} ->
        quote do
          @doc false
          def __bytes__, do: File.read!(__path__())

          @doc false
          def __path__, do: Application.app_dir(unquote(app), unquote(path))
        end
    end
  end

  defp interface(name, interface, context) do
    module = context.interfaces[{:exports, name}]
    free = Enum.filter(interface.functions, &(&1.kind == :func))
    resources = for {resource, %{type: :resource} = type} <- interface.types, do: {resource, type}

    quote do
      unquote_splicing(Types.structs(interface.types, name, context))

      defmodule unquote(module) do
        @moduledoc unquote(interface.docs || "The interface `#{name}`.")
        unquote_splicing(Types.types(interface.types, context, name))
        unquote_splicing(Enum.map(free, &Functions.function(&1, name, context)))
      end

      unquote_splicing(
        for {resource, type} <- resources,
            do: resource(resource, type, name, interface, context)
      )
    end
  end

  # Functions that the module of a resource defines itself.
  defp taken(%{kind: :constructor}, _functions), do: []

  defp taken(_function, functions),
    do: if(Enum.any?(functions, &(&1.kind == :constructor)), do: ["drop", "new"], else: ["drop"])

  defp resource(resource, type, interface_name, interface, context) do
    functions = Enum.filter(interface.functions, &(&1.resource == resource))

    quote do
      defmodule unquote(Context.within(interface_name, resource, context)) do
        @moduledoc unquote(type.docs || "The resource `#{resource}`.")

        @type t :: Wasmex.Components.GuestResource.t()

        @doc "Runs the guest's destructor. The handle is invalid afterwards."
        @spec drop(t(), keyword()) :: :ok | {:error, String.t() | :timeout}
        def drop(handle, opts \\ []) do
          Wasmex.Components.GuestResource.drop(handle, Keyword.get(opts, :timeout, 5000))
        end

        unquote_splicing(
          for function <- functions,
              do:
                Functions.function(function, interface_name, context, taken(function, functions))
        )
      end
    end
  end
end
