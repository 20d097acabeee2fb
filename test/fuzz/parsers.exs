# The parsers that are written in Elixir, with texts that are made of those that reached lines no other had reached. They
# may refuse a text; they may not raise, and not take long.
#
#   mix run test/fuzz/parsers.exs SECONDS [SEED]
#
# What reached new lines is kept in test/fuzz/corpus, which each run begins with.

defmodule Wasmex.Fuzz.Parsers do
  alias Wasmex.HTTP.{CGI, Field}
  alias Wasmex.HTTP.Server.{Chunked, Head}
  alias Wasmex.Plugin.{Manifest, Schema}
  alias Wasmex.{Error, JSON}

  @corpus "test/fuzz/corpus"
  # Inputs between two looks at what was reached; ms that one may take.
  @batch 300
  @time 1_000
  # Kept texts are short: what is long has a short one like it.
  @most 4_096

  @targets [
    manifest: [Manifest, JSON, JSON.Parser],
    schema: [Schema, Schema.YAML],
    head: [Field, Head],
    chunked: [Field, Chunked],
    cgi: [CGI]
  ]

  def main([seconds | seed]) do
    seed = if seed == [], do: :rand.uniform(1_000_000_000), else: String.to_integer(hd(seed))
    :rand.seed(:exsss, seed)
    IO.puts("seed #{seed}")
    {:ok, _} = :cover.start()
    share = div(String.to_integer(seconds) * 1000, length(@targets))

    for {target, modules} <- @targets do
      for module <- modules, do: {:ok, _} = :cover.compile_beam(module)
      {tests, lines, corpus} = fuzz(target, modules, System.monotonic_time(:millisecond) + share)
      IO.puts("#{target}: #{tests} texts reached #{lines} lines; #{corpus} are kept")
    end
  end

  defp fuzz(target, modules, deadline) do
    seeds =
      Path.join([@corpus, Atom.to_string(target), "*"])
      |> Path.wildcard()
      |> Enum.map(&File.read!/1)

    {corpus, lines} =
      Enum.reduce(seeds ++ [""], {[], MapSet.new()}, &keep_if_new(&1, &2, target, modules))

    rounds(target, modules, corpus, lines, deadline, 0)
  end

  defp rounds(target, modules, corpus, lines, deadline, tests) do
    if System.monotonic_time(:millisecond) >= deadline do
      {tests, MapSet.size(lines), length(corpus)}
    else
      texts = for _ <- 1..@batch, do: corpus |> Enum.random() |> change(corpus)
      :cover.reset()
      for text <- texts, do: run(target, text)

      {corpus, lines} =
        if MapSet.subset?(reached(modules), lines),
          do: {corpus, lines},
          else: Enum.reduce(texts, {corpus, lines}, &keep_new(&1, &2, target, modules))

      rounds(target, modules, corpus, lines, deadline, tests + @batch)
    end
  end

  defp keep_new(text, acc, target, modules) do
    {corpus, _lines} = kept = keep_if_new(text, acc, target, modules)
    if elem(acc, 0) != corpus, do: save(target, text)
    kept
  end

  defp keep_if_new(text, {corpus, lines}, target, modules) do
    :cover.reset()
    run(target, text)
    now = reached(modules)

    if byte_size(text) <= @most and not MapSet.subset?(now, lines),
      do: {[text | corpus], MapSet.union(lines, now)},
      else: {corpus, lines}
  end

  defp reached(modules) do
    for module <- modules,
        {:ok, lines} = :cover.analyse(module, :calls, :line),
        {line, calls} when calls > 0 <- lines,
        into: MapSet.new(),
        do: line
  end

  defp save(target, text) do
    dir = Path.join(@corpus, Atom.to_string(target))
    File.mkdir_p!(dir)
    name = :crypto.hash(:sha256, text) |> Base.encode16(case: :lower) |> binary_part(0, 16)
    File.write!(Path.join(dir, name), text)
  end

  defp run(target, text) do
    {time, :ok} = :timer.tc(fn -> parse(target, text) end)
    if time > @time * 1000, do: fail(target, text, "took #{div(time, 1000)} ms")
  rescue
    error -> fail(target, text, Exception.format(:error, error, __STACKTRACE__))
  end

  defp fail(target, text, why) do
    file = Path.join(System.tmp_dir!(), "wasmex-#{target}-#{System.os_time()}")
    File.write!(file, text)
    IO.puts("FAILED #{target}, #{byte_size(text)} bytes in #{file}: #{why}")
    System.halt(1)
  end

  defp parse(:manifest, text), do: text |> Manifest.from_json() |> told()
  defp parse(:schema, text), do: text |> Schema.parse() |> told()

  defp parse(:head, text) do
    {lines, _rest} = lines(text, [])
    [first | fields] = if lines == [], do: [""], else: lines
    fields = for line <- fields, {:ok, field} <- [Field.parse(line)], do: field

    with {:ok, request} <- Head.request_line(first) do
      case Head.new(request, fields) do
        {:ok, %Head{body: body}} when body == :chunked or (is_integer(body) and body >= 0) -> :ok
        {:error, status} when status in 400..599 -> :ok
      end
    else
      {:error, 400} -> :ok
    end
  end

  defp parse(:chunked, text), do: chunks(Chunked.next(%Chunked{}, text))

  defp parse(:cgi, text) do
    case CGI.head(text) do
      {:head, status, fields, _rest} when status in 200..599 ->
        for {name, value} <- fields,
            do: false = String.contains?(name <> value, ["\r", "\n", "\0"])

        :ok

      :more ->
        :ok

      {:error, why} when is_binary(why) ->
        :ok
    end
  end

  defp told({:ok, _}), do: :ok
  defp told({:error, %Error{} = error}), do: if(is_binary(Exception.message(error)), do: :ok)

  defp lines(text, found) do
    case Field.line(text) do
      {:ok, line, rest} -> lines(rest, [line | found])
      _ -> {Enum.reverse(found), text}
    end
  end

  defp chunks({:data, _bytes, state, rest}), do: chunks(Chunked.next(state, rest))
  defp chunks({:more, _state, _rest}), do: :ok
  defp chunks({:done, _rest}), do: :ok
  defp chunks(:error), do: :ok

  @words [
           "{",
           "}",
           "[",
           "]",
           "\"",
           ":",
           ",",
           "\\u0041",
           "\\ud83d\\ude00",
           "-0",
           "1e5",
           "null",
           "true",
           "false",
           "wasm"
         ] ++
           [
             "path",
             "data",
             "url",
             "name",
             "hash",
             "config",
             "memory",
             "max_pages",
             "timeout_ms",
             "AGFzbQ=="
           ] ++
           [
             "version: v1-draft\n",
             "exports:\n",
             "  f: {}\n",
             "imports:\n",
             "components:\n",
             "  schemas:\n",
             "$ref: ",
             "type: "
           ] ++
           [
             "string",
             "#/components/schemas/A",
             "- a\n",
             "'",
             "|\n",
             ">\n",
             "&a",
             "*a",
             "# c\n",
             "    ",
             "properties:\n"
           ] ++
           [
             "GET / HTTP/1.1\r\n",
             "Host: x\r\n",
             "Content-Length: 3\r\n",
             "Transfer-Encoding: chunked\r\n",
             "Connection: close\r\n"
           ] ++
           [
             "Expect: 100-continue\r\n",
             "\r\n",
             "\n",
             "3\r\nabc\r\n",
             "0\r\n",
             ";a=\"b\"",
             "Status: 200\n",
             "Content-Type: a/b\n"
           ] ++
           ["Location: /x\n", "\0", "\t", " ", "é", <<0xFF>>]

  defp change(text, corpus),
    do:
      Enum.reduce(1..Enum.random([1, 1, 2, 4]), text, fn _, text -> change_once(text, corpus) end)

  defp change_once(text, corpus) do
    at = :rand.uniform(byte_size(text) + 1) - 1
    {before, rest} = :erlang.split_binary(text, at)
    word = Enum.random(@words)

    case :rand.uniform(7) do
      1 -> before <> word <> rest
      2 -> before <> skip(rest, :rand.uniform(8))
      3 -> before <> <<:rand.uniform(256) - 1>> <> skip(rest, 1)
      4 -> before <> word <> skip(rest, byte_size(word))
      5 -> before <> binary_part(rest, 0, min(byte_size(rest), :rand.uniform(40))) <> rest
      6 -> before <> (corpus |> Enum.random() |> skip(:rand.uniform(20)))
      7 -> before
    end
  end

  defp skip(bytes, count),
    do: binary_part(bytes, min(count, byte_size(bytes)), max(byte_size(bytes) - count, 0))
end

Wasmex.Fuzz.Parsers.main(System.argv())
