defmodule Wasmex.HTTP.FieldTest do
  use ExUnit.Case, async: true

  alias Wasmex.HTTP.Field

  test "a line ends with CRLF and holds neither of the two" do
    assert Field.line("a: b\r\nrest") == {:ok, "a: b", "rest"}
    assert Field.line("\r\nrest") == {:ok, "", "rest"}
    for bytes <- ["", "a: b", "a: b\r"], do: assert(Field.line(bytes) == :more)

    for bytes <- ["a\nb\r\n", "a\rb\r\n", "\n", "\ra", "a\r\r\n"],
        do: assert({bytes, :error} == {bytes, Field.line(bytes)})
  end

  test "a field is a token, a colon, and a value without control characters" do
    assert Field.parse("Host: x") == {:ok, {"host", "x"}}
    assert Field.parse("X-A:") == {:ok, {"x-a", ""}}
    assert Field.parse("x: \t a b\t ") == {:ok, {"x", "a b"}}
    assert Field.parse("x: a\tb") == {:ok, {"x", "a\tb"}}
    # obs-text is opaque; no other white space than these two is taken off.
    assert Field.parse(<<"x: ", 0xFF, 0xC2, 0xA0>>) == {:ok, {"x", <<0xFF, 0xC2, 0xA0>>}}

    for line <- [
          "",
          "no colon",
          ": empty",
          "x : y",
          " x: y",
          "\tfolded",
          "x\0: y",
          "é: y",
          "x(: y",
          "x: a\0",
          "x: a\x7f",
          "x: a\rb",
          "x: a\vb"
        ],
        do: assert({line, :error} == {line, Field.parse(line)})
  end

  test "fields about a connection end there" do
    kept = [{"content-type", "a/b"}, {"date", "x"}, {"via", "y"}]

    hop =
      for name <-
            ~w(keep-alive proxy-connection te trailer transfer-encoding upgrade x-named x-other),
          do: {name, "x"}

    fields = [{"connection", "close, X-Named"}, {"connection", "\tX-OTHER "}] ++ hop ++ kept
    assert Field.end_to_end(fields) == kept
    assert Field.end_to_end(fields, ["via"]) == List.delete(kept, {"via", "y"})
  end
end
