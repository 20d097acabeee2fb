defmodule Wasmex.Printable do
  @moduledoc false
  # Escapes text from a guest for errors, logs, terminals, SVG and HTML. Names in wasm may be any Unicode. Control characters
  # (including ANSI sequences), line breaks, bidirectional controls and zero-width characters are escaped in Elixir
  # syntax. `steers` in native/wasmex/src/vm/demangle.rs has the same characters.

  @longest 256

  # Parsers quote the line that they do not understand, which may be a whole file, and names.
  @longest_line 4_096
  @longest_message 65_536

  @doc "A message of several lines, each cut at 4 KiB, all of them at 64 KiB."
  @spec message(binary()) :: String.t()
  def message(text) when byte_size(text) <= @longest_line, do: text(text)

  def message(text) do
    text
    |> cut(@longest_message)
    |> :binary.split("\n", [:global])
    |> Enum.map_join("\n", &cut(&1, @longest_line))
    |> text()
  end

  defp cut(text, longest) when byte_size(text) <= longest, do: text
  defp cut(text, longest), do: (text |> binary_part(0, longest) |> whole()) <> "…"

  @doc "A name on one line, cut at 256 bytes."
  @spec name(binary()) :: String.t()
  def name(name), do: name |> cut(@longest) |> line()

  @doc "Text on one line, cut at 4 KiB."
  @spec long_line(binary()) :: String.t()
  def long_line(text), do: text |> cut(@longest_line) |> line()

  # Of a guest there may be many thousands.
  @listed 20

  @doc "The first 20 of a list, each as this function prints it, and how many more there are."
  @spec list([term()], String.t(), (term() -> String.t())) :: String.t()
  def list(items, separator, print) do
    shown = items |> Enum.take(@listed) |> Enum.map_join(separator, print)
    more = length(items) - @listed
    if more > 0, do: "#{shown}#{separator}… and #{more} more", else: shown
  end

  @doc "The first line of a message of wasmtime, which may have names with line breaks, and its causes."
  @spec outermost(binary()) :: {String.t(), String.t()}
  def outermost(text) do
    # A name may have this, too; causes have no names.
    case :binary.matches(text, "\n\nCaused by:") do
      [] ->
        {line(text), ""}

      found ->
        {at, _size} = List.last(found)
        {first, causes} = :erlang.split_binary(text, at)
        {line(first), causes}
    end
  end

  # Removes an incomplete character at the end.
  defp whole(bytes) do
    case :unicode.characters_to_binary(bytes) do
      {:incomplete, whole, _rest} -> whole
      _ -> bytes
    end
  end

  # Control characters; soft hyphen, Arabic letter mark, zero-width characters and directional marks; separators and
  # embeddings; invisible operators and isolates; byte order mark, annotations, tags.
  @doc "Text on one line."
  @spec line(binary()) :: String.t()
  def line(text) do
    replace(
      text,
      ~r/[\x00-\x1f\x7f-\x9f\x{ad}\x{61c}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}\x{fff9}-\x{fffb}\x{e0000}-\x{e007f}]/u
    )
  end

  @doc "Text on several lines. Tabs are kept."
  @spec text(binary()) :: String.t()
  def text(text) do
    replace(
      text,
      ~r/[\x00-\x08\x0b-\x1f\x7f-\x9f\x{ad}\x{61c}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}\x{fff9}-\x{fffb}\x{e0000}-\x{e007f}]/u
    )
  end

  @doc "Whether a terminal or a browser would act on the character."
  @spec steers?(char()) :: boolean()
  def steers?(char) when char < 0xA0, do: char < 0x20 or char >= 0x7F

  def steers?(char) do
    char in [0xAD, 0x61C, 0xFEFF] or char in 0x200B..0x200F or char in 0x2028..0x202E or
      char in 0x2060..0x206F or char in 0xFFF9..0xFFFB or char in 0xE0000..0xE007F
  end

  # Most texts are plain ASCII: checking the bytes takes a hundredth of the time of the regular expression.
  defp replace(text, pattern) do
    cond do
      plain?(text) ->
        text

      String.valid?(text) ->
        Regex.replace(pattern, text, &escape/1)

      true ->
        text
        |> inspect(binaries: :as_strings, limit: :infinity, printable_limit: :infinity)
        |> replace(pattern)
    end
  end

  defp plain?(<<byte, rest::binary>>) when byte in 0x20..0x7E, do: plain?(rest)
  defp plain?(rest), do: rest == ""

  defp escape("\n"), do: "\\n"
  defp escape("\r"), do: "\\r"
  defp escape("\t"), do: "\\t"
  defp escape("\e"), do: "\\e"
  defp escape(<<char::utf8>>) when char > 0xFFFF, do: "\\u{#{Integer.to_string(char, 16)}}"

  defp escape(<<char::utf8>>),
    do: "\\u" <> (char |> Integer.to_string(16) |> String.pad_leading(4, "0"))
end
