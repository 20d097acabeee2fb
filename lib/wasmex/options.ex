defmodule Wasmex.Options do
  @moduledoc false
  # Defines options as data. A row has a name, a type, a default, a doc and an example. Structs, validation, error messages,
  # tables in the docs and flags of Mix tasks are derived from rows.
  #
  #     defmodule Limits do
  #       use Wasmex.Options,
  #         rows: [fuel: [type: {:or, [nil], :natural}, doc: "instructions a guest may execute, about"]]
  #
  # defines the struct with its `t()`, `validate!/1`, and `@options` for functions of the module. `place:` overrides the
  # place named in error messages. Functions that take a keyword list keep a table in an attribute:
  #
  #     @options Wasmex.Options.table([timeout: [type: :timeout, default: 5_000, doc: "…"]], "Wasmex.call/3")
  #     opts = Wasmex.Options.new!(opts, @options)
  #
  # `Wasmex.Options.Row` documents the keys of a row, and `Wasmex.Options.Type` the types. Shared rows are in
  # `lib/wasmex/options/`.

  alias Wasmex.Options.{Row, Type}

  @enforce_keys [:rows, :place]
  defstruct rows: [],
            names: [],
            by_name: %{},
            required: [],
            defaults: %{},
            natives: %{},
            place: ""

  @typedoc "Rows, and the struct or function that accepts them, for error messages."
  @type t :: %__MODULE__{
          rows: [Row.t()],
          names: [atom()],
          by_name: %{atom() => Row.t()},
          required: [atom()],
          defaults: %{atom() => term()},
          natives: %{atom() => term()},
          place: String.t()
        }

  @doc "Creates a table from a keyword list of rows, see `Wasmex.Options.Row`."
  @spec table(keyword(keyword()), String.t()) :: t()
  def table(rows, place) do
    rows = Enum.map(rows, fn {name, row} -> Row.new(name, row) end)

    options = Enum.reject(rows, & &1.internal)

    %__MODULE__{
      rows: rows,
      names: Enum.map(options, & &1.name),
      by_name: Map.new(options, &{&1.name, &1}),
      required: for(%{required: true, name: name} <- rows, do: name),
      defaults: Map.new(rows, &{&1.name, &1.default}),
      natives: Map.new(rows, &{&1.name, native_default(&1)}),
      place: place
    }
  end

  defp native_default(%{required: true}), do: nil

  defp native_default(row) do
    # Tables are created at compile time, so an invalid default is a compile error.
    {:ok, default} = Type.cast(row.type, row.default)
    Type.native(row.type, default)
  end

  defmacro __using__(opts) do
    definitions =
      quote unquote: false do
        @enforce_keys @options.required
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
  @spec fields(t()) :: keyword()
  def fields(table), do: Enum.map(table.rows, &{&1.name, &1.default})

  @doc false
  @spec specs(t()) :: keyword(Macro.t())
  def specs(table), do: Enum.map(table.rows, &{&1.name, Type.spec(&1.type)})

  @doc "Validates the fields of a struct."
  @spec validate!(term(), module(), t()) :: struct()
  def validate!(%{__struct__: module} = options, module, table) do
    for {row, value} <- each_changed(table, options), do: cast!(row, value, table)
    options
  end

  def validate!(other, module, _table), do: misuse!("%#{inspect(module)}{}", other)

  @doc "Casts a struct of the table, for `{:options, module}` types."
  @spec cast(struct(), t()) :: {:ok, struct()} | Type.problem()
  def cast(options, table) do
    table
    |> each_changed(options)
    |> Enum.find_value({:ok, options}, fn {row, value} ->
      with {:error, at, expected, got} <- Type.cast(row.type, value),
           do: {:error, ", field #{inspect(row.name)}#{at}", expected, got},
           else: (_ -> nil)
    end)
  end

  @doc "A map of the fields of a struct for the native side."
  @spec native!(struct(), t()) :: %{atom() => term()}
  def native!(options, table) do
    for {row, value} <- each_changed(table, options), reduce: table.natives do
      native -> Map.put(native, row.name, Type.native(row.type, cast!(row, value, table)))
    end
  end

  @doc "The options that differ from their defaults, for error messages."
  @spec changed(%{atom() => term()}, t()) :: keyword()
  def changed(options, table),
    do: Enum.map(each_changed(table, options), fn {row, value} -> {row.name, value} end)

  # Most options have their defaults, which need no validation.
  defp each_changed(table, options) do
    for %{name: name, default: default} = row <- table.rows,
        %{^name => value} = options,
        row.required or value !== default,
        do: {row, value}
  end

  @doc """
  Validates a keyword list and returns all options of the table. Missing options come from `defaults`, then from the
  rows.
  """
  @spec new!(keyword(), t(), keyword()) :: %{atom() => term()}
  def new!(opts, table, defaults \\ [])

  # The common case of calls.
  def new!([], %{required: []} = table, []), do: table.defaults

  def new!(opts, table, []), do: opts |> put!(table.defaults, table) |> complete!(opts, table)

  def new!(opts, table, defaults) do
    opts
    |> put!(Map.merge(table.defaults, Map.new(defaults)), table)
    |> complete!(opts, table)
  end

  defp complete!(options, opts, table) do
    for name <- table.required, not List.keymember?(opts, name, 0), do: missing!(table, name)
    options
  end

  @doc "Validates a keyword list and returns only its options, without defaults."
  @spec explicit!(keyword(), t()) :: %{atom() => term()}
  def explicit!(opts, table), do: put!(opts, %{}, table)

  # As with `Keyword.get/2`, the first of duplicate options wins.
  defp put!(opts, options, table),
    do: opts |> pairs!(table) |> List.foldr(options, &put_pair!(&1, &2, table))

  @doc "Returns a list of pairs; raises for anything else."
  @spec pairs!(term(), t()) :: [{term(), term()}]
  def pairs!(opts, table) do
    if pairs?(opts),
      do: opts,
      else: misuse!("options of #{table.place} as a keyword list, such as #{sample(table)}", opts)
  end

  defp put_pair!({name, value}, options, table) do
    case table.by_name do
      %{^name => row} -> Map.put(options, name, cast!(row, value, table))
      _ -> unknown!(name, table)
    end
  end

  defp pairs?([{_name, _value} | rest]), do: pairs?(rest)
  defp pairs?(rest), do: rest == []

  @doc "Validates a single argument of a function."
  @spec argument!(term(), atom(), Type.t(), String.t()) :: term()
  def argument!(value, name, type, place) do
    case Type.cast(type, value) do
      {:ok, value} -> value
      {:error, at, expected, got} -> invalid!(name, place, at, expected, got)
    end
  end

  @doc "Converts a map of options to a list, for functions that accept both."
  @spec listed(term()) :: term()
  def listed(opts) when is_map(opts) and not is_struct(opts), do: Map.to_list(opts)
  def listed(opts), do: opts

  defp sample(%{rows: []}), do: "[]"

  defp sample(%{rows: [row | _]}),
    do: "#{row.name}: #{row.example || Type.example(row.type)}"

  @spec unknown!(term(), t()) :: no_return()
  defp unknown!(name, table) do
    suggestion = Wasmex.Error.suggestion(name, table.names)
    name = inspect(name, limit: 20, printable_limit: 500)
    raise ArgumentError, "unknown option #{name} in #{table.place}#{suggestion}"
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
    row = table.by_name[name]
    example = row.example || Type.example(row.type)

    raise ArgumentError,
          "missing option #{inspect(name)} in #{table.place}, such as #{name}: #{example}"
  end

  @doc "Raises for an invalid argument, with the expected and the actual value."
  @spec misuse!(String.t(), term()) :: no_return()
  def misuse!(expected, got), do: raise(ArgumentError, expected(expected, got))

  @doc "The reference of a native object, if it belongs to this node. The native side says the same of handles that it gets."
  @spec here!(reference(), String.t()) :: reference()
  def here!(reference, _name) when node(reference) == node(), do: reference

  def here!(reference, name) do
    raise ArgumentError,
          "this #{name} belongs to the node #{node(reference)}: handles can only be used on their own node. " <>
            "Send a Wasmex.Code and make one here, or call a function there, for example with :erpc"
  end

  # The value may be a whole file.
  defp expected(expected, got),
    do:
      Wasmex.Printable.message(
        "expected #{expected}, got: #{inspect(got, limit: 20, printable_limit: 500)}"
      )
end
