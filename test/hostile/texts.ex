defmodule Wasmex.Hostile.Texts do
  @moduledoc "Texts and files that others than compilers read, good ones with something wrong: the same for the same kind and seed."

  import Wasmex.HostileBytes

  alias Wasmex.{Framing, HostileDwarf}

  @kinds ~w(manifest schema http answer cgi wave dwarf debug producers artefact)a

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded."
  def make(:manifest), do: {:manifest, maybe(90, json(manifest()), &spoil/1)}

  def make(:schema) do
    text = File.read!("test/guests/plugins/shop.yaml")
    {:schema, one([&spoil/1, &swap_lines/1, &nest_yaml/1]).(text)}
  end

  # Requests that are read in a way of their own, with something wrong, and some that have nothing right.
  def make(:http) do
    {_name, bytes, _outcomes} = one(Framing.cases())
    {_name, more, _outcomes} = one(Framing.cases())
    {:http, maybe(70, bytes, &spoil/1) <> maybe(50, more, &spoil/1)}
  end

  def make(:answer), do: {:answer, maybe(80, answer(), &spoil/1)}
  def make(:cgi), do: {:cgi, maybe(80, cgi(), &spoil/1)}

  def make(:wave) do
    depth = size(30_000)

    text =
      one([
        ~s|{first-name: "Ada", points: [{x: 1, y: -2}], z: some(none), r: ok((1, 'a'))}|,
        String.duplicate(one(["[", "(", "{a: ", "some(", "ok("]), depth),
        "\"" <> String.duplicate(one(["\\u{10FFFF}", "\\", "é", "\\u{"]), depth) <> "\"",
        String.duplicate("9", depth) <> one(["", ".5", "e9", "e999999999"]),
        "{" <> String.duplicate("a: 1, ", depth) <> "}"
      ])

    {:wave, maybe(50, text, &spoil/1)}
  end

  # A program with the names and lines of its source, some of them changed.
  def make(:dwarf) do
    bytes = File.read!("test/guests/rust_debug/rust_debug.wasm")
    sections = for section <- sections(bytes), do: maybe(40, section, &spoil_debug/1)
    {:dwarf, module(sections)}
  end

  # Debug information that nobody's compiler makes.
  def make(:debug) do
    many = fn -> size(2_000) end

    bytes =
      case :rand.uniform(16) do
        1 -> HostileDwarf.deep(many.())
        2 -> HostileDwarf.named(size(200), size(100_000))
        3 -> HostileDwarf.units(many.(), size(20_000))
        4 -> HostileDwarf.paths(many.(), size(100_000))
        5 -> HostileDwarf.wide(many.(), many.())
        6 -> HostileDwarf.origins(many.(), many.())
        7 -> HostileDwarf.ranges(many.(), many.())
        8 -> HostileDwarf.abbreviations(many.(), many.())
        9 -> HostileDwarf.counts(size(0xFFFF_FFFF))
        10 -> HostileDwarf.circle(one([:self, :pair, :units]), many.())
        _ -> HostileDwarf.random()
      end

    {:debug, bytes}
  end

  def make(:producers) do
    field = fn ->
      values = for _ <- 1..size(200), do: name(word()) <> name(word())
      name(one(["language", "processed-by", "sdk", word()])) <> vec(values)
    end

    fields = vec(for _ <- 1..size(20), do: field.())
    features = vec(for _ <- 1..size(200), do: <<one([?+, ?-, ?=, 0])>> <> name(word()))

    customs = [
      custom("producers", maybe(50, fields, &spoil/1)),
      custom("target_features", maybe(50, features, &spoil/1))
    ]

    {:wasm, one([module(customs), component(customs)])}
  end

  # Changed where it is made, which has numbers of its own.
  def make(:artefact) do
    seed = :rand.uniform(1_000_000_000)

    change = fn bytes ->
      :rand.seed(:exsss, seed)
      maybe(90, bytes, &spoil/1)
    end

    {:artefact, :rand.uniform(2), change}
  end

  @doc "A text with something in it changed, in one to three places."
  def spoil(text), do: Enum.reduce(1..:rand.uniform(3), text, fn _, text -> spoil_once(text) end)

  defp spoil_once(""), do: word()

  defp spoil_once(text) do
    at = :rand.uniform(byte_size(text)) - 1
    {before, <<byte, rest::binary>> = tail} = :erlang.split_binary(text, at)

    case :rand.uniform(8) do
      1 ->
        before <> rest

      2 ->
        before <> <<Bitwise.bxor(byte, Bitwise.bsl(1, :rand.uniform(8) - 1))>> <> rest

      3 ->
        before <> word() <> tail

      4 ->
        before <> String.duplicate(<<byte>>, size(50_000)) <> rest

      5 ->
        before

      6 ->
        before <>
          one([
            "\r",
            "\n",
            "\0",
            "\t",
            " ",
            "\e[2J",
            "\u202E",
            <<0xFF>>,
            <<0xC0, 0x80>>,
            "\u{10FFFF}"
          ]) <> rest

      7 ->
        before <> binary_part(tail, 0, min(byte_size(tail), size(200))) <> tail

      8 ->
        before <>
          String.duplicate(binary_part(tail, 0, min(byte_size(tail), 9)), size(5_000)) <> rest
    end
  end

  @words [
           "[",
           "]",
           "{",
           "}",
           "\"",
           ":",
           ",",
           "0",
           "-1",
           "1e999",
           "18446744073709551616",
           "null",
           "true",
           "\\u0000"
         ] ++
           [
             "\\ud800",
             "\\",
             "../",
             "*",
             "wasm",
             "main",
             "data",
             "path",
             "&a *a",
             "!!str",
             "|",
             "- ",
             "#",
             "\r\n",
             "\r\n\r\n"
           ] ++
           [
             "Content-Length: 1\r\n",
             "Transfer-Encoding: chunked\r\n",
             "chunked",
             "HTTP/1.1",
             "GET / HTTP/1.1\r\n"
           ] ++
           ["Status: 999\r\n", "name", "é", "x", ""]

  defp word, do: String.duplicate(one(@words), size(100))

  defp swap_lines(text), do: text |> String.split("\n") |> Enum.shuffle() |> Enum.join("\n")

  defp nest_yaml(_text) do
    depth = size(5_000)

    one([
      Enum.map_join(1..depth, "", &(String.duplicate(" ", min(&1, 2_000)) <> "a:\n")),
      String.duplicate("- ", depth) <> "x",
      String.duplicate("[", depth),
      "version: v1-draft\nexports:\n" <> Enum.map_join(1..depth, &"  f#{&1}: {}\n"),
      "version: v1-draft\ncomponents:\n  schemas:\n    A:\n      properties:\n        a:\n          $ref: \"#/components/schemas/A\"\n"
    ])
  end

  defp manifest do
    wat =
      Base.encode64(
        ~s|(module (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 0)))|
      )

    odd = fn good -> maybe(15, good, fn _ -> term(size(6)) end) end

    %{
      "wasm" =>
        odd.([
          %{"data" => odd.(wat), "name" => odd.("main"), "hash" => odd.(nil)}
          |> Map.reject(&(elem(&1, 1) == nil))
        ]),
      "memory" => odd.(%{"max_pages" => odd.(10), "max_var_bytes" => odd.(1_000)}),
      "config" => odd.(%{odd.("key") => odd.("value")}),
      "allowed_hosts" => odd.(["*.example.com", odd.("a")]),
      "allowed_paths" => odd.(%{}),
      "timeout_ms" => odd.(1_000),
      odd.("config") => odd.(%{})
    }
  end

  defp term(depth) when depth <= 1,
    do:
      one([
        nil,
        true,
        0,
        -1,
        1.5,
        Bitwise.bsl(1, 200),
        "",
        "x",
        word(),
        String.duplicate("*", size(2_000))
      ])

  defp term(depth) do
    case :rand.uniform(3) do
      1 -> for _ <- 1..size(5), do: term(depth - 1)
      2 -> for _ <- 1..size(3), into: %{}, do: {word(), term(depth - 1)}
      3 -> term(1)
    end
  end

  # Of any term, also with names that are no strings.
  defp json(map) when is_map(map),
    do:
      "{" <>
        Enum.map_join(map, ",", fn {key, value} -> json(key) <> ":" <> json(value) end) <> "}"

  defp json(list) when is_list(list), do: "[" <> Enum.map_join(list, ",", &json/1) <> "]"

  defp json(text) when is_binary(text),
    do:
      one([inspect(text, binaries: :as_strings, printable_limit: :infinity), "\"" <> text <> "\""])

  defp json(nil), do: "null"
  defp json(number), do: to_string(number)

  defp answer do
    body = String.duplicate("x", size(300_000))

    chunks = fn ->
      Integer.to_string(byte_size(body), 16) <>
        one(["", ";x", " "]) <> "\r\n" <> body <> "\r\n0\r\n" <> one(["", "a: b\r\n"]) <> "\r\n"
    end

    head =
      "HTTP/1.1 #{one(["200 OK", "200", "404 \xff", "100 Continue", "101 Switching", "204 No", "304 N", "999 X", "20 X"])}\r\n"

    fields =
      for _ <- 1..size(150),
          into: "",
          do: "#{one(["a", "X-#{:rand.uniform(9)}", "set-cookie", word()])}: #{word()}\r\n"

    length = one([byte_size(body), byte_size(body) + 5, 0, -1, 99_999_999_999_999_999_999])

    one([
      head <> fields <> "content-length: #{length}\r\n\r\n" <> body,
      head <> fields <> "transfer-encoding: chunked\r\n\r\n" <> chunks.(),
      String.duplicate("HTTP/1.1 100 Continue\r\n\r\n", size(2_000)) <> head <> "\r\n" <> body,
      head <> fields <> "\r\n" <> body,
      "HTTP/1.1 302 Found\r\nlocation: #{one(["/", "http://127.0.0.1:1/", "//x", word(), "http://[::1"])}\r\ncontent-length: 0\r\n\r\n",
      head <> "a: " <> String.duplicate("x", size(200_000)) <> "\r\n\r\n"
    ])
  end

  defp cgi do
    fields =
      for _ <- 1..size(100),
          into: "",
          do:
            "#{one(["Status", "Content-Type", "Location", "X", word()])}: #{word()}#{one(["\n", "\r\n"])}"

    one([
      "Status: #{one(["200", "204", "999", "-1", "200 OK", word()])}\n\nbody",
      fields <> "\nbody",
      String.duplicate("x", size(100_000))
    ])
  end

  # The sections of a module as they stand, each with its head.
  defp sections(<<_magic::binary-size(8), rest::binary>>), do: split(rest)

  defp split(""), do: []

  defp split(<<id, rest::binary>>) do
    {size, body} = leb(rest, 0, 0)
    {body, rest} = :erlang.split_binary(body, size)
    [section(id, body) | split(rest)]
  end

  defp leb(<<1::1, bits::7, rest::binary>>, shift, sum),
    do: leb(rest, shift + 7, sum + Bitwise.bsl(bits, shift))

  defp leb(<<0::1, bits::7, rest::binary>>, shift, sum),
    do: {sum + Bitwise.bsl(bits, shift), rest}

  # What debuggers read; the code stays as it is.
  defp spoil_debug(<<0, rest::binary>> = section) do
    {_size, <<length, body::binary>>} = leb(rest, 0, 0)

    <<name::binary-size(length), content::binary>> = body
    if String.starts_with?(name, "."), do: custom(name, spoil(content)), else: section
  end

  defp spoil_debug(section), do: section

  defp maybe(percent, it, change),
    do: if(:rand.uniform(100) <= percent, do: change.(it), else: it)

  defp size(most), do: max(1, round(:math.pow(most, :math.pow(:rand.uniform(), 3))))
  defp one(list), do: Enum.random(list)
end
