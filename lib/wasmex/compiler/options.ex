defmodule Wasmex.Compiler.Options do
  @moduledoc false
  # The options of a compile, see `Wasmex.Compiler`.

  alias Wasmex.{Error, Native, Options}
  alias Wasmex.Native.Features

  @rows Options.Compile.rows(:in_process, false)
  @options Options.table(@rows, "functions that compile")
  @keys Keyword.keys(@rows)

  # Those of `:isolated` alone.
  @limits [:compile_memory, :compile_timeout, :compile_reuse]

  defstruct where: :in_process,
            memory: 2 * 1024 * 1024 * 1024,
            timeout: 120_000,
            reuse: nil,
            # Whether the configured disk cache is used, if the engine has no cache.
            cache: false

  @type t :: %__MODULE__{
          where: :in_process | :isolated,
          memory: pos_integer(),
          timeout: timeout(),
          reuse: term(),
          cache: boolean()
        }

  @doc "The names of the options."
  @spec keys() :: [atom()]
  def keys, do: @keys

  @doc "Validates the options. `where` is the default of `:compile`."
  @spec new!(keyword() | map(), :in_process | :isolated) :: t()
  def new!(opts, where \\ :in_process),
    do: opts |> Options.new!(@options, compile: where) |> from!()

  @doc "The defaults, with or without the disk cache."
  @spec default(boolean()) :: t()
  def default(cache? \\ false), do: from!(%{compile: :in_process, cache: cache?})

  @doc "From validated options, which may contain others."
  @spec from!(map()) :: t()
  def from!(%{compile: :in_process} = options) do
    if Features.has?(Native.features(), :compiler),
      do: in_process!(options),
      else: isolated(options)
  end

  def from!(options), do: isolated(options)

  defp in_process!(options) do
    for key <- @limits, Map.get(options, key) != nil do
      raise ArgumentError,
            "#{key}: requires compile: :isolated; a compile in the VM cannot be stopped or limited"
    end

    %__MODULE__{cache: Map.get(options, :cache, false)}
  end

  # Also what `:in_process` means for a library that was built without a compiler.
  defp isolated(options) do
    defaults = %__MODULE__{}

    %{
      defaults
      | where: :isolated,
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
