defmodule Wasmex.JSON.Parser do
  @moduledoc false
  # Decodes JSON (RFC 8259) before OTP 27, with the rules of `Wasmex.JSON`. Each function takes the text and returns a value
  # and the rest.

  alias Wasmex.JSON

  @spec decode(binary(), pos_integer()) :: {:ok, term()}
  def decode(text, max_depth) do
    {value, rest} = value(space(text), {0, max_depth})
    if space(rest) == "", do: {:ok, value}, else: JSON.fail("text after the value")
  end

  defp space(<<char, rest::binary>>) when char in [?\s, ?\n, ?\t, ?\r], do: space(rest)
  defp space(text), do: text

  defp value("{" <> rest, depth), do: members(space(rest), deeper(depth), %{})
  defp value("[" <> rest, depth), do: elements(space(rest), deeper(depth), [])
  defp value("\"" <> rest, _depth), do: string(rest, rest, 0, [])
  defp value("true" <> rest, _depth), do: {true, rest}
  defp value("false" <> rest, _depth), do: {false, rest}
  defp value("null" <> rest, _depth), do: {nil, rest}

  defp value(<<char, _::binary>> = text, _depth) when char == ?- or char in ?0..?9,
    do: number(text)

  defp value(text, _depth), do: unexpected(text)

  defp deeper({depth, most}), do: {JSON.deeper(depth, most), most}

  @spec unexpected(binary()) :: no_return()
  defp unexpected(""), do: JSON.fail("an unexpected end")

  defp unexpected(<<byte, _::binary>>),
    do: JSON.fail("an unexpected byte 0x#{Integer.to_string(byte, 16)}")

  defp members("}" <> rest, _depth, object) when object == %{}, do: {object, rest}

  defp members("\"" <> rest, depth, object) do
    {name, rest} = string(rest, rest, 0, [])
    {value, rest} = rest |> space() |> colon() |> space() |> value(depth)
    object = JSON.put(object, name, value)

    case space(rest) do
      "," <> rest -> rest |> space() |> member(depth, object)
      "}" <> rest -> {object, rest}
      other -> unexpected(other)
    end
  end

  defp members(text, _depth, _object), do: unexpected(text)

  # After a comma.
  defp member("\"" <> _ = text, depth, object), do: members(text, depth, object)
  defp member(text, _depth, _object), do: unexpected(text)

  defp colon(":" <> rest), do: rest
  defp colon(text), do: unexpected(text)

  defp elements("]" <> rest, _depth, []), do: {[], rest}

  defp elements(text, depth, list) do
    {value, rest} = value(text, depth)

    case space(rest) do
      "," <> rest -> rest |> space() |> elements(depth, [value | list])
      "]" <> rest -> {Enum.reverse(list, [value]), rest}
      other -> unexpected(other)
    end
  end

  # The first `size` bytes of `start` contain no escape. `parts` precede them.
  defp string("\"" <> rest, start, size, parts),
    do: {IO.iodata_to_binary(Enum.reverse(parts, [binary_part(start, 0, size)])), rest}

  defp string("\\" <> rest, start, size, parts) do
    {char, rest} = escape(rest)
    string(rest, rest, 0, [char, binary_part(start, 0, size) | parts])
  end

  defp string(<<char::utf8, rest::binary>>, start, size, parts) when char >= 0x20,
    do: string(rest, start, size + utf8_size(char), parts)

  defp string(text, _start, _size, _parts), do: unexpected(text)

  defp utf8_size(char) when char < 0x80, do: 1
  defp utf8_size(char) when char < 0x800, do: 2
  defp utf8_size(char) when char < 0x10000, do: 3
  defp utf8_size(_char), do: 4

  for {escape, char} <- [
        {?", ?"},
        {?\\, ?\\},
        {?/, ?/},
        {?b, ?\b},
        {?f, ?\f},
        {?n, ?\n},
        {?r, ?\r},
        {?t, ?\t}
      ] do
    defp escape(<<unquote(escape), rest::binary>>), do: {<<unquote(char)>>, rest}
  end

  defp escape(<<"u", rest::binary>>) do
    case code(rest) do
      {high, "\\u" <> rest} when high in 0xD800..0xDBFF -> pair(high, code(rest))
      {code, _rest} when code in 0xD800..0xDFFF -> JSON.fail("half of a surrogate pair")
      {code, rest} -> {<<code::utf8>>, rest}
    end
  end

  defp escape(text), do: unexpected(text)

  # Section 7: characters outside the Basic Multilingual Plane are surrogate pairs.
  defp pair(high, {low, rest}) when low in 0xDC00..0xDFFF do
    char = 0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00)
    {<<char::utf8>>, rest}
  end

  defp pair(_high, _other), do: JSON.fail("half of a surrogate pair")

  defp code(<<hex::binary-size(4), rest::binary>>) do
    if hex =~ ~r/\A[0-9a-fA-F]{4}\z/,
      do: {:erlang.binary_to_integer(hex, 16), rest},
      else: JSON.fail("an escape that is not four hexadecimal digits")
  end

  defp code(_text), do: JSON.fail("an unexpected end")

  defp number(text) do
    {whole, rest} = text |> sign(0) |> whole(text)

    case fraction(rest) do
      {0, _} -> {JSON.integer(binary_part(text, 0, whole)), rest}
      {size, rest} -> {text |> binary_part(0, whole + size) |> float(whole), rest}
    end
  end

  defp sign("-" <> _, size), do: size + 1
  defp sign(_text, size), do: size

  # The size of the integer part, including the sign.
  defp whole(sign, text) do
    rest = binary_part(text, sign, byte_size(text) - sign)

    case rest do
      "0" <> rest -> {sign + 1, rest}
      <<digit, _::binary>> when digit in ?1..?9 -> digits(rest, sign)
      other -> unexpected(other)
    end
  end

  defp digits(<<digit, rest::binary>>, size) when digit in ?0..?9, do: digits(rest, size + 1)
  defp digits(rest, size), do: {size, rest}

  # The size of the fraction and the exponent.
  defp fraction("." <> rest) do
    {size, rest} = some_digits(rest, 1)
    exponent(rest, size)
  end

  defp fraction(rest), do: exponent(rest, 0)

  defp exponent(<<e, sign, rest::binary>>, size) when e in ~c"eE" and sign in ~c"+-",
    do: some_digits(rest, size + 2)

  defp exponent(<<e, rest::binary>>, size) when e in ~c"eE", do: some_digits(rest, size + 1)
  defp exponent(rest, size), do: {size, rest}

  defp some_digits(<<digit, _::binary>> = text, size) when digit in ?0..?9, do: digits(text, size)
  defp some_digits(text, _size), do: unexpected(text)

  # Erlang requires a fraction.
  defp float(text, whole) do
    if :binary.match(text, ".") == :nomatch do
      {whole, exponent} = :erlang.split_binary(text, whole)
      JSON.float(whole <> ".0" <> exponent)
    else
      JSON.float(text)
    end
  end
end
