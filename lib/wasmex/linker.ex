defmodule Wasmex.Linker do
  @moduledoc """
  Collects imports and resolves them once for a module. The result is a `Wasmex.Template`, which creates
  instances in microseconds.

  A linker is immutable: `define/3` and `allow_wasi/1` return a new one.

  ## Example

      iex> {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), ~s|
      ...>   (module (import "env" "twice" (func $twice (param i32) (result i32)))
      ...>     (func (export "f") (param i32) (result i32) local.get 0 call $twice))|)
      iex> linker = Wasmex.Linker.new() |> Wasmex.Linker.define("env", %{twice: {:fn, [:i32], [:i32], fn _context, n -> 2 * n end}})
      iex> {:ok, template} = Wasmex.Linker.instantiate_pre(linker, module)
      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, instance} = Wasmex.Template.instantiate(template, store)
      iex> Wasmex.Instance.call(instance, "f", [21])
      {:ok, [42]}
  """

  alias Wasmex.{Error, Native, Options, StoreOrCaller, Template, Utils}
  alias Wasmex.Call.{Access, Imports}

  # `wasi` is `:traced` for programs with `trace:`.
  defstruct imports: %{}, wasi: false

  @type t :: %__MODULE__{imports: map(), wasi: boolean() | :traced}

  @doc "An empty linker."
  @spec new() :: t()
  def new, do: %__MODULE__{}

  @doc """
  Adds definitions to a namespace: functions `{:fn, param_types, result_types, function}` as in
  `Wasmex.Instance.new/5`, or memories, globals, tables and functions of a store. The template can then
  only be used in that store. An existing definition with the same name is replaced.
  """
  @spec define(t(), String.t() | atom(), map()) :: t()
  def define(%__MODULE__{imports: imports} = linker, namespace, definitions)
      when is_map(definitions) do
    definitions = Map.new(definitions, fn {name, value} -> {Utils.stringify(name), value} end)
    namespace = Utils.stringify(namespace)
    imports = Map.update(imports, namespace, definitions, &Map.merge(&1, definitions))
    Imports.prepare(imports)
    %{linker | imports: imports}
  end

  @doc "Defines WASI preview 1; instances then need stores made with `Wasmex.Store.new_wasi/3`."
  @spec allow_wasi(t()) :: t()
  def allow_wasi(%__MODULE__{} = linker), do: %{linker | wasi: true}

  @options Options.table(
             [
               store: [
                 type: {:or, [nil], {:struct, StoreOrCaller}},
                 doc: "the store that definitions belong to"
               ]
             ],
             "Wasmex.Linker.instantiate_pre/3"
           )

  @doc """
  Resolves the imports of a module. `store:` is required if definitions belong to a store.

  The error lists all missing imports with their types.
  """
  @spec instantiate_pre(t(), Wasmex.Module.t(), keyword()) ::
          {:ok, Template.t()} | {:error, Exception.t()}
  def instantiate_pre(%__MODULE__{} = linker, %Wasmex.Module{resource: module}, opts \\ []) do
    with {:ok, template} <- resolve(linker, module, Options.new!(opts, @options)) do
      start = module |> Native.module_exports() |> List.keyfind("_start", 0)
      {:ok, %{template | program?: match?({_, {:fn, [], []}}, start)}}
    end
  end

  @doc false
  # The same for one run, which has looked at the exports itself. They are listed on a dirty scheduler, and moving there
  # takes longer than running a small program.
  @spec resolve(t(), reference()) :: {:ok, Template.t()} | {:error, Exception.t()}
  def resolve(%__MODULE__{} = linker, module, opts \\ %{store: nil}) do
    {declarations, functions} = Imports.prepare(linker.imports)
    store = if opts.store, do: opts.store |> StoreOrCaller.split() |> elem(0)

    hosts = hosts(linker.wasi)
    resolve = fn -> Native.template_new(module, declarations, functions, hosts, store) end

    case Access.run(resolve, fn -> store end) do
      {:ok, resource} -> {:ok, %Template{resource: resource, reference: make_ref()}}
      {:error, %Error{} = error} -> {:error, Imports.given(error, declarations)}
    end
  end

  # Preview 1, and the two versions of its sockets; a store may have less.
  @wasi [
          "wasi_snapshot_preview1",
          "wasmedge_sockets",
          "wasmedge_sockets_v1",
          "wasmedge_sockets_v2"
        ] ++
          ["wasmedge_recv_from", "wasmedge_recv_from_v1"]

  # The host modules that may be imported, and whether calls to them are traced.
  defp hosts(false), do: {[], false}
  defp hosts(true), do: {@wasi, false}
  defp hosts(:traced), do: {@wasi, true}
end
