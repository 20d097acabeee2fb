defmodule Wasmex.Inspection.Language do
  @moduledoc false
  # What a module was written in: what its producers section says, else what its names give away, else
  # texts that the language's own library leaves in the data, which stripping does not take out.

  # The first that fits; components in JavaScript and Python are C or Rust inside.
  @producers [
    {"Go", "Go"},
    {"TinyGo", "TinyGo"},
    {"Rust", "Rust"},
    {"Swift", "Swift"},
    {"Zig", "Zig"},
    {"C++_14", "C++"},
    {"C++_17", "C++"},
    {"C_plus_plus_14", "C++"},
    {"C_plus_plus_17", "C++"},
    {"C11", "C"},
    {"C99", "C"},
    {"C17", "C"}
  ]

  @texts [
    {"Rust", ["/rustc/", "library/std/src", "called `Option::unwrap()` on a `None` value"]},
    # UTF-16, as AssemblyScript keeps its texts.
    {"AssemblyScript", ["~\0l\0i\0b\0/\0", "I\0n\0v\0a\0l\0i\0d\0 \0l\0e\0n\0g\0t\0h\0"]},
    {"C or C++", ["Illegal byte sequence\0"]}
  ]

  def guess(inspection, bytes) do
    embedded(inspection) || said(inspection.producers) || shown(inspection) || left(bytes)
  end

  defp left(bytes) do
    Enum.find_value(@texts, fn {language, texts} ->
      if :binary.match(bytes, texts) != :nomatch, do: language
    end)
  end

  defp embedded(%{producers: producers}) do
    tools = for {_field, values} <- producers, {name, _version} <- values, do: name

    cond do
      "componentize-py" in tools ->
        "Python"

      Enum.any?(tools, &(&1 in ["ComponentizeJS", "componentize-js", "componentize-qjs"])) ->
        "JavaScript"

      true ->
        nil
    end
  end

  defp said(producers) do
    languages = for {name, _version} <- Map.get(producers, "language", []), do: name
    tools = for {name, _version} <- Map.get(producers, "processed-by", []), do: name

    cond do
      "TinyGo" in languages or "TinyGo" in tools ->
        "TinyGo"

      known = Enum.find_value(@producers, fn {said, name} -> if said in languages, do: name end) ->
        known

      languages != [] ->
        hd(languages)

      "rustc" in tools ->
        "Rust"

      "Go cmd/compile" in tools ->
        "Go"

      Enum.any?(tools, &(&1 =~ ~r/^Debian clang|^clang/)) ->
        "C or C++"

      true ->
        nil
    end
  end

  defp shown(inspection) do
    imports = for %{namespace: namespace, name: name} <- inspection.imports, do: {namespace, name}
    exports = Enum.map(inspection.exports, & &1.name)
    sections = Enum.map(inspection.sections, & &1.name)

    cond do
      "custom go:buildid" in sections or "custom go.buildid" in sections -> "Go"
      Enum.any?(imports, &match?({"gojs", _}, &1)) -> "Go"
      Enum.all?(["__new", "__pin"], &(&1 in exports)) -> "AssemblyScript"
      {"env", "abort"} in imports -> "AssemblyScript"
      true -> nil
    end
  end
end
