defmodule Wasmex.Options do
  @moduledoc false
  # Options as data. A row has a name, a type, a default, a doc and an example; the struct, the checks, the error
  # texts, the table in the docs and the flags of the Mix tasks come from the rows.
  #
  #     defmodule Limits do
  #       use Wasmex.Options,
  #         rows: [fuel: [type: {:or, [nil], :natural}, doc: "instructions a guest may execute, about"]]
  #
  # defines the struct with its `t()`, `validate!/1`, and `@options` for functions of this module; `place:` says where
  # its options are given, if not as that struct. Functions that take a keyword list keep a table in an attribute:
  #
  #     @options Wasmex.Options.table([timeout: [type: :timeout, default: 5_000, doc: "…"]], "Wasmex.call/3")
  #     opts = Wasmex.Options.new!(opts, @options)
  #
  # `Wasmex.Options.Row` documents the keys of a row, `Wasmex.Options.Type` the types. Rows that several modules
  # share are in `lib/wasmex/options/`.

  alias Wasmex.Options.{Row, Type}

  @enforce_keys [:rows, :place]
  defstruct rows: [], names: [], defaults: %{}, natives: %{}, place: ""

  @typedoc "Rows, and where they are accepted: a struct or a function, as error texts name it."
  @type t :: %__MODULE__{
          rows: [Row.t()],
          names: [atom()],
          defaults: %{atom() => term()},
          natives: %{atom() => term()},
          place: String.t()
        }

  @doc "A table of the rows: a keyword list of names and what `Wasmex.Options.Row` documents."
  @spec table(keyword(keyword()), String.t()) :: t()
  def table(rows, place) do
    rows = Enum.map(rows, fn {name, row} -> Row.new(name, row) end)

    %__MODULE__{
      rows: rows,
      names: for(%{internal: false, name: name} <- rows, do: name),
      defaults: Map.new(rows, &{&1.name, &1.default}),
      natives: Map.new(rows, &{&1.name, native_default(&1)}),
      place: place
    }
  end

  defp native_default(%{required: true}), do: nil

  defp native_default(row) do
    # Tables are made when their modules are compiled, so a default of the wrong type is found there.
    {:ok, default} = Type.cast(row.type, row.default)
    Type.native(row.type, default)
  end

  defmacro __using__(opts) do
    definitions =
      quote unquote: false do
        @enforce_keys Wasmex.Options.required(@options)
        defstruct Wasmex.Options.fields(@options)
        @type t :: %__MODULE__{unquote_splicing(Wasmex.Options.specs(@options))}

        @doc false
        @spec validate!(term()) :: t()
        def validate!(options), do: Wasmex.Options.validate!(options, __MODULE__, @options)

        @doc false
        @spec __options__() :: Wasmex.Options.t()
        def __options__, do: @options
      end

    [
      quote do
        @options Wasmex.Options.table(
                   unquote(opts[:rows]),
                   unquote(opts[:place]) || "%#{inspect(__MODULE__)}{}"
                 )
      end,
      definitions
    ]
  end

  @doc false
  @spec required(t()) :: [atom()]
  def required(table), do: for(%{required: true, name: name} <- table.rows, do: name)

  @doc false
  @spec fields(t()) :: keyword()
  def fields(table), do: Enum.map(table.rows, &{&1.name, &1.default})

  @doc false
  @spec specs(t()) :: keyword(Macro.t())
  def specs(table), do: Enum.map(table.rows, &{&1.name, Type.spec(&1.type)})

  @doc "The struct, once each of its fields has a value of its type."
  @spec validate!(term(), module(), t()) :: struct()
  def validate!(%{__struct__: module} = options, module, table) do
    for {row, value} <- changed(table, options), do: cast!(row, value, table)
    options
  end

  def validate!(other, module, _table), do: misuse!("%#{inspect(module)}{}", other)

  @doc "As a type of its own: a struct of the table, whose fields were checked, or what is wrong in it."
  @spec cast(struct(), t()) :: {:ok, struct()} | Type.problem()
  def cast(options, table) do
    table
    |> changed(options)
    |> Enum.find_value({:ok, options}, fn {row, value} ->
      with {:error, at, expected, got} <- Type.cast(row.type, value),
           do: {:error, ", field #{inspect(row.name)}#{at}", expected, got},
           else: (_ -> nil)
    end)
  end

  @doc "The fields of a struct as the native side reads them: by name, in a map."
  @spec native!(struct(), t()) :: %{atom() => term()}
  def native!(options, table) do
    table
    |> changed(options)
    |> Enum.into(table.natives, fn {row, value} ->
      {row.name, Type.native(row.type, cast!(row, value, table))}
    end)
  end

  # Most options have their defaults, which need no check.
  defp changed(table, options) do
    for row <- table.rows,
        value <- [Map.fetch!(options, row.name)],
        row.required or value !== row.default,
        do: {row, value}
  end

  @doc """
  All options of the table: those given (a keyword list or a map), as their types make them, and the others by
  `defaults` or else by their rows.
  """
  @spec new!(keyword() | map(), t(), keyword()) :: %{atom() => term()}
  def new!(opts, table, defaults \\ []) do
    given = given!(opts, table)
    for name <- required(table), not Map.has_key?(given, name), do: missing!(table, name)
    table.defaults |> Map.merge(Map.new(defaults)) |> Map.merge(given)
  end

  @doc "Only the options given, as their types make them."
  @spec given!(keyword() | map(), t()) :: %{atom() => term()}
  def given!(opts, table) do
    opts
    |> pairs!(table)
    |> Map.new(fn {name, value} -> {name, table |> row!(name) |> cast!(value, table)} end)
  end

  @doc "The value of one argument, as its type makes it: for functions whose arguments are no options."
  @spec argument!(term(), atom(), Type.t(), String.t()) :: term()
  def argument!(value, name, type, place) do
    case Type.cast(type, value) do
      {:ok, value} -> value
      {:error, at, expected, got} -> invalid!(name, place, at, expected, got)
    end
  end

  @doc "Raises for options that are not in the table: where what is given is handed on, and checked there."
  @spec known!(keyword() | map(), t()) :: :ok
  def known!(opts, table) do
    for {name, _value} <- pairs!(opts, table), do: row!(table, name)
    :ok
  end

  defp pairs!(opts, _table) when is_map(opts) and not is_struct(opts), do: Map.to_list(opts)

  defp pairs!(opts, table) do
    # As with `Keyword.get/2`, the first of several wins.
    if Keyword.keyword?(opts),
      do: Enum.reverse(opts),
      else: misuse!("options of #{table.place} as a keyword list, such as #{sample(table)}", opts)
  end

  defp sample(%{rows: []}), do: "[]"

  defp sample(%{rows: [row | _]}),
    do: "#{row.name}: #{row.example || Type.example(row.type)}"

  defp row!(table, name) do
    Enum.find(table.rows, &(&1.name == name and not &1.internal)) ||
      raise ArgumentError,
            "unknown option #{inspect(name)} in #{table.place}" <>
              Wasmex.Error.suggestion(name, table.names)
  end

  defp cast!(row, value, table) do
    case Type.cast(row.type, value) do
      {:ok, value} ->
        value

      {:error, "", expected, got} ->
        invalid!(row.name, table.place, "", expected <> such_as(row), got)

      {:error, at, expected, got} ->
        invalid!(row.name, table.place, at, expected, got)
    end
  end

  defp such_as(%{example: nil}), do: ""
  defp such_as(%{example: example}), do: ", such as #{example}"

  @spec invalid!(atom(), String.t(), String.t(), String.t(), term()) :: no_return()
  defp invalid!(name, place, at, expected, got) do
    where = "#{inspect(name)} in #{place}#{at}"
    raise ArgumentError, "invalid value for #{where}: #{expected(expected, got)}"
  end

  defp missing!(table, name) do
    row = row!(table, name)
    example = row.example || Type.example(row.type)

    raise ArgumentError,
          "the option #{inspect(name)} of #{table.place} is missing, such as #{name}: #{example}"
  end

  @doc "Raises for an argument that makes no sense: says what was expected, and what was given."
  @spec misuse!(String.t(), term()) :: no_return()
  def misuse!(expected, got), do: raise(ArgumentError, expected(expected, got))

  # What was given may be a whole file.
  defp expected(expected, got),
    do: "expected #{expected}, got: #{inspect(got, limit: 20, printable_limit: 500)}"
end
