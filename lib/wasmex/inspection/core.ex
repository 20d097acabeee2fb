defmodule Wasmex.Inspection.Core do
  @moduledoc false
  # The sections of a core module (core specification, section 5.5).

  import Wasmex.Inspection.Reader

  alias Wasmex.Inspection
  alias Wasmex.Inspection.Types

  @names %{
    1 => "type",
    2 => "import",
    3 => "function",
    4 => "table",
    5 => "memory",
    6 => "global",
    7 => "export",
    8 => "start",
    9 => "element",
    10 => "code",
    11 => "data",
    12 => "data count",
    13 => "tag"
  }

  @counted [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13]

  def read(bytes) do
    sections = sections(bytes)
    content = fn id -> with {_, content} <- List.keyfind(sections, id, 0), do: content end
    types = types(content.(1))
    imports = imports(content.(2), types)
    functions = imported(imports, :fn) ++ functions(content.(3), types)
    tables = imported(imports, :table) ++ all(content.(4), &Types.table/1)
    memories = imported(imports, :memory) ++ all(content.(5), &Types.memory/1)
    globals = imported(imports, :global) ++ all(content.(6), &global/1)
    tags = imported(imports, :tag) ++ all(content.(13), &Types.tag(&1, types))
    # Looked up by index: a list would take a crafted file's millions of exports each to its end.
    spaces =
      Map.new(%{0 => functions, 1 => tables, 2 => memories, 3 => globals, 4 => tags}, fn {kind,
                                                                                          types} ->
        {kind, List.to_tuple(types)}
      end)

    exports = exports(content.(7), spaces)

    %Inspection{
      kind: :module,
      imports: imports,
      exports: exports,
      tables: Enum.map(tables, &elem(&1, 1)),
      memories: Enum.map(memories, &elem(&1, 1)),
      globals: Enum.map(globals, &elem(&1, 1)),
      start?: List.keymember?(sections, 8, 0),
      role: role(exports),
      wasi: wasi(imports),
      name: custom(sections, "name", &module_name/1),
      producers: custom(sections, "producers", &producers/1) || %{},
      sections: Enum.map(sections, &counted/1)
    }
  end

  defp counted({id, content} = section) do
    count = if id in @counted, do: content |> number() |> elem(0)
    %{section(section, @names) | count: count}
  end

  # By index; types that are no functions (the GC proposal's) are nil.
  defp types(nil), do: {}

  defp types(content) do
    {groups, _rest} = vector(content, &Types.group/1)
    groups |> List.flatten() |> List.to_tuple()
  end

  defp function(types, index) do
    if index < tuple_size(types),
      do: elem(types, index) || {:fn, [], []},
      else: fail("a function of the unknown type #{index}")
  end

  defp imports(nil, _types), do: []

  defp imports(content, types) do
    {imports, _rest} =
      vector(content, fn bytes ->
        {namespace, rest} = name(bytes)
        {name, rest} = name(rest)
        {type, rest} = import_type(rest, types)
        {%{namespace: namespace, name: name, type: type}, rest}
      end)

    imports
  end

  defp import_type(bytes, types) do
    case byte(bytes) do
      {0, rest} ->
        {index, rest} = number(rest)
        {function(types, index), rest}

      {1, rest} ->
        Types.table(rest)

      {2, rest} ->
        Types.memory(rest)

      {3, rest} ->
        Types.global(rest)

      {4, rest} ->
        Types.tag(rest, types)

      {kind, _rest} ->
        fail("an import of the unknown kind #{kind}")
    end
  end

  defp imported(imports, kind), do: for(%{type: type} <- imports, elem(type, 0) == kind, do: type)

  defp functions(nil, _types), do: []

  defp functions(content, types) do
    {indices, _rest} = vector(content, &number/1)
    Enum.map(indices, &function(types, &1))
  end

  defp all(nil, _element), do: []
  defp all(content, element), do: content |> vector(element) |> elem(0)

  # Its initial value is an expression, whose end has to be found.
  defp global(bytes) do
    {type, rest} = Types.global(bytes)
    {type, Types.skip_expression(rest)}
  end

  defp exports(nil, _spaces), do: []

  defp exports(content, spaces) do
    {exports, _rest} =
      vector(content, fn bytes ->
        {name, rest} = name(bytes)
        {kind, rest} = byte(rest)
        {index, rest} = number(rest)
        space = Map.get(spaces, kind, {})
        if index >= tuple_size(space), do: fail("the export #{inspect(name)} of nothing")
        {%{name: name, type: elem(space, index)}, rest}
      end)

    exports
  end

  defp role(exports) do
    names = for %{name: name, type: {:fn, _, _}} <- exports, do: name

    cond do
      "_start" in names -> :command
      "_initialize" in names -> :reactor
      true -> :library
    end
  end

  defp wasi(imports) do
    for %{namespace: "wasi" <> _ = namespace} <- imports, uniq: true, do: namespace
  end

  # A custom section that is malformed says nothing, but the module is none the worse (section 7.2).
  defp custom(sections, wanted, read) do
    Enum.find_value(sections, fn
      {0, content} ->
        case name(content) do
          {^wanted, rest} -> catch_malformed(fn -> read.(rest) end)
          _ -> nil
        end

      _ ->
        nil
    end)
  end

  defp catch_malformed(read) do
    read.()
  catch
    {Wasmex.Inspection.Reader, _text} -> nil
  end

  defp module_name(bytes) do
    with {_, content} <- bytes |> sections() |> List.keyfind(0, 0),
         do: content |> name() |> elem(0)
  end

  @doc false
  # `%{"language" => [{"Rust", ""}], "processed-by" => [{"rustc", "1.95"}]}`
  def producers(bytes) do
    {fields, _rest} =
      vector(bytes, fn bytes ->
        {field, rest} = name(bytes)

        {values, rest} =
          vector(rest, fn bytes ->
            {name, rest} = name(bytes)
            {version, rest} = name(rest)
            {{name, version}, rest}
          end)

        {{field, values}, rest}
      end)

    Map.new(fields)
  end
end
