defmodule Wasmex.Conformance.JSON do
  @moduledoc "A reader of JSON (RFC 8259); OTP has its own from version 27 on."

  def decode!(text) do
    {value, rest} = value(space(text))
    "" = space(rest)
    value
  end

  defp value("{" <> rest), do: object(space(rest), %{})
  defp value("[" <> rest), do: array(space(rest), [])
  defp value("\"" <> rest), do: string(rest, [])
  defp value("true" <> rest), do: {true, rest}
  defp value("false" <> rest), do: {false, rest}
  defp value("null" <> rest), do: {nil, rest}

  defp value(text) do
    [number] = Regex.run(~r/\A-?\d+(\.\d+)?([eE][-+]?\d+)?/, text, capture: :first)
    rest = binary_part(text, byte_size(number), byte_size(text) - byte_size(number))

    case Integer.parse(number) do
      {integer, ""} -> {integer, rest}
      _ -> {number |> Float.parse() |> elem(0), rest}
    end
  end

  defp object("}" <> rest, map), do: {map, rest}

  defp object("\"" <> rest, map) do
    {key, rest} = string(rest, [])
    ":" <> rest = space(rest)
    {value, rest} = value(space(rest))
    map = Map.put(map, key, value)

    case space(rest) do
      "," <> rest -> object(space(rest), map)
      "}" <> rest -> {map, rest}
    end
  end

  defp array("]" <> rest, list), do: {Enum.reverse(list), rest}

  defp array(text, list) do
    {value, rest} = value(text)

    case space(rest) do
      "," <> rest -> array(space(rest), [value | list])
      "]" <> rest -> {Enum.reverse([value | list]), rest}
    end
  end

  defp string("\"" <> rest, parts), do: {parts |> Enum.reverse() |> IO.iodata_to_binary(), rest}

  defp string("\\u" <> <<hex::binary-size(4), rest::binary>>, parts) do
    case {String.to_integer(hex, 16), rest} do
      {high, "\\u" <> <<low::binary-size(4), rest::binary>>} when high in 0xD800..0xDBFF ->
        char = 0x10000 + (high - 0xD800) * 0x400 + String.to_integer(low, 16) - 0xDC00
        string(rest, [<<char::utf8>> | parts])

      {char, rest} ->
        string(rest, [<<char::utf8>> | parts])
    end
  end

  for {escape, char} <- [{"n", "\n"}, {"t", "\t"}, {"r", "\r"}, {"b", "\b"}, {"f", "\f"}] do
    defp string("\\" <> unquote(escape) <> rest, parts), do: string(rest, [unquote(char) | parts])
  end

  defp string(<<"\\", char, rest::binary>>, parts), do: string(rest, [char | parts])

  defp string(text, parts) do
    {at, _} = :binary.match(text, ["\"", "\\"])
    {part, rest} = :erlang.split_binary(text, at)
    string(rest, [part | parts])
  end

  defp space(<<char, rest::binary>>) when char in [?\s, ?\n, ?\t, ?\r], do: space(rest)
  defp space(text), do: text
end
