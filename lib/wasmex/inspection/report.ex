defmodule Wasmex.Inspection.Report do
  @moduledoc false
  # Formats an inspection as text, and as maps and lists for JSON.

  alias Wasmex.{Printable, Quantity}

  @doc "Text of several lines, with highlighted titles if `colours?`."
  @spec text(Wasmex.Inspection.t(), String.t(), boolean()) :: String.t()
  def text(inspection, file, colours? \\ false) do
    inspection
    |> lines(file)
    |> Enum.map_join("\n", &(&1 |> Printable.long_line() |> colour(colours?)))
  end

  # The first line and the titles of lists.
  defp colour(line, true) do
    if String.match?(line, ~r/^\S|^  \S.*:$/),
      do: IO.iodata_to_binary(IO.ANSI.format([:bright, line], true)),
      else: line
  end

  defp colour(line, false), do: line

  defp lines(inspection, file) do
    [
      "#{file}: #{kind(inspection)}, #{Quantity.bytes(inspection.size)}",
      facts(inspection),
      list("imports", inspection.imports, &import_line/1),
      list("exports", inspection.exports, &"#{&1.name}: #{type(&1.type)}"),
      list("memories", inspection.memories, &limits(&1, "pages")),
      list("tables", inspection.tables, fn table ->
        "#{limits(table, "elements")} of #{value(table.type)}"
      end),
      list("globals", inspection.globals, &global/1, 10),
      sections(inspection)
    ]
    |> List.flatten()
    |> Enum.reject(&(&1 == nil))
  end

  defp kind(%{kind: :artefact}), do: "a compiled artefact of this library"

  defp kind(%{kind: :component, role: :library}),
    do: "a component, a library (its functions and types: --wit)"

  defp kind(%{kind: :component} = i), do: "a component" <> role(i.role)
  defp kind(%{kind: :module} = i), do: "a core module" <> role(i.role)

  defp role(:command), do: ", a command (run it: mix wasmex.run)"
  defp role(:reactor), do: ", a reactor (a library with _initialize)"
  defp role(:http_handler), do: ", a handler of HTTP requests"
  defp role(:library), do: ", a library"

  defp facts(inspection) do
    wasi = if inspection.wasi == [], do: "none", else: Enum.join(inspection.wasi, ", ")

    if inspection.kind != :artefact do
      [
        inspection.name && "  name:      #{inspection.name}",
        "  language:  #{inspection.language || "unknown"}",
        producers(inspection.producers),
        "  WASI:      #{wasi}",
        inspection.start? && "  has a start function"
      ]
      |> Enum.filter(& &1)
    end
  end

  defp producers(producers) when producers == %{}, do: nil

  defp producers(producers) do
    tools =
      for {_, values} <- Enum.sort(producers), {name, version} <- values, do: "#{name} #{version}"

    "  made by:   #{tools |> Enum.map(&String.trim/1) |> Enum.uniq() |> Enum.join(", ")}"
  end

  defp list(title, items, line, most \\ 200)
  defp list(_title, [], _line, _most), do: nil

  defp list(title, items, line, most) do
    more = if length(items) > most, do: ["    … #{length(items) - most} more"], else: []
    shown = for item <- Enum.take(items, most), do: "    #{line.(item)}"
    ["  #{title} (#{length(items)}):"] ++ shown ++ more
  end

  defp import_line(%{namespace: nil, name: name, type: type}), do: "#{name}: #{type}"
  defp import_line(%{namespace: ns, name: name, type: type}), do: "#{ns}.#{name}: #{type(type)}"

  defp type({:fn, params, results}), do: "func #{signature(params, results)}"
  defp type({:tag, params, results}), do: "tag #{signature(params, results)}"
  defp type({:memory, memory}), do: "memory #{limits(memory, "pages")}"
  defp type({:table, table}), do: "table #{limits(table, "elements")} of #{value(table.type)}"
  defp type({:global, global}), do: "global #{global(global)}"
  defp type(kind) when is_atom(kind), do: Atom.to_string(kind)

  defp signature(params, results) do
    params = Enum.map_join(params, ", ", &value/1)
    results = Enum.map_join(results, ", ", &value/1)
    if results == "", do: "(#{params})", else: "(#{params}) -> #{results}"
  end

  defp value({:reference, "(ref null func)"}), do: "funcref"
  defp value({:reference, "(ref null extern)"}), do: "externref"
  defp value({:reference, text}), do: text
  defp value(type), do: Atom.to_string(type)

  defp global(%{mutability: :const, type: type}), do: value(type)
  defp global(%{mutability: :var, type: type}), do: "mutable #{value(type)}"

  defp limits(type, unit) do
    flags = for {flag, true} <- [{"shared", type[:shared]}, {"64-bit", type[:memory64]}], do: flag
    Enum.join([size(type.minimum, type[:maximum], unit) | flags], ", ")
  end

  defp size(1, 1, unit), do: "1 #{String.trim_trailing(unit, "s")}"
  defp size(same, same, unit), do: "#{same} #{unit}"
  defp size(minimum, nil, unit), do: "#{minimum} or more #{unit}"
  defp size(minimum, maximum, unit), do: "#{minimum} to #{maximum} #{unit}"

  defp sections(%{kind: :artefact}), do: nil

  # In a component many have the same name.
  defp sections(%{sections: sections, size: size}) do
    folded =
      for {name, same} <- Enum.group_by(sections, & &1.name) do
        counts = for %{count: count} when count != nil <- same, do: count
        title = if length(same) > 1, do: "#{name} ×#{length(same)}", else: name
        count = if counts != [], do: Enum.sum(counts)
        %{name: title, size: same |> Enum.map(& &1.size) |> Enum.sum(), count: count}
      end

    lines =
      for %{name: name, size: bytes, count: count} <- Enum.sort_by(folded, &{-&1.size, &1.name}) do
        percent = :erlang.float_to_binary(100 * bytes / max(size, 1), decimals: 1)
        items = if count, do: ", #{count} item#{if count != 1, do: "s"}"

        "    #{String.pad_trailing(name, 24)} #{String.pad_leading(Quantity.bytes(bytes), 9)}  #{String.pad_leading(percent, 5)} %#{items}"
      end

    ["  sections:" | lines]
  end

  @doc "The inspection without tuples and structs."
  @spec plain(Wasmex.Inspection.t()) :: map()
  def plain(inspection), do: inspection |> Map.from_struct() |> Map.new(&plain_field/1)

  defp plain_field({:producers, producers}) do
    plain =
      Map.new(producers, fn {field, values} ->
        {field, for({name, version} <- values, do: %{name: name, version: version})}
      end)

    {:producers, plain}
  end

  defp plain_field({key, items}) when key in [:imports, :exports],
    do: {key, Enum.map(items, &%{&1 | type: plain_type(&1.type)})}

  defp plain_field({key, items}) when key in [:tables, :globals],
    do: {key, Enum.map(items, &%{&1 | type: value(&1.type)})}

  defp plain_field({:start?, start?}), do: {:start, start?}
  defp plain_field(field), do: field

  defp plain_type({kind, params, results}) do
    kind = if kind == :fn, do: :func, else: kind
    %{kind: kind, params: Enum.map(params, &value/1), results: Enum.map(results, &value/1)}
  end

  defp plain_type({kind, %{type: type} = fields}),
    do: Map.merge(fields, %{kind: kind, type: value(type)})

  defp plain_type({kind, fields}), do: Map.put(fields, :kind, kind)
  defp plain_type(kind) when is_atom(kind), do: %{kind: kind}
end
