defmodule Wasmex.JSONTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, JSON}

  # Both readers where OTP has one, else ours.
  @readers if Code.ensure_loaded?(:json), do: [JSON.OTP, JSON.Parser], else: [JSON.Parser]

  defp decode(reader, text, depth \\ 64) do
    reader.decode(text, depth)
  catch
    {Wasmex.JSON, message} when is_binary(message) -> :error
  end

  @accepted [
    {"null", nil},
    {" true ", true},
    {"\t\r\nfalse\n", false},
    {"0", 0},
    {"-0", 0},
    {"-12", -12},
    {"9007199254740993", 9_007_199_254_740_993},
    {"123456789012345678901234567890", 123_456_789_012_345_678_901_234_567_890},
    {"1.5", 1.5},
    {"-0.5", -0.5},
    {"1e2", 100.0},
    {"1E+2", 100.0},
    {"1e-2", 0.01},
    {"1.5e3", 1500.0},
    {"0e0", 0.0},
    {"1.0e-400", 0.0},
    {~S|""|, ""},
    {~S|"\"\\\/\b\f\n\r\t"|, "\"\\/\b\f\n\r\t"},
    {~S|"\u0041\u00fC\u20AC"|, "Aü€"},
    {~S|"\u0000"|, <<0>>},
    {~S|"\uD83D\uDE00x"|, "😀x"},
    {~S|"a\u002Fb"|, "a/b"},
    {~s|"ü😀\u2028\x7F"|, "ü😀\u2028\x7F"},
    {"[]", []},
    {"[ ]", []},
    {"[1, [2], {}]", [1, [2], %{}]},
    {"{}", %{}},
    {"{ }", %{}},
    {~S|{"a": 1, "b" :[null] , "": {}}|, %{"a" => 1, "b" => [nil], "" => %{}}},
    {~S|{"A": 1, "\u0042": 2}|, %{"A" => 1, "B" => 2}},
    {~S|["a\\", "b"]|, ["a\\", "b"]}
  ]

  @refused [
             "",
             " ",
             "nul",
             "True",
             "01",
             "-",
             "-a",
             "+1",
             ".5",
             "1.",
             "1.e2",
             "1e",
             "1e+",
             "0x10",
             "NaN",
             "Infinity",
             "1e400",
             "-1e400",
             "1 2",
             "[1",
             "[1,",
             "[1,]",
             "[,1]",
             "[1 2]",
             "]",
             "{",
             ~S|{"a"}|,
             ~S|{"a" 1}|,
             ~S|{"a":}|,
             ~S|{"a":1,}|,
             ~S|{a:1}|,
             ~S|{1:1}|,
             ~S|{"a":1 "b":2}|,
             ~S|{"a":1,"a":1}|,
             ~S|{"a":1,"\u0061":2}|,
             ~S|"|,
             ~S|"a|,
             "\"\\",
             ~S|"\q"|,
             ~S|"\u12"|,
             ~S|"\u12g4"|,
             ~S|"\u+123"|,
             ~S|"\uD800"|,
             ~S|"\uD800x"|,
             ~S|"\uD800\n"|,
             ~S|"\uD800\u0041"|,
             ~S|"\uDC00"|,
             ~S|"\uDE00\uD83D"|,
             "'a'",
             "\"a\nb\"",
             "\"\t\"",
             "\"\0\"",
             "\"\xFF\"",
             "\"\xC0\x80\"",
             "\"\xED\xA0\x80\"",
             "\xEF\xBB\xBF1",
             "1\0",
             "// comment\n1"
           ] ++
             for(
               text <- [~S|{"a":[1.5e1,"\u00e9",null]}|],
               size <- 1..27,
               do: binary_part(text, 0, min(size, byte_size(text) - 1))
             )

  for reader <- @readers do
    @reader reader

    test "#{inspect(reader)} reads what RFC 8259 allows" do
      for {text, term} <- @accepted,
          do: assert({text, decode(@reader, text)} == {text, {:ok, term}})
    end

    test "#{inspect(reader)} refuses everything else" do
      for text <- @refused, do: assert({text, decode(@reader, text)} == {text, :error})
    end

    test "#{inspect(reader)} has limits" do
      nested = fn open, close, count ->
        String.duplicate(open, count) <> "1" <> String.duplicate(close, count)
      end

      for {open, close} <- [{"[", "]"}, {~S|{"a":|, "}"}] do
        assert {:ok, _} = decode(@reader, nested.(open, close, 64))
        assert decode(@reader, nested.(open, close, 65)) == :error
        assert decode(@reader, nested.(open, close, 4), 3) == :error
        assert decode(@reader, String.duplicate(open, 1_000_000)) == :error
      end

      assert {:ok, _} = decode(@reader, String.duplicate("9", 1000))
      assert decode(@reader, String.duplicate("9", 1001)) == :error
      assert decode(@reader, "0." <> String.duplicate("9", 1_000_000)) == :error
      assert {:ok, list} = decode(@reader, "[" <> Enum.map_join(1..10_000, ",", &"#{&1}") <> "]")
      assert length(list) == 10_000
    end

    test "#{inspect(reader)}: noise ends in a value or an error" do
      :rand.seed(:exsss, {1, 2, 3})
      text = ~S|{"a": [1, -2.5e3, "x\u00e9\n", null, true], "b": {"c": "ü"}}|

      for _ <- 1..3000 do
        at = :rand.uniform(byte_size(text)) - 1
        {before, <<_, rest::binary>>} = :erlang.split_binary(text, at)
        result = decode(@reader, before <> <<Enum.random(0..255)>> <> rest)
        assert result == :error or match?({:ok, _}, result)
      end
    end
  end

  test "both readers agree about noise" do
    :rand.seed(:exsss, {4, 5, 6})

    parts = [
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      "\"",
      "\"a\"",
      "\\u00e9",
      "1",
      "-",
      ".5",
      "e3",
      "null",
      " ",
      "\\",
      "\xFF"
    ]

    for _ <- 1..5000 do
      text =
        1..Enum.random(1..8) |> Enum.map(fn _ -> Enum.random(parts) end) |> IO.iodata_to_binary()

      results = for reader <- @readers, do: decode(reader, text)
      assert {text, Enum.uniq(results)} == {text, [hd(results)]}
    end
  end

  test "decode/2: an error is a struct, names are no atoms" do
    assert {:ok, %{"a" => [nil]}} = JSON.decode(~S|{"a": [null]}|)
    assert {:error, %Error{reason: :json} = error} = JSON.decode("[1,")
    assert Exception.message(error) =~ "malformed JSON"
    assert {:error, %Error{}} = JSON.decode("[[1]]", max_depth: 1)
    assert {:ok, %{"never-an-atom-9912" => 1}} = JSON.decode(~S|{"never-an-atom-9912": 1}|)
    assert_raise ArgumentError, fn -> String.to_existing_atom("never-an-atom-" <> "9912") end
  end

  test "encode/1: indented, sorted, safe for a terminal" do
    assert JSON.encode(%{a: [1, 2.5, nil, true], b: "q\"\n\u0001ü", c: [], d: %{}}) ==
             ~s|{\n  "a": [\n    1,\n    2.5,\n    null,\n    true\n  ],\n  "b": "q\\"\\n\\u0001ü",\n  "c": [],\n  "d": {}\n}|

    assert JSON.encode(<<255>>) == ~s|"\uFFFD"|
    assert JSON.encode("\e[31m\x7F\u009B\u202E") == ~S|"\u001B[31m\u007F\u009B\u202E"|
    assert JSON.encode("\u200B\u00AD\u{E0041}") == ~S|"\u200B\u00AD\uDB40\uDC41"|
    assert_raise ArgumentError, fn -> JSON.encode({1, 2}) end

    term = %{
      "a" => [1, -2.5, 1.0e300, "x\"\\\n\b\f\t\r\u2028😀", %{"" => nil}],
      "b" => 123_456_789_012_345_678_901
    }

    for reader <- @readers, do: assert(decode(reader, JSON.encode(term)) == {:ok, term})
  end
end
