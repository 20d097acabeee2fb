defmodule Wasmex.Plugin.Schema.YAML do
  @moduledoc false
  # A parser for the subset of YAML 1.2 that schemas use: mappings and sequences by indentation, plain and quoted scalars, `|`
  # and `>`, flow `[a, b]` and `{a: b}`, comments. Anchors, tags and multiple documents are errors. Names stay strings.

  @deepest 64

  @typep line :: {pos_integer(), non_neg_integer(), String.t()}

  @doc "Parses YAML. Returns maps, lists, strings, numbers, booleans and nil, or an error with the line number."
  @spec decode(String.t()) :: {:ok, term()} | {:error, String.t()}
  def decode(text) do
    if String.valid?(text) do
      lines = text |> String.split(["\r\n", "\n"]) |> Enum.with_index(1) |> Enum.map(&line/1)

      case skip(lines) do
        [] -> {:ok, nil}
        [{_, indent, _} | _] = lines -> document(lines, indent)
      end
    else
      {:error, "it is not UTF-8"}
    end
  catch
    {:wrong, number, text} -> {:error, "line #{number}: #{text}"}
  end

  defp document(lines, indent) do
    {value, rest} = block(lines, indent, 0)

    case skip(rest) do
      [] -> {:ok, value}
      [{number, _, _} | _] -> fail(number, "wrong indentation")
    end
  end

  @spec fail(pos_integer(), String.t()) :: no_return()
  defp fail(number, text), do: throw({:wrong, number, text})

  @spec line({String.t(), pos_integer()}) :: line()
  defp line({text, number}) do
    content = String.trim_leading(text, " ")
    if String.starts_with?(content, "\t"), do: fail(number, "tabs cannot be used for indentation")
    {number, byte_size(text) - byte_size(content), content}
  end

  # Skips blank lines, comments, and the document marker.
  defp skip([{_, _, ""} | lines]), do: skip(lines)
  defp skip([{_, _, "#" <> _} | lines]), do: skip(lines)
  defp skip([{_, 0, "---"} | lines]), do: skip(lines)
  defp skip(lines), do: lines

  defp block([{number, _, _} | _], _indent, @deepest), do: fail(number, "nested too deep")

  defp block([{number, indent, content} | _] = lines, indent, depth) do
    cond do
      item?(content) -> sequence(lines, indent, depth + 1, [])
      match?({_, _}, key(content, number)) -> mapping(lines, indent, depth + 1, %{})
      true -> scalar_lines(lines, indent)
    end
  end

  defp item?(content), do: content == "-" or String.starts_with?(content, "- ")

  defp sequence(lines, indent, depth, done) do
    case skip(lines) do
      [{number, ^indent, "-" <> rest = content} | lines]
      when rest == "" or binary_part(rest, 0, 1) == " " ->
        inner = String.trim_leading(rest, " ")

        {value, lines} =
          if plain(inner) == "" do
            nested(lines, indent, depth)
          else
            # The text after the dash is a block, indented by its own column.
            within = indent + byte_size(content) - byte_size(inner)
            block([{number, within, inner} | lines], within, depth)
          end

        sequence(lines, indent, depth, [value | done])

      lines ->
        {Enum.reverse(done), lines}
    end
  end

  defp mapping(lines, indent, depth, done) do
    with [{number, ^indent, content} | lines] <- skip(lines),
         {key, rest} <- key(content, number) do
      if is_map_key(done, key), do: fail(number, "duplicate key #{inspect(key)}")
      {value, lines} = value(plain(rest), rest, number, lines, indent, depth)
      mapping(lines, indent, depth, Map.put(done, key, value))
    else
      :none -> fail(lines |> skip() |> hd() |> elem(0), "expected a name and a colon")
      lines -> {done, lines}
    end
  end

  defp value("", _raw, _number, lines, indent, depth), do: nested(lines, indent, depth)

  defp value(<<mark, style::binary>>, _raw, number, lines, indent, _depth)
       when mark in [?|, ?>] do
    if style not in ["", "-", "+"],
      do: fail(number, "a block scalar must start with | or >, optionally with - or +")

    text_block(mark, style, lines, indent)
  end

  defp value(plain, _raw, number, lines, indent, _depth) do
    if String.first(plain) in ["[", "{", "\"", "'"] do
      {inline(plain, number), lines}
    else
      {more, lines} =
        Enum.split_while(lines, fn {_, deeper, content} ->
          deeper > indent and content != "" and not String.starts_with?(content, "#")
        end)

      {[plain | Enum.map(more, fn {_, _, content} -> plain(content) end)]
       |> Enum.join(" ")
       |> scalar(number), lines}
    end
  end

  # A nested block is indented more than its key. A sequence may have the same indentation.
  defp nested(lines, indent, depth) do
    case skip(lines) do
      [{_, deeper, _} | _] = lines when deeper > indent ->
        block(lines, deeper, depth)

      [{_, ^indent, content} | _] = lines ->
        if item?(content), do: sequence_of_name(lines, indent, depth), else: {nil, lines}

      lines ->
        {nil, lines}
    end
  end

  defp sequence_of_name(lines, indent, depth), do: sequence(lines, indent, depth + 1, [])

  defp scalar_lines([{number, indent, content} | lines], indent) do
    value(plain(content), content, number, lines, max(indent - 1, 0), 0)
  end

  defp text_block(mark, style, lines, indent) do
    {own, rest} =
      Enum.split_while(lines, fn {_, deeper, content} -> content == "" or deeper > indent end)

    least =
      own |> Enum.reject(&(elem(&1, 2) == "")) |> Enum.map(&elem(&1, 1)) |> Enum.min(fn -> 0 end)

    texts =
      for {_, deeper, content} <- own,
          do: String.duplicate(" ", max(deeper - least, 0)) <> content

    text = Enum.join(texts, if(mark == ?|, do: "\n", else: " "))

    {if(style == "-", do: String.trim_trailing(text), else: String.trim_trailing(text) <> "\n"),
     rest}
  end

  # `name: rest`, or `:none`.
  defp key("\"" <> _ = content, number), do: quoted_key(content, number)
  defp key("'" <> _ = content, number), do: quoted_key(content, number)

  defp key(content, _number) do
    case Regex.run(~r/\A([^\s\[\]{}&*!|>%@`,#][^#]*?)\s*:(?:\s+(.*))?\z/su, content) do
      [_, name] -> {name, ""}
      [_, name, rest] -> {name, rest}
      nil -> :none
    end
  end

  defp quoted_key(content, number) do
    with {name, rest} <- quoted(content, number),
         [_, rest] <- Regex.run(~r/\A\s*:(?:\s+(.*))?\z/su, rest <> " ") do
      {name, rest}
    else
      _ -> :none
    end
  end

  # Removes a trailing comment.
  defp plain(text) do
    if text =~ ~r/\A["'\[{]/,
      do: String.trim(text),
      else: text |> String.replace(~r/(\A|\s)#.*\z/su, "") |> String.trim()
  end

  defp inline(text, number) do
    {value, rest} = flow(text, number, 0)

    if String.trim(rest) == "" or String.starts_with?(String.trim(rest), "#"),
      do: value,
      else: fail(number, "unexpected #{inspect(rest)}")
  end

  defp flow(_text, number, @deepest), do: fail(number, "nested too deep")

  defp flow("[" <> rest, number, depth),
    do: flow_list(String.trim_leading(rest), number, depth + 1, [])

  defp flow("{" <> rest, number, depth),
    do: flow_map(String.trim_leading(rest), number, depth + 1, %{})

  defp flow(<<quote, _::binary>> = text, number, _depth) when quote in [?", ?'],
    do: quoted(text, number)

  defp flow(text, number, _depth) do
    {word, rest} = until(text, [",", "[", "]", "{", "}"])
    {word |> String.trim() |> scalar(number), rest}
  end

  # Not a regular expression, which would scan the whole rest for each word.
  defp until(text, marks) do
    case :binary.match(text, marks) do
      {at, 1} -> :erlang.split_binary(text, at)
      :nomatch -> {text, ""}
    end
  end

  defp flow_list("]" <> rest, _number, _depth, done), do: {Enum.reverse(done), rest}

  defp flow_list(text, number, depth, done) do
    {value, rest} = flow(text, number, depth)

    case String.trim_leading(rest) do
      "," <> rest -> flow_list(String.trim_leading(rest), number, depth, [value | done])
      "]" <> rest -> {Enum.reverse([value | done]), rest}
      _ -> fail(number, "expected a comma or ]")
    end
  end

  defp flow_map("}" <> rest, _number, _depth, done), do: {done, rest}

  defp flow_map(text, number, depth, done) do
    {name, rest} =
      case until(text, [":", ",", "[", "]", "{", "}", "\"", "'"]) do
        {<<_, _::binary>> = name, ":" <> rest} -> {String.trim(name), rest}
        _ -> fail(number, "expected a name and a colon")
      end

    {value, rest} = rest |> String.trim_leading() |> flow(number, depth)
    done = Map.put(done, name, value)

    case String.trim_leading(rest) do
      "," <> rest -> flow_map(String.trim_leading(rest), number, depth, done)
      "}" <> rest -> {done, rest}
      _ -> fail(number, "expected a comma or }")
    end
  end

  defp quoted("\"" <> rest, number), do: double(rest, number, [])
  defp quoted("'" <> rest, number), do: single(rest, number, [])

  defp double("\"" <> rest, _number, done),
    do: {done |> Enum.reverse() |> IO.iodata_to_binary(), rest}

  defp double(<<"\\", char::utf8, rest::binary>>, number, done) do
    case char do
      ?n -> double(rest, number, ["\n" | done])
      ?t -> double(rest, number, ["\t" | done])
      char when char in [?", ?\\, ?/] -> double(rest, number, [<<char::utf8>> | done])
      _ -> fail(number, "unknown escape \\#{<<char::utf8>>}")
    end
  end

  defp double(<<char::utf8, rest::binary>>, number, done),
    do: double(rest, number, [<<char::utf8>> | done])

  defp double("", number, _done), do: fail(number, "a closing quote is missing")

  defp single("''" <> rest, number, done), do: single(rest, number, ["'" | done])

  defp single("'" <> rest, _number, done),
    do: {done |> Enum.reverse() |> IO.iodata_to_binary(), rest}

  defp single(<<char::utf8, rest::binary>>, number, done),
    do: single(rest, number, [<<char::utf8>> | done])

  defp single("", number, _done), do: fail(number, "a closing quote is missing")

  defp scalar(text, _number) when text in ["", "~", "null", "Null", "NULL"], do: nil
  defp scalar(text, _number) when text in ["true", "True", "TRUE"], do: true
  defp scalar(text, _number) when text in ["false", "False", "FALSE"], do: false

  defp scalar(<<mark, _::binary>> = text, number) when mark in [?&, ?*, ?!],
    do: fail(number, "anchors and tags are not supported: #{text}")

  defp scalar(text, _number) do
    cond do
      text =~ ~r/\A[-+]?\d{1,100}\z/ -> String.to_integer(text)
      text =~ ~r/\A[-+]?\d{1,100}\.\d{1,100}\z/ -> String.to_float(String.trim_leading(text, "+"))
      true -> text
    end
  end
end
