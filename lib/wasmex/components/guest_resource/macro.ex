defmodule Wasmex.Components.GuestResource.Macro do
  @moduledoc false
  # Generates the functions of `use Wasmex.Components.GuestResource`.

  alias Wasmex.Components.Bindgen.Names
  alias Wasmex.Components.{Discovery, GuestResource}

  @spec define(keyword(), Macro.Env.t()) :: Macro.t()
  def define(opts, env) do
    {wit, _} = opts |> Keyword.fetch!(:wit) |> Code.eval_quoted([], env)
    {name, _} = opts |> Keyword.fetch!(:resource) |> Code.eval_quoted([], env)
    {world, _} = opts |> Keyword.get(:world) |> Code.eval_quoted([], env)

    case GuestResource.Discovery.get_resource_from_wit(wit, to_string(name), world: world) do
      {:ok, info} ->
        Discovery.check_names!(info, ["drop", "new"], env.module)
        [drop() | Enum.map(info.functions, &function(&1, info))]

      {:error, reason} ->
        Discovery.fail(
          env.module,
          "Failed to discover guest resource #{inspect(name)}: #{inspect(reason)}"
        )
    end
  end

  defp drop do
    quote do
      @doc "Runs the guest's destructor."
      @spec drop(Wasmex.Components.GuestResource.t(), keyword()) ::
              :ok | {:error, String.t() | :timeout}
      def drop(resource, opts \\ []) do
        timeout = Keyword.get(opts, :timeout, 5000)
        Wasmex.Components.GuestResource.drop(resource, timeout)
      end
    end
  end

  defp function(%{kind: :constructor, arity: arity}, info) do
    args = Macro.generate_arguments(arity, __MODULE__)

    quote do
      @doc unquote("Creates a `#{info.name}`.")
      def new(instance, unquote_splicing(args), opts \\ []) do
        Wasmex.Components.GuestResource.new(
          instance,
          unquote(info.constructor_path),
          unquote(args),
          Keyword.get(opts, :timeout, 5000)
        )
      end
    end
  end

  defp function(%{kind: kind} = function, info) when kind in [:static, :async_static] do
    instance = Macro.var(:instance, __MODULE__)

    define(function, "static function", instance, fn args, opts ->
      quote do
        Wasmex.Components.GuestResource.call_static(
          unquote(instance),
          unquote(info.constructor_path),
          unquote(kind),
          unquote(function.wit_name),
          unquote(args),
          Keyword.get(unquote(opts), :timeout, 5000)
        )
      end
    end)
  end

  defp function(%{kind: kind} = function, _info) do
    resource = Macro.var(:resource, __MODULE__)

    define(function, "method", resource, fn args, opts ->
      quote do
        Wasmex.Components.GuestResource.call(
          unquote(resource),
          unquote(kind),
          unquote(function.wit_name),
          unquote(args),
          Keyword.get(unquote(opts), :timeout, 5000)
        )
      end
    end)
  end

  # Defines a function of the module: its target, arguments and options, and its body from the function `body`.
  defp define(function, label, target, body) do
    args = Macro.generate_arguments(function.arity, __MODULE__)
    opts = Macro.var(:opts, __MODULE__)

    quote do
      @doc unquote("Calls the #{label} `#{function.wit_name}`.")
      def unquote(Names.identifier(function.elixir_name))(
            unquote(target),
            unquote_splicing(args),
            unquote(opts) \\ []
          ),
          do: unquote(body.(args, opts))
    end
  end
end
