defmodule Wasmex.Inspection.Component do
  @moduledoc false
  # The outermost sections of a component (component model, Binary.md): what it imports and exports, and
  # the modules inside.

  import Wasmex.Inspection.Reader

  alias Wasmex.Inspection
  alias Wasmex.Inspection.Core

  @names %{
    1 => "core module",
    2 => "core instance",
    3 => "core type",
    4 => "component",
    5 => "instance",
    6 => "alias",
    7 => "type",
    8 => "canon",
    9 => "start",
    10 => "import",
    11 => "export",
    12 => "value"
  }

  @sorts %{1 => :func, 2 => :value, 3 => :type, 4 => :component, 5 => :instance}

  def read(bytes) do
    sections = sections(bytes)
    imports = items(sections, 10, &imported/1)
    exports = items(sections, 11, &exported/1)

    %Inspection{
      kind: :component,
      imports: imports,
      exports: exports,
      role: role(exports),
      wasi: for(%{name: "wasi:" <> _ = name} <- imports, do: name),
      producers: producers(sections),
      sections: Enum.map(sections, &section(&1, @names))
    }
  end

  # There may be several sections of a kind.
  defp items(sections, id, read) do
    for {^id, content} <- sections, item <- content |> vector(read) |> elem(0), do: item
  end

  defp imported(bytes) do
    {name, rest} = extern_name(bytes)
    {kind, rest} = extern_type(rest)
    {%{namespace: nil, name: name, type: kind}, rest}
  end

  defp extern_name(<<code, rest::binary>>) when code in [0, 1, 2] do
    {name, rest} = name(rest)
    # With attributes of its own since the version suffixes.
    if code == 2, do: {name, rest |> vector(&attribute/1) |> elem(1)}, else: {name, rest}
  end

  defp extern_name(_bytes), do: fail("a name of an unknown form")

  defp attribute(bytes) do
    {_kind, rest} = byte(bytes)
    {text, rest} = name(rest)
    {text, rest}
  end

  defp extern_type(bytes) do
    case byte(bytes) do
      {0, rest} ->
        {_core, rest} = byte(rest)
        {_index, rest} = number(rest)
        {:module, rest}

      {3, rest} ->
        # A type that equals another, or a resource.
        case byte(rest) do
          {0, rest} -> {:type, rest |> number() |> elem(1)}
          {_resource, rest} -> {:type, rest}
        end

      {2, rest} ->
        # A value that equals another, or one of a type.
        {_bound, rest} = byte(rest)
        {_index, rest} = number(rest)
        {:value, rest}

      {code, rest} when is_map_key(@sorts, code) ->
        {_index, rest} = number(rest)
        {@sorts[code], rest}

      {code, _rest} ->
        fail("an import of the unknown kind #{code}")
    end
  end

  defp exported(bytes) do
    {name, rest} = extern_name(bytes)
    {kind, rest} = sort(rest)
    {_index, rest} = number(rest)

    rest =
      case byte(rest) do
        {0, rest} -> rest
        {_type_follows, rest} -> rest |> extern_type() |> elem(1)
      end

    {%{name: name, type: kind}, rest}
  end

  defp sort(bytes) do
    case byte(bytes) do
      {0, rest} -> {:core, rest |> byte() |> elem(1)}
      {code, rest} when is_map_key(@sorts, code) -> {@sorts[code], rest}
      {code, _rest} -> fail("an export of the unknown kind #{code}")
    end
  end

  defp role(exports) do
    names = Enum.map(exports, & &1.name)

    cond do
      Enum.any?(names, &String.starts_with?(&1, "wasi:cli/run")) -> :command
      Enum.any?(names, &String.starts_with?(&1, "wasi:http/incoming-handler")) -> :http_handler
      true -> :library
    end
  end

  # Those of the component, else those of the largest module inside, which is the program.
  defp producers(sections) do
    own = Enum.find_value(sections, fn section -> producers_of(section) end)
    own = own || %{}

    inner =
      sections
      |> Enum.filter(&match?({1, _}, &1))
      |> Enum.max_by(fn {1, content} -> byte_size(content) end, fn -> nil end)

    Map.merge(inner_producers(inner), own)
  end

  defp producers_of({0, content}) do
    case name(content) do
      {"producers", rest} -> Core.producers(rest)
      _ -> nil
    end
  end

  defp producers_of(_section), do: nil

  defp inner_producers({1, <<0, "asm", 1::little-32, rest::binary>>}),
    do: Core.read(rest).producers

  defp inner_producers(_none), do: %{}
end
