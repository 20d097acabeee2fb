defmodule Wasmex.Inspection do
  @moduledoc """
  What is in a wasm file, told without compiling it.

  - `:kind`: `:module`, `:component` or `:artefact` (of `Wasmex.Module.serialize/2`)
  - `:size` in bytes, `:name` from the name section
  - `:language`: what it was written in, as far as it can be told, and `:producers`, what it says itself
  - `:role`: `:command` (has `_start`), `:reactor` (has `_initialize`), `:library`
  - `:wasi`: the namespaces of WASI that it imports
  - `:imports`: `[%{namespace, name, type}]`, `:exports`: `[%{name, type}]`; of a component the names of
    what it imports and exports, and their kinds
  - `:memories`, `:tables`, `:globals`: their types, those of imports included
  - `:start?`: whether it has a start function
  - `:sections`: `[%{name, size, count}]` in the file's order, custom sections as `"custom name"`

  Types of imports and exports are as in `Wasmex.Module.exports/1`; functions `{:fn, params, results}`.
  The file format is that of the core specification, chapter 5.

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

  alias Wasmex.{Artefact, Error, Wat}
  alias Wasmex.Inspection.{Component, Core, Language, Reader}

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

  @type t :: %__MODULE__{}

  @magic <<0, "asm">>

  @doc "Reads a file or bytes: wasm, WAT or an artefact."
  @spec read(Path.t() | binary()) :: {:ok, t()} | {:error, Exception.t()}
  def read(path_or_bytes) when is_binary(path_or_bytes) do
    if bytes?(path_or_bytes), do: from_bytes(path_or_bytes), else: read_file(path_or_bytes)
  end

  defp bytes?(@magic <> _), do: true
  defp bytes?(bytes), do: Artefact.artefact?(bytes) or String.match?(bytes, ~r/\A\s*(\(|;;)/)

  defp read_file(path) do
    case File.read(path) do
      {:ok, bytes} ->
        from_bytes(bytes)

      {:error, posix} ->
        message = "can't read #{path}: #{:file.format_error(posix)}"
        {:error, %Error{reason: :file, details: %{path: path, message: message}}}
    end
  end

  @doc "As `read/1`, for what must be bytes."
  @spec from_bytes(binary()) :: {:ok, t()} | {:error, Exception.t()}
  def from_bytes(bytes)

  def from_bytes(@magic <> <<1::little-16, 0::little-16, rest::binary>> = bytes),
    do: parse(fn -> Core.read(rest) end, bytes)

  def from_bytes(@magic <> <<_version::16, 1::little-16, rest::binary>> = bytes),
    do: parse(fn -> Component.read(rest) end, bytes)

  def from_bytes(@magic <> <<version::little-32, _::binary>>),
    do: error("wasm of a version that is not known: #{version}")

  def from_bytes(@magic <> _), do: error("the bytes end within the header")

  def from_bytes(bytes) do
    cond do
      Artefact.artefact?(bytes) ->
        {:ok, %__MODULE__{kind: :artefact, size: byte_size(bytes)}}

      not String.valid?(bytes) ->
        error("neither wasm (no \\0asm at the start) nor text (no valid UTF-8)#{guess(bytes)}")

      true ->
        case Wat.to_wasm(bytes) do
          {:ok, wasm} -> from_bytes(wasm)
          {:error, text} -> error(text)
        end
    end
  end

  defp guess(<<0x7F, "ELF", _::binary>>), do: "; it is an ELF file, a program of the system's own"
  defp guess(<<0x1F, 0x8B, _::binary>>), do: "; it is compressed with gzip"
  defp guess(<<"PK", _::binary>>), do: "; it is a ZIP file"
  defp guess(_), do: ""

  defp parse(read, bytes) do
    inspection = %{read.() | size: byte_size(bytes)}
    {:ok, %{inspection | language: Language.guess(inspection, bytes)}}
  catch
    {Reader, message} -> error(message)
  end

  defp error(message), do: {:error, %Error{reason: :parse, details: %{message: message}}}
end
