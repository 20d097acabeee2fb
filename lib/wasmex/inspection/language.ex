defmodule Wasmex.Inspection.Language do
  @moduledoc false
  # Detects the source language of a wasm file. Evidence is what a tool wrote deliberately: the producers section, custom
  # sections, or imports and exports of its runtime with their types. Text in data segments is not evidence, because every
  # program may contain it.

  alias Wasmex.Inspection

  # The order matters: JavaScript and Python components contain C or Rust, and TinyGo also names C.
  @producers [
    {"TinyGo", "TinyGo"},
    {"Go", "Go"},
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

  @javascript ["ComponentizeJS", "componentize-js", "componentize-qjs"]

  @doc "The name of the language, or nil if unknown."
  @spec guess(Inspection.t()) :: String.t() | nil
  def guess(inspection) do
    from_producers(inspection.producers) || from_sections(inspection.sections) ||
      from_signatures(inspection)
  end

  defp from_producers(producers) do
    languages = names(producers, "language")
    tools = Enum.flat_map(Map.keys(producers), &names(producers, &1))
    compilers = names(producers, "processed-by")

    cond do
      "componentize-py" in tools -> "Python"
      Enum.any?(tools, &(&1 in @javascript)) -> "JavaScript"
      "TinyGo" in compilers -> "TinyGo"
      language = known(languages) -> language
      languages != [] -> hd(languages)
      "rustc" in compilers -> "Rust"
      "Go cmd/compile" in compilers -> "Go"
      Enum.any?(compilers, &(&1 =~ ~r/^(Debian )?clang/)) -> "C or C++"
      true -> nil
    end
  end

  defp names(producers, field), do: for({name, _version} <- producers[field] || [], do: name)

  defp known(languages) do
    Enum.find_value(@producers, fn {producer, language} ->
      if producer in languages, do: language
    end)
  end

  defp from_sections(sections) do
    if Enum.any?(sections, &(&1.name in ["custom go:buildid", "custom go.buildid"])), do: "Go"
  end

  # Lists, not maps: building a map of 100,000 names blocks a scheduler.
  defp from_signatures(%{kind: :module, imports: imports, exports: exports}) do
    cond do
      Enum.any?(imports, &go_runtime?/1) -> "Go"
      assembly_script?(imports, exports) -> "AssemblyScript"
      rust?(exports) -> "Rust"
      true -> nil
    end
  end

  defp from_signatures(_component), do: nil

  # Go's runtime calls JavaScript with its stack pointer as the only argument.
  defp go_runtime?(%{namespace: "gojs", name: "runtime." <> _, type: {:fn, [:i32], []}}), do: true
  defp go_runtime?(_import), do: false

  # `abort(message, fileName, line, column)`; the exports are those of `--exportRuntime`.
  defp assembly_script?(imports, exports) do
    Enum.any?(imports, &abort?/1) or
      (export?(exports, "__new", {:fn, [:i32, :i32], [:i32]}) and
         export?(exports, "__pin", {:fn, [:i32], [:i32]}) and
         export?(exports, "__unpin", {:fn, [:i32], []}))
  end

  @abort %{namespace: "env", name: "abort", type: {:fn, [:i32, :i32, :i32, :i32], []}}
  defp abort?(import), do: Map.take(import, [:namespace, :name, :type]) == @abort

  # rustc exports the entry symbol of a WASI program; C exports it only with everything else (--export-all).
  defp rust?(exports) do
    export?(exports, "__main_void", {:fn, [], [:i32]}) and exported?(exports, "_start") and
      not exported?(exports, "__wasm_call_ctors")
  end

  defp export?(exports, name, type),
    do: Enum.any?(exports, &(&1.name == name and &1.type == type))

  defp exported?(exports, name), do: Enum.any?(exports, &(&1.name == name))
end
