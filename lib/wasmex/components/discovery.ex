defmodule Wasmex.Components.Discovery do
  @moduledoc false
  # Finds the resources of a world and their functions, in its exports (guest resources) or imports (host resources).

  alias Wasmex.{Options, WIT}

  @options Options.table(
             [
               world: [
                 type: {:or, [nil], :text},
                 doc: "the name of the world, if there are several"
               ],
               path: [type: :any, doc: "the path of the resource"],
               interface: [type: :any, doc: "its interface"]
             ],
             "Wasmex.Components.HostResource and GuestResource"
           )

  @spec resources(WIT.source(), :imports | :exports, keyword()) ::
          {:ok, [map()]} | {:error, String.t()}
  def resources(source, side, opts) do
    # The options of the callers. Only the world is used here.
    opts = Options.new!(opts, @options)

    case WIT.world(source, world: opts.world) do
      {:ok, world} ->
        {:ok,
         for({:interface, name, interface} <- world[side], info <- of(name, interface), do: info)}

      {:error, error} ->
        {:error, Exception.message(error)}
    end
  end

  defp of(path, interface) do
    for {name, %{type: :resource}} <- interface.types do
      functions = Enum.filter(interface.functions, &(&1.resource == name))

      %{
        name: name,
        interface: interface.name || path,
        interface_path: [path],
        functions: Enum.map(functions, &function(&1, name))
      }
    end
  end

  defp function(function, resource) do
    {name, kind} =
      case function do
        %{kind: :constructor} -> {"constructor", :constructor}
        %{kind: kind, async: async?} -> {short(function.name, resource), kind(kind, async?)}
      end

    # The receiver does not count as an argument.
    own = if kind in [:method, :async_method], do: 1, else: 0

    %{
      wit_name: name,
      canonical_name: function.name,
      elixir_name: WIT.elixir_name(name),
      kind: kind,
      arity: length(function.params) - own,
      has_return: function.kind == :constructor or function.result != nil
    }
  end

  defp short(name, resource), do: name |> String.split("#{resource}.", parts: 2) |> List.last()

  defp kind(:method, true), do: :async_method
  defp kind(:static, true), do: :async_static
  defp kind(kind, _), do: kind

  @doc "The WIT spelling of a name: underscores become dashes."
  @spec wit_name(String.t() | atom()) :: String.t()
  def wit_name(name), do: name |> Wasmex.Utils.stringify() |> String.replace("_", "-")

  @doc "Raises if names would conflict in a generated module."
  @spec check_names!(map(), [String.t()], module()) :: term()
  def check_names!(info, reserved, module) do
    names = for %{kind: kind, elixir_name: name} <- info.functions, kind != :constructor, do: name

    reserved = Enum.find(names, &(&1 in reserved))
    twice = List.first(names -- Enum.uniq(names))

    cond do
      reserved ->
        fail(module, "the resource function `#{reserved}` has the name of a generated function")

      twice ->
        fail(module, "two functions of the resource become `#{twice}`")

      true ->
        :ok
    end
  end

  @spec fail(module(), String.t()) :: no_return()
  def fail(module, description),
    do: raise(CompileError, description: "#{inspect(module)}: #{description}")
end
