defmodule Wasmex.JSON do
  @moduledoc false
  # JSON (RFC 8259). Reading is OTP's `:json` where it is there (OTP 27 on), else `Wasmex.JSON.Parser`; both by the same
  # rules, which are stricter than `:json` alone: nesting and integers have limits, a name that comes twice in an object is
  # an error (the RFC leaves it open, and readers differ), and `null` is nil. Names stay strings.
  #
  # Writing is ours: indented, with sorted names, and safe to print on a terminal, which `:json.encode/1` is not.

  alias Wasmex.Error

  # Arrays and objects inside each other.
  @max_depth 64

  @doc "The term that `text` stands for. `max_depth:` bounds how deep arrays and objects nest."
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

  @doc "Ends reading, from within a reader."
  @spec fail(String.t()) :: no_return()
  def fail(message), do: throw({Wasmex.JSON, message})

  @doc "An integer by its digits. Making one takes time that grows with their square."
  @spec integer(binary()) :: integer()
  def integer(digits) do
    if byte_size(digits) > 1_000,
      do: fail("an integer of more than 1000 digits"),
      else: :erlang.binary_to_integer(digits)
  end

  @doc "A float as JSON writes it, with a fraction."
  @spec float(binary()) :: float()
  def float(text) do
    if byte_size(text) > 1_000, do: fail("a number of more than 1000 digits")
    :erlang.binary_to_float(text)
  rescue
    ArgumentError -> fail("a number beyond the range of a float")
  end

  @doc "Puts a member into an object."
  @spec put(map(), String.t(), term()) :: map()
  def put(object, name, _value) when is_map_key(object, name),
    do: fail("a name that comes twice in an object: #{inspect(name, printable_limit: 100)}")

  def put(object, name, value), do: Map.put(object, name, value)

  @doc "One level deeper."
  @spec deeper(non_neg_integer(), pos_integer()) :: pos_integer()
  def deeper(depth, most) when depth < most, do: depth + 1
  def deeper(_depth, most), do: fail("nested more than #{most} levels deep")

  @doc "Indented by two spaces a level; keys of maps in order."
  @spec encode(term()) :: String.t()
  def encode(term), do: term |> value("\n") |> IO.iodata_to_binary()

  @doc "On one line, for machines."
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
        char when char < 0x20 or char in 0x7F..0x9F -> unicode(char)
        # Marks that change the direction of text.
        char when char in 0x202A..0x202E or char in 0x2066..0x2069 -> unicode(char)
        char -> <<char::utf8>>
      end

    escape(rest, [escaped | done])
  end

  # Bytes that are no text; JSON has no other place for them.
  defp escape(<<_byte, rest::binary>>, done), do: escape(rest, ["\uFFFD" | done])

  defp unicode(char), do: ["\\u", char |> Integer.to_string(16) |> String.pad_leading(4, "0")]
end
