defmodule Wasmex.Compiler.Options do
  @moduledoc false
  # The options of a compile, see `Wasmex.Compiler`.

  alias Wasmex.{Error, Native, Options}
  alias Wasmex.Native.Features

  @rows Options.Compile.rows(:auto, false)
  @options Options.table(@rows, "functions that compile")
  @keys Keyword.keys(@rows)

  # Those of the helper alone.
  @limits [:compile_memory, :compile_timeout, :compile_reuse]

  defstruct where: :auto,
            memory: 2 * 1024 * 1024 * 1024,
            timeout: 120_000,
            reuse: nil,
            # Whether the configured disk cache is used, if the engine has no cache.
            cache: false

  @type t :: %__MODULE__{
          where: :auto | :in_process | :isolated,
          memory: pos_integer(),
          timeout: timeout(),
          reuse: term(),
          cache: boolean()
        }

  @doc "The names of the options."
  @spec keys() :: [atom()]
  def keys, do: @keys

  @doc "Validates the options. `where` is the default of `:compile`."
  @spec new!(keyword() | map(), :auto | :isolated) :: t()
  def new!(opts, where \\ :auto),
    do: opts |> Options.new!(@options, compile: where) |> from!()

  @doc "The defaults, with or without the disk cache."
  @spec default(boolean()) :: t()
  def default(cache? \\ false), do: from!(%{compile: :auto, cache: cache?})

  @doc "From validated options, which may contain others."
  @spec from!(map()) :: t()
  def from!(%{compile: :isolated} = options), do: limited(:isolated, options)

  # A library that was built without a compiler only has the helper.
  def from!(%{compile: where} = options) do
    cond do
      not Features.has?(Native.features(), :compiler) -> limited(:isolated, options)
      where == :auto -> limited(:auto, options)
      true -> in_process!(options)
    end
  end

  defp in_process!(options) do
    for key <- @limits, Map.get(options, key) != nil do
      raise ArgumentError,
            "#{key}: requires compile: :auto or :isolated; a compile in the VM cannot be stopped or limited"
    end

    %__MODULE__{where: :in_process, cache: Map.get(options, :cache, false)}
  end

  defp limited(where, options) do
    defaults = %__MODULE__{}

    %{
      defaults
      | where: where,
        memory: Map.get(options, :compile_memory) || defaults.memory,
        timeout: Map.get(options, :compile_timeout) || defaults.timeout,
        reuse: Map.get(options, :compile_reuse),
        cache: Map.get(options, :cache, false)
    }
  end

  @doc "Helpers with the same key may be reused; nil means not to reuse."
  @spec key(t()) :: term()
  def key(%{reuse: nil}), do: nil
  def key(options), do: {options.reuse, options.memory, options.timeout}

  @doc "The error for a compile that exceeded the memory limit."
  @spec out_of_memory(t()) :: Error.t()
  def out_of_memory(options),
    do: %Error{reason: :compile_memory, details: %{limit: options.memory}}

  @doc "The error for a compile that exceeded the time limit."
  @spec out_of_time(t()) :: Error.t()
  def out_of_time(options),
    do: %Error{reason: :compile_timeout, details: %{limit: options.timeout}}
end
