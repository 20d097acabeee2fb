defmodule Wasmex.Inspection do
  @moduledoc """
  Reads the contents of a wasm file without compiling it.

  - `:kind`: `:module`, `:component` or `:artefact` (of `Wasmex.Module.serialize/2`)
  - `:size` in bytes, `:name` from the name section
  - `:language`: the source language if known, else nil. `:producers`: the tools that the file
    names ([tool conventions](https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md))
  - `:role`: `:command` (has `_start`), `:reactor` (has `_initialize`), `:library`
  - `:wasi`: the WASI namespaces it imports
  - `:imports`: `[%{namespace, name, type}]`, `:exports`: `[%{name, type}]`; of a component
    the type is a kind: `:func`, `:instance`, `:type`, …
  - `:memories`, `:tables`, `:globals`: their types, those of imports included
  - `:start?`: whether it has a start function
  - `:sections`: `[%{name, size, count}]` in the file's order, custom sections as `"custom name"`

  Types of imports and exports are as in `Wasmex.Module.exports/1`; functions `{:fn, params, results}`.
  The file format is that of the core specification, chapter 5, and of the component model's Binary.md.

  ## Errors

  `{:error, %Wasmex.Error{reason: :parse}}` for a malformed file, with the `:offset` in `details`. Lists
  with more than 100,000 entries are an error, too. `reason: :file` for a file that cannot be read, `:too_large` or
  `:nested_too_deep` for one that exceeds the given `limits:`.

  ## Example

      iex> wat = ~s|(module (import "env" "f" (func (param i32))) (memory (export "memory") 1))|
      iex> {:ok, inspection} = Wasmex.Inspection.read(wat)
      iex> {inspection.kind, inspection.role}
      {:module, :library}
      iex> inspection.imports
      [%{namespace: "env", name: "f", type: {:fn, [:i32], []}}]
      iex> inspection.exports
      [%{name: "memory", type: {:memory, %{minimum: 1, shared: false, memory64: false}}}]
  """

  alias Wasmex.{Artefact, Bytes, Error, Limits, Native, Options, Wat}
  alias Wasmex.Inspection.Language

  defstruct kind: :module,
            size: 0,
            name: nil,
            language: nil,
            producers: %{},
            role: nil,
            wasi: [],
            imports: [],
            exports: [],
            memories: [],
            tables: [],
            globals: [],
            start?: false,
            sections: []

  @type t :: %__MODULE__{
          kind: :module | :component | :artefact,
          size: non_neg_integer(),
          name: String.t() | nil,
          language: String.t() | nil,
          producers: %{String.t() => [{name :: String.t(), version :: String.t()}]},
          role: :command | :reactor | :library | :http_handler | nil,
          wasi: [String.t()],
          imports: [%{namespace: String.t() | nil, name: String.t(), type: term()}],
          exports: [%{name: String.t(), type: term()}],
          memories: [map()],
          tables: [map()],
          globals: [map()],
          start?: boolean(),
          sections: [%{name: String.t(), size: non_neg_integer(), count: non_neg_integer() | nil}]
        }

  @magic <<0, "asm">>

  @options Options.table(
             [
               limits: [
                 type: {:or, [nil], {:options, Limits}},
                 doc:
                   "limits for the bytes, see `Wasmex.Limits`. By default only those of text apply, so that files can be read that may not be compiled"
               ]
             ],
             "Wasmex.Inspection.read/2"
           )

  @doc """
  Reads a file or bytes: wasm, WAT or an artefact.

  #{Options.Docs.table(@options)}
  """
  @spec read(Path.t() | binary(), keyword()) :: {:ok, t()} | {:error, Exception.t()}
  def read(path_or_bytes, opts \\ []) when is_binary(path_or_bytes) do
    if Bytes.code?(path_or_bytes),
      do: from_bytes(path_or_bytes, opts),
      else: read_file(path_or_bytes, opts)
  end

  defp read_file(path, opts) do
    case Bytes.read(path) do
      {:ok, bytes} ->
        from_bytes(bytes, opts)

      {:error, posix} ->
        message = "cannot read #{Wasmex.Printable.line(path)}: #{Bytes.format_error(posix)}"
        {:error, %Error{reason: :file, details: %{path: path, message: message}}}
    end
  end

  @doc "Like `read/2`, for bytes only."
  @spec from_bytes(binary(), keyword()) :: {:ok, t()} | {:error, Exception.t()}
  def from_bytes(bytes, opts \\ []) when is_binary(bytes) do
    %{limits: limits} = Options.new!(opts, @options)
    inspect_bytes(bytes, limits)
  end

  defp inspect_bytes(@magic <> _ = bytes, limits) do
    with {:ok, fields} <- native(bytes, limits) do
      inspection = from_native(fields, byte_size(bytes))
      {:ok, %{inspection | language: Language.guess(inspection)}}
    end
  end

  defp inspect_bytes(bytes, limits) do
    cond do
      Artefact.artefact?(bytes) ->
        {:ok, %__MODULE__{kind: :artefact, size: byte_size(bytes)}}

      not String.valid?(bytes) ->
        error(
          "neither wasm (no \\0asm at the start) nor text (not valid UTF-8)#{Bytes.hint(bytes)}"
        )

      true ->
        case Wat.to_wasm(bytes, limits: limits || %Limits{}) do
          {:ok, wasm} -> inspect_bytes(wasm, limits)
          {:error, text} -> error(text)
        end
    end
  end

  defp native(bytes, limits) do
    limits = limits && Limits.native(limits)

    with {:error, error} <- Native.wasm_inspect(bytes, limits),
         do: {:error, Error.from_native(error)}
  end

  defp from_native(%{kind: :module} = fields, size) do
    %__MODULE__{
      kind: :module,
      size: size,
      name: fields.name,
      producers: Map.new(fields.producers || []),
      role: role(fields.exports),
      wasi: for(%{namespace: name} <- fields.imports, wasi?(name), uniq: true, do: name),
      imports: fields.imports,
      exports: fields.exports,
      memories: fields.memories,
      tables: fields.tables,
      globals: fields.globals,
      start?: fields.start,
      sections: fields.sections
    }
  end

  defp from_native(%{kind: :component} = fields, size) do
    %__MODULE__{
      kind: :component,
      size: size,
      producers:
        Map.merge(Map.new(fields.inner_producers || []), Map.new(fields.producers || [])),
      role: component_role(fields.exports),
      wasi: for(%{name: "wasi:" <> _ = name} <- fields.imports, do: name),
      imports: fields.imports,
      exports: fields.exports,
      sections: fields.sections
    }
  end

  # Only a function without parameters and results is an entry point.
  defp role(exports) do
    entries = for %{name: name, type: {:fn, [], []}} <- exports, do: name

    cond do
      "_start" in entries -> :command
      "_initialize" in entries -> :reactor
      true -> :library
    end
  end

  defp component_role(exports) do
    names = Enum.map(exports, & &1.name)

    cond do
      Enum.any?(names, &String.starts_with?(&1, "wasi:cli/run")) -> :command
      Enum.any?(names, &String.starts_with?(&1, "wasi:http/incoming-handler")) -> :http_handler
      true -> :library
    end
  end

  # wasi-threads uses the namespace `wasi`.
  defp wasi?(namespace),
    do: namespace == "wasi" or String.starts_with?(namespace, ["wasi_", "wasi:"])

  defp error(message), do: {:error, %Error{reason: :parse, details: %{message: message}}}
end
