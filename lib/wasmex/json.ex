defmodule Wasmex.JSON do
  @moduledoc false
  # Terms as JSON (RFC 8259): maps, lists, strings, numbers, atoms. OTP has its own from version 27 on.

  @doc "Indented by two spaces a level; keys of maps in order."
  @spec encode(term()) :: String.t()
  def encode(term), do: term |> value("\n") |> IO.iodata_to_binary()

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

  defp string(text), do: [?", escape(text, []), ?"]

  defp escape("", done), do: Enum.reverse(done)

  defp escape(<<char::utf8, rest::binary>>, done) do
    escaped =
      case char do
        ?" -> "\\\""
        ?\\ -> "\\\\"
        ?\n -> "\\n"
        ?\t -> "\\t"
        ?\r -> "\\r"
        char when char < 0x20 or char == 0x7F -> unicode(char)
        char -> <<char::utf8>>
      end

    escape(rest, [escaped | done])
  end

  # Bytes that are no text; JSON has no other place for them.
  defp escape(<<_byte, rest::binary>>, done), do: escape(rest, ["\uFFFD" | done])

  defp unicode(char),
    do: ["\\u", char |> Integer.to_string(16) |> String.downcase() |> String.pad_leading(4, "0")]
end
