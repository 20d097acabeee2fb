defmodule Wasmex.JSON do
  @moduledoc false
  # JSON (RFC 8259). Decoding uses OTP's `:json` from OTP 27 on, and `Wasmex.JSON.Parser` before. Both follow the same rules,
  # which are stricter than `:json`: nesting and integers are limited, and duplicate names in an object are an error (the RFC
  # allows any behaviour). `null` is nil. Names stay strings.
  #
  # Encoding indents, sorts names, and escapes what is unsafe on a terminal, which `:json.encode/1` does not.

  alias Wasmex.{Error, Printable}

  # The default nesting limit of arrays and objects.
  @max_depth 64

  @doc "Decodes JSON. `:max_depth` limits the nesting of arrays and objects."
  @spec decode(binary(), max_depth: pos_integer()) :: {:ok, term()} | {:error, Error.t()}
  def decode(text, opts \\ []) when is_binary(text) do
    reader().decode(text, Keyword.get(opts, :max_depth, @max_depth))
  catch
    {Wasmex.JSON, message} ->
      {:error, %Error{reason: :json, details: %{message: "malformed JSON: " <> message}}}
  end

  defp reader do
    if Code.ensure_loaded?(:json), do: Wasmex.JSON.OTP, else: Wasmex.JSON.Parser
  end

  @doc "Ends decoding with an error, for decoders."
  @spec fail(String.t()) :: no_return()
  def fail(message), do: throw({Wasmex.JSON, message})

  @doc "Converts digits to an integer. Their number is limited, because the conversion takes quadratic time."
  @spec integer(binary()) :: integer()
  def integer(digits) do
    if byte_size(digits) > 1_000,
      do: fail("an integer of more than 1000 digits"),
      else: :erlang.binary_to_integer(digits)
  end

  @doc "Converts text with a fraction to a float."
  @spec float(binary()) :: float()
  def float(text) do
    if byte_size(text) > 1_000, do: fail("a number of more than 1000 digits")
    :erlang.binary_to_float(text)
  rescue
    ArgumentError -> fail("a number beyond the range of a float")
  end

  @doc "Adds a member to an object."
  @spec put(map(), String.t(), term()) :: map()
  def put(object, name, _value) when is_map_key(object, name),
    do: fail("duplicate name in an object: #{inspect(name, printable_limit: 100)}")

  def put(object, name, value), do: Map.put(object, name, value)

  @doc "Increments the nesting depth, within its limit."
  @spec deeper(non_neg_integer(), pos_integer()) :: pos_integer()
  def deeper(depth, most) when depth < most, do: depth + 1
  def deeper(_depth, most), do: fail("nested more than #{most} levels deep")

  @doc "Encodes a term, indented by two spaces per level, with sorted keys."
  @spec encode(term()) :: String.t()
  def encode(term), do: term |> value("\n") |> IO.iodata_to_binary()

  @doc "Encodes a term on one line."
  @spec encode_compact(term()) :: String.t()
  def encode_compact(term), do: term |> compact() |> IO.iodata_to_binary()

  defp compact([_ | _] = list), do: [?[, list |> Enum.map(&compact/1) |> Enum.intersperse(?,), ?]]

  defp compact(map) when is_map(map) and map != %{} and not is_struct(map) do
    pairs = for {key, term} <- Enum.sort(map), do: [string(to_string(key)), ?:, compact(term)]
    [?{, Enum.intersperse(pairs, ?,), ?}]
  end

  defp compact(term), do: value(term, "")

  defp value(nil, _line), do: "null"
  defp value(atom, _line) when is_boolean(atom), do: Atom.to_string(atom)
  defp value(atom, line) when is_atom(atom), do: atom |> Atom.to_string() |> value(line)
  defp value(number, _line) when is_integer(number), do: Integer.to_string(number)
  defp value(number, _line) when is_float(number), do: Float.to_string(number)
  defp value(text, _line) when is_binary(text), do: string(text)
  defp value([], _line), do: "[]"
  defp value(map, _line) when map == %{}, do: "{}"

  defp value(list, line) when is_list(list) do
    inner = line <> "  "
    [?[, inner, list |> Enum.map(&value(&1, inner)) |> Enum.intersperse([?,, inner]), line, ?]]
  end

  defp value(map, line) when is_map(map) do
    inner = line <> "  "

    pairs =
      for {key, term} <- Enum.sort(map), do: [string(to_string(key)), ": ", value(term, inner)]

    [?{, inner, Enum.intersperse(pairs, [?,, inner]), line, ?}]
  end

  defp value(other, _line),
    do: Wasmex.Options.misuse!("a map, list, string, number or atom", other)

  defp string(text), do: [?", escape(text, []), ?"]

  defp escape("", done), do: Enum.reverse(done)

  defp escape(<<char::utf8, rest::binary>>, done) do
    escaped =
      case char do
        ?" -> "\\\""
        ?\\ -> "\\\\"
        ?\b -> "\\b"
        ?\f -> "\\f"
        ?\n -> "\\n"
        ?\t -> "\\t"
        ?\r -> "\\r"
        char -> if Printable.steers?(char), do: unicode(char), else: <<char::utf8>>
      end

    escape(rest, [escaped | done])
  end

  # Bytes that are not UTF-8, which JSON cannot represent.
  defp escape(<<_byte, rest::binary>>, done), do: escape(rest, ["\uFFFD" | done])

  # Beyond 16 bits a surrogate pair (RFC 8259, section 7).
  defp unicode(char) do
    for <<(unit::16 <- <<char::utf16>>)>>,
      do: ["\\u", unit |> Integer.to_string(16) |> String.pad_leading(4, "0")]
  end
end
