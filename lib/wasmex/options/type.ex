defmodule Wasmex.Options.Type do
  @moduledoc false
  # The types of options:
  #
  # - `:boolean`, `:string`, `:text` (UTF-8 without NUL, as programs take it), `:atom`, `:pid`, `:any`, `:list`, `:map`,
  #   `:keyword` (a keyword list or a map), `:name` (a string or an atom, converted to a string),
  #   `:secret` (a non-empty binary, hidden in error messages)
  # - `:natural`, `{:integer, range}`
  # - `:bytes` and `{:bytes, range}`, a size; `:timeout`, ms or `:infinity`; `{:milliseconds, range}`
  # - `{:one_of, values}`; `{:or, values, type}`: one of the values, or of the type
  # - `{:list, type}`, `{:function, arity}`, `{:struct, module}`, and `{:options, module}` for a struct of options
  # - a module with the callbacks below
  #
  # `cast/2` converts a user's value to the internal form, `native/2` the internal form to that of the native side, and
  # `parse/2` a word of a command line to a user's value.

  alias Wasmex.{Quantity, Utils}

  @type t :: atom() | tuple()

  @typedoc "An error: the place within the value (`\", item 2\"`, or `\"\"`), the expected and the actual value."
  @type problem :: {:error, String.t(), String.t(), term()}

  @callback cast(term()) :: {:ok, term()} | problem()
  @callback expected() :: String.t()
  @callback spec() :: Macro.t()
  @callback example() :: String.t()
  @callback native(term()) :: term()
  @callback parse(String.t()) :: {:ok, term()} | {:error, String.t()}
  @callback repeats?() :: boolean()

  defmacro __using__([]) do
    quote do
      @behaviour Wasmex.Options.Type

      @impl true
      def native(value), do: value
      @impl true
      def parse(word), do: {:ok, word}
      @impl true
      def repeats?, do: false

      defoverridable native: 1, parse: 1, repeats?: 0
    end
  end

  @simple [:boolean, :string, :text, :atom, :pid, :any, :list, :map, :keyword, :name, :secret] ++
            [:natural, :bytes, :timeout]

  # The range of an i64.
  @most 0x7FFF_FFFF_FFFF_FFFF

  @units [{"GiB", 1_073_741_824}, {"MiB", 1_048_576}, {"KiB", 1024}]

  @doc "Converts a user's value to the internal form."
  @spec cast(t(), term()) :: {:ok, term()} | problem()
  def cast({:or, values, type}, value) do
    if value in values do
      {:ok, value}
    else
      # Errors at the top level mention the alternatives. Errors inside a value do not.
      with {:error, "", expected, got} <- cast(type, value),
           do: {:error, "", alternatives(values, type, expected), got}
    end
  end

  def cast({:list, type}, values) when is_list(values) and length(values) >= 0,
    do: cast_items(type, values, 1, [])

  def cast(:name, name) when is_atom(name) and name not in [nil, true, false],
    do: {:ok, Atom.to_string(name)}

  def cast(:secret, secret) when is_binary(secret) and secret != "", do: {:ok, secret}
  def cast(:secret, _other), do: {:error, "", expected(:secret), :hidden}

  def cast({:options, module}, %{__struct__: module} = options),
    do: Wasmex.Options.cast(options, module.__options__())

  def cast(type, value) when type in @simple or is_tuple(type),
    do: if(valid?(type, value), do: {:ok, value}, else: {:error, "", expected(type), value})

  def cast(module, value), do: module.cast(value)

  # Only if the type has no more specific error.
  defp alternatives(values, type, expected),
    do: if(expected == expected(type), do: expected({:or, values, type}), else: expected)

  defp cast_items(_type, [], _number, done), do: {:ok, Enum.reverse(done)}

  defp cast_items(type, [value | values], number, done) do
    case cast(type, value) do
      {:ok, value} -> cast_items(type, values, number + 1, [value | done])
      {:error, at, expected, got} -> {:error, ", item #{number}#{at}", expected, got}
    end
  end

  defp valid?(:any, _value), do: true
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(text, value) when text in [:string, :name], do: is_binary(value)
  defp valid?(:text, value), do: is_binary(value) and Utils.text?(value)
  defp valid?(:atom, value), do: is_atom(value)
  defp valid?(:pid, value), do: is_pid(value)
  defp valid?(:list, value), do: is_list(value)
  defp valid?(:keyword, value), do: valid?(:map, value) or Keyword.keyword?(value)
  defp valid?(:map, value), do: is_map(value) and not is_struct(value)
  defp valid?(:natural, value), do: is_integer(value) and value in 0..@most
  defp valid?(:bytes, value), do: valid?(:natural, value)
  defp valid?(:timeout, :infinity), do: true
  defp valid?(:timeout, value), do: is_integer(value) and value >= 0
  # Not `in`, which uses a protocol.
  defp valid?({:integer, first..last//1}, value),
    do: is_integer(value) and value >= first and value <= last

  defp valid?({:bytes, range}, value), do: valid?({:integer, range}, value)
  defp valid?({:milliseconds, range}, value), do: valid?({:integer, range}, value)
  defp valid?({:one_of, values}, value), do: value in values
  defp valid?({:struct, module}, value), do: is_struct(value, module)
  defp valid?({:function, arity}, value), do: is_function(value, arity)

  defp valid?({list_or_options, _type}, _value) when list_or_options in [:list, :options],
    do: false

  @doc "Describes the accepted values."
  @spec expected(t()) :: String.t()
  def expected(:any), do: "anything"
  def expected(:boolean), do: "a boolean"
  def expected(:string), do: "a string"
  def expected(:text), do: "a string of UTF-8 without NUL"
  def expected(:atom), do: "an atom"
  def expected(:name), do: "a string or an atom"
  def expected(:secret), do: "a non-empty binary"
  def expected(:pid), do: "a pid"
  def expected(:list), do: "a list"
  def expected(:map), do: "a map"
  def expected(:keyword), do: "a keyword list or a map"
  def expected(:natural), do: "a non-negative integer below 2^63"
  def expected(:bytes), do: "a number of bytes"
  def expected(:timeout), do: "milliseconds or :infinity"
  def expected({:integer, range}), do: "an integer #{between(range, &number/1)}"
  def expected({:bytes, range}), do: "a number of bytes #{between(range, &size/1)}"
  def expected({:milliseconds, range}), do: "milliseconds #{between(range, &number/1)}"
  def expected({:one_of, values}), do: one_of(Enum.map(values, &inspect/1))
  def expected({:or, values, type}), do: one_of(Enum.map(values, &inspect/1) ++ [expected(type)])
  def expected({:list, type}), do: "a list, each item #{expected(type)}"
  def expected({struct, module}) when struct in [:struct, :options], do: "a %#{inspect(module)}{}"
  def expected({:function, 1}), do: "a function of one argument"
  def expected({:function, arity}), do: "a function of #{arity} arguments"
  def expected(module), do: module.expected()

  defp one_of([only]), do: only

  defp one_of(words) do
    {last, words} = List.pop_at(words, -1)
    "#{Enum.join(words, ", ")} or #{last}"
  end

  defp between(%{first: first, last: @most}, show), do: "of #{show.(first)} or more"
  defp between(%{first: first, last: last}, show), do: "from #{show.(first)} to #{show.(last)}"

  defp number(0xFFFF_FFFF_FFFF_FFFF), do: "2^64 - 1"
  defp number(n), do: n |> Integer.to_string() |> grouped()

  defp grouped(digits) do
    digits
    |> String.reverse()
    |> String.replace(~r/(\d{3})(?=\d)/, "\\1,")
    |> String.reverse()
  end

  defp size(bytes) do
    case Enum.find(@units, fn {_, unit} -> bytes > 0 and rem(bytes, unit) == 0 end) do
      {unit, factor} -> "#{div(bytes, factor)} #{unit}"
      nil -> number(bytes)
    end
  end

  @doc "A value for the docs: sizes with units, numbers with commas."
  @spec show(t(), term()) :: String.t()
  def show({:or, values, type}, value),
    do: if(value in values, do: code(value), else: show(type, value))

  def show(:bytes, bytes), do: size(bytes)
  def show({:bytes, _range}, bytes), do: size(bytes)
  def show(:timeout, ms) when is_integer(ms), do: "#{number(ms)} ms"
  def show({:milliseconds, _range}, ms), do: "#{number(ms)} ms"
  def show(_type, value) when is_integer(value), do: number(value)
  def show(_type, value), do: code(value)

  defp code(value), do: "`#{inspect(value)}`"

  @doc "An accepted value in Elixir syntax."
  @spec example(t()) :: String.t()
  def example(:any), do: ":anything"
  def example(:boolean), do: "true"
  def example(text) when text in [:string, :text, :name, :secret], do: ~s|"text"|
  def example(:atom), do: ":my_app"
  def example(:pid), do: "self()"
  def example(:list), do: "[]"
  def example(:map), do: "%{}"
  def example(:keyword), do: "[]"
  def example(:natural), do: "1000"
  def example(:bytes), do: "1_048_576"
  def example(:timeout), do: "5000"
  def example({:integer, range}), do: inspect(range.first)
  def example({:bytes, range}), do: inspect(range.last)
  def example({:milliseconds, range}), do: inspect(range.first)
  def example({:one_of, values}), do: values |> List.last() |> inspect()
  def example({:or, _values, type}), do: example(type)
  def example({:list, type}), do: "[#{example(type)}]"
  def example({struct, module}) when struct in [:struct, :options], do: "%#{inspect(module)}{}"
  def example({:function, arity}), do: "fn #{Enum.map_join(1..arity, ", ", &"_#{&1}")} -> :ok end"
  def example(module), do: module.example()

  @doc "The quoted typespec."
  @spec spec(t()) :: Macro.t()
  def spec(:any), do: quote(do: term())
  def spec(:boolean), do: quote(do: boolean())
  def spec(text) when text in [:string, :text, :secret], do: quote(do: String.t())
  def spec(:atom), do: quote(do: atom())
  def spec(:name), do: quote(do: String.t() | atom())
  def spec(:pid), do: quote(do: pid())
  def spec(:list), do: quote(do: list())
  def spec(:map), do: quote(do: map())
  def spec(:keyword), do: quote(do: keyword() | map())
  def spec(number) when number in [:natural, :bytes], do: quote(do: non_neg_integer())
  def spec(:timeout), do: quote(do: timeout())

  def spec({number, range}) when number in [:integer, :bytes, :milliseconds],
    do: if(range.first > 0, do: quote(do: pos_integer()), else: quote(do: non_neg_integer()))

  def spec({:one_of, values}), do: union(values)
  def spec({:or, values, type}), do: union(values ++ [{:type, type}])
  def spec({:list, type}), do: [spec(type)]

  def spec({struct, module}) when struct in [:struct, :options],
    do: quote(do: unquote(module).t())

  def spec({:function, arity}) do
    arguments = List.duplicate(quote(do: term()), arity)
    quote(do: (unquote_splicing(arguments) -> term()))
  end

  def spec(module), do: module.spec()

  defp union(values) do
    values
    |> Enum.map(fn
      {:type, type} -> spec(type)
      value -> value
    end)
    |> Enum.reverse()
    |> Enum.reduce(fn left, right -> quote(do: unquote(left) | unquote(right)) end)
  end

  @doc "Converts a cast value to the form of the native side."
  @spec native(t(), term()) :: term()
  def native({:or, values, type}, value),
    do: if(value in values, do: value, else: native(type, value))

  def native({:list, type}, values), do: Enum.map(values, &native(type, &1))

  def native({:options, module}, options),
    do: Wasmex.Options.native!(options, module.__options__())

  def native(type, value) when type in @simple or is_tuple(type), do: value
  def native(module, value), do: module.native(value)

  @doc "Parses a word of a command line."
  @spec parse(t(), String.t()) :: {:ok, term()} | {:error, String.t()}
  def parse({:or, _values, type}, word), do: parse(type, word)
  def parse({:list, type}, word), do: parse(type, word)
  def parse(text, word) when text in [:string, :text], do: {:ok, word}
  def parse(:timeout, word), do: Quantity.duration(word)
  def parse({:milliseconds, _range}, word), do: Quantity.duration(word)
  def parse(:bytes, word), do: Quantity.size(word)
  def parse({:bytes, _range}, word), do: Quantity.size(word)

  def parse({:one_of, values}, word) do
    case Enum.find(values, &(is_atom(&1) and Atom.to_string(&1) == word)) do
      nil ->
        {:error, "expected #{values |> Enum.map(&to_string/1) |> one_of()}, got #{inspect(word)}"}

      value ->
        {:ok, value}
    end
  end

  def parse({:integer, _range}, word), do: parse(:natural, word)

  def parse(:natural, word) do
    with :error <- Quantity.natural(word),
         do: {:error, "expected a non-negative integer, got #{inspect(word)}"}
  end

  def parse(module, word), do: module.parse(word)

  @doc "Whether a flag of this type may be repeated."
  @spec repeats?(t()) :: boolean()
  def repeats?({:or, _values, type}), do: repeats?(type)
  def repeats?({:list, _type}), do: true
  def repeats?(type) when type in @simple or is_tuple(type), do: false
  def repeats?(module), do: module.repeats?()
end
