defmodule Wasmex.Printable do
  @moduledoc false
  # Text that a guest has shaped, for people: in errors, logs, terminals, SVG and HTML. Names in wasm are any Unicode,
  # so what a terminal or a browser would obey is escaped as Elixir writes it: controls (ANSI sequences begin
  # with one), line breaks, changes of direction, characters without a width. `steers` in
  # native/wasmex/src/vm/demangle.rs has the same characters.

  @longest 256

  @doc "One name on one line, at most 256 bytes of it."
  @spec name(binary()) :: String.t()
  def name(name) when byte_size(name) > @longest,
    do: (name |> binary_part(0, @longest) |> whole() |> line()) <> "…"

  def name(name), do: line(name)

  # A character at the end that was cut in two is left out.
  defp whole(bytes) do
    case :unicode.characters_to_binary(bytes) do
      {:incomplete, whole, _rest} -> whole
      _ -> bytes
    end
  end

  # Controls; soft hyphen, Arabic letter mark, characters of no width and marks of direction; separators, embeddings;
  # invisible operators, isolates; byte order mark, annotations, tags.
  @doc "Text on one line."
  @spec line(binary()) :: String.t()
  def line(text) do
    replace(
      text,
      ~r/[\x00-\x1f\x7f-\x9f\x{ad}\x{61c}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}\x{fff9}-\x{fffb}\x{e0000}-\x{e007f}]/u
    )
  end

  @doc "Text of several lines; tabs stay as well."
  @spec text(binary()) :: String.t()
  def text(text) do
    replace(
      text,
      ~r/[\x00-\x08\x0b-\x1f\x7f-\x9f\x{ad}\x{61c}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}\x{fff9}-\x{fffb}\x{e0000}-\x{e007f}]/u
    )
  end

  # Most texts are plain ASCII: a look at the bytes takes a hundredth of what the expression takes.
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
