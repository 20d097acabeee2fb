defmodule Wasmex.WIT.Printer do
  @moduledoc false
  # Formats a world as WIT text, with interfaces in packages of their own; WASI interfaces are named but not included.

  @doc "The text, with a trailing line break."
  @spec print(Wasmex.WIT.world()) :: String.t()
  def print(world) do
    interfaces =
      for {:interface, name, interface} <- world.exports ++ world.imports,
          own?(name),
          do: {name, interface}

    [
      "package root:component;\n\n",
      docs(world.docs, ""),
      "world #{world.name} {\n",
      Enum.map(world.imports, &item("import", &1)),
      Enum.map(world.exports, &item("export", &1)),
      "}\n",
      interfaces
      |> Enum.uniq_by(&elem(&1, 0))
      |> Enum.group_by(fn {name, _} -> package(name) end)
      |> Enum.map(&package_of/1)
    ]
    |> IO.iodata_to_binary()
  end

  # Interfaces with a package; others are written where they are imported or exported.
  defp own?(name), do: String.contains?(name, ":") and not String.starts_with?(name, "wasi:")

  # `ns:pkg/iface@1.0.0` is `iface` of `ns:pkg@1.0.0`.
  defp package(name) do
    [path | version] = String.split(name, "@", parts: 2)
    Enum.join([path |> String.split("/") |> hd() | version], "@")
  end

  defp last(name), do: name |> String.split("@") |> hd() |> String.split("/") |> List.last()

  defp item(way, {:func, name, function}),
    do: [docs(function.docs, "  "), "  #{way} #{word(name)}: #{signature(function)};\n"]

  defp item("import", {:type, name, type}), do: type_definition(name, type, "  ", %{})
  defp item(_export, {:type, _name, _type}), do: []

  defp item(way, {:interface, name, interface}) do
    if String.contains?(name, ":"),
      do: "  #{way} #{name};\n",
      else: ["  #{way} #{word(name)}: interface {\n", body(interface, "    ", name), "  }\n"]
  end

  defp package_of({package, interfaces}) do
    [
      "\npackage #{package} {\n",
      interfaces
      |> Enum.map(fn {name, interface} ->
        [
          docs(interface.docs, "  "),
          "  interface #{word(last(name))} {\n",
          body(interface, "    ", name),
          "  }\n"
        ]
      end)
      |> Enum.intersperse("\n"),
      "}\n"
    ]
  end

  defp body(interface, indent, name) do
    methods = Enum.group_by(interface.functions, & &1.resource)

    [
      uses(interface, indent, name),
      for(
        {type_name, type} <- interface.types,
        do: type_definition(type_name, type, indent, methods)
      ),
      for(
        %{kind: :func} = function <- interface.functions,
        do: [
          docs(function.docs, indent),
          "#{indent}#{word(function.name)}: #{signature(function)};\n"
        ]
      )
    ]
  end

  # A type that is an alias of a type in another interface is written as a `use`.
  defp uses(interface, indent, name) do
    taken = for {_, %{type: type}} <- interface.types, foreign <- foreign(type, name), do: foreign

    called =
      for function <- interface.functions,
          type <- types(function),
          foreign <- foreign(type, name),
          do: foreign

    defined = MapSet.new(interface.types, &elem(&1, 0))

    for {from, names} <- Enum.group_by(Enum.uniq(taken ++ called), &elem(&1, 0), &elem(&1, 1)),
        names = Enum.reject(names, &MapSet.member?(defined, &1)),
        names != [],
        do: "#{indent}use #{from}.{#{Enum.map_join(names, ", ", &word/1)}};\n"
  end

  defp types(function), do: Enum.map(function.params, &elem(&1, 1)) ++ List.wrap(function.result)

  defp foreign({:named, interface, name}, here) when interface not in [nil, here],
    do: [{interface, name}]

  defp foreign({:named, _, _}, _here), do: []

  defp foreign({:record, fields}, here),
    do: Enum.flat_map(fields, fn {_, type, _} -> foreign(type, here) end)

  defp foreign({:variant, cases}, here),
    do: Enum.flat_map(cases, fn {_, type, _} -> foreign(type, here) end)

  defp foreign({:tuple, types}, here), do: Enum.flat_map(types, &foreign(&1, here))
  defp foreign({kind, _}, _here) when kind in [:enum, :flags], do: []

  defp foreign(tuple, here) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> tl() |> Enum.flat_map(&foreign(&1, here))

  defp foreign(_simple, _here), do: []

  defp type_definition(name, %{type: :resource, docs: docs}, indent, methods) do
    functions = Map.get(methods, name, [])

    inner =
      for function <- functions,
          do: [docs(function.docs, indent <> "  "), method(function, indent <> "  ")]

    head = [docs(docs, indent), "#{indent}resource #{word(name)}"]
    if functions == [], do: [head, ";\n"], else: [head, " {\n", inner, "#{indent}}\n"]
  end

  # The same name in another interface.
  defp type_definition(name, %{type: {:alias, {:named, from, name}}}, indent, _methods)
       when from != nil,
       do: "#{indent}use #{from}.{#{word(name)}};\n"

  defp type_definition(name, %{type: {:named, from, name}}, indent, _methods) when from != nil,
    do: "#{indent}use #{from}.{#{word(name)}};\n"

  defp type_definition(name, %{type: type, docs: docs}, indent, _methods),
    do: [docs(docs, indent), define(word(name), type, indent)]

  defp define(name, {:record, fields}, indent),
    do:
      block(
        "record",
        name,
        for({field, type, docs} <- fields, do: {"#{word(field)}: #{type(type)}", docs}),
        indent
      )

  defp define(name, {:variant, cases}, indent) do
    cases =
      for {name, type, docs} <- cases,
          do: {word(name) <> if(type, do: "(#{type(type)})", else: ""), docs}

    block("variant", name, cases, indent)
  end

  defp define(name, {kind, names}, indent) when kind in [:enum, :flags],
    do: block(Atom.to_string(kind), name, for(name <- names, do: {word(name), nil}), indent)

  defp define(name, {:alias, type}, indent), do: "#{indent}type #{name} = #{type(type)};\n"
  defp define(name, type, indent), do: "#{indent}type #{name} = #{type(type)};\n"

  defp block(kind, name, lines, indent) do
    inner = for {line, docs} <- lines, do: [docs(docs, indent <> "  "), "#{indent}  #{line},\n"]
    ["#{indent}#{kind} #{name} {\n", inner, "#{indent}}\n"]
  end

  defp method(%{kind: :constructor} = function, indent) do
    result =
      if match?({:result, _, _}, function.result), do: " -> #{type(function.result)}", else: ""

    "#{indent}constructor(#{params(function.params)})#{result};\n"
  end

  defp method(%{kind: :method, params: [_self | params]} = function, indent),
    do: "#{indent}#{short(function)}: #{signature(%{function | params: params})};\n"

  defp method(function, indent),
    do: "#{indent}#{short(function)}: static #{signature(function)};\n"

  defp short(function), do: function.name |> String.split(".", parts: 2) |> List.last() |> word()

  defp signature(function) do
    async = if function[:async], do: "async ", else: ""
    result = if function.result, do: " -> #{type(function.result)}", else: ""
    "#{async}func(#{params(function.params)})#{result}"
  end

  defp params(params),
    do: Enum.map_join(params, ", ", fn {name, type} -> "#{word(name)}: #{type(type)}" end)

  defp type({:named, _interface, name}), do: word(name)
  defp type({:list, type}), do: "list<#{type(type)}>"
  defp type({:list, type, length}), do: "list<#{type(type)}, #{length}>"
  defp type({:map, key, value}), do: "map<#{type(key)}, #{type(value)}>"
  defp type({:tuple, types}), do: "tuple<#{Enum.map_join(types, ", ", &type/1)}>"
  defp type({:option, type}), do: "option<#{type(type)}>"
  defp type({:result, nil, nil}), do: "result"
  defp type({:result, ok, nil}), do: "result<#{type(ok)}>"
  defp type({:result, ok, error}), do: "result<#{if ok, do: type(ok), else: "_"}, #{type(error)}>"
  defp type({:own, type}), do: type(type)
  defp type({:borrow, type}), do: "borrow<#{type(type)}>"
  defp type({:alias, type}), do: type(type)
  defp type({kind, type}) when kind in [:stream, :future], do: "#{kind}<#{type(type)}>"

  defp type(simple) when is_atom(simple),
    do: simple |> Atom.to_string() |> String.replace("_", "-")

  defp type(other), do: "/* #{inspect(other)} */"

  # Keywords are escaped by a percent sign.
  @words ~w(as async bool borrow char constructor enum export f32 f64 flags from func future import include interface list
            map option own package record resource result s16 s32 s64 s8 static stream string tuple type u16 u32 u64 u8
            use variant with world)

  defp word(name), do: if(name in @words, do: "%" <> name, else: name)

  defp docs(nil, _indent), do: []

  defp docs(text, indent),
    do:
      for(
        line <- String.split(String.trim(text), "\n"),
        do: String.trim_trailing("#{indent}/// #{line}") <> "\n"
      )
end
