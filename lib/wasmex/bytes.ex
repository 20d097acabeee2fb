defmodule Wasmex.Bytes do
  @moduledoc false
  # Reads files of code, and recognises bytes by their beginning: code, and common mistakes.

  alias Wasmex.Artefact

  @magic <<0, "asm">>

  # A path is short, and on one line.
  @longest_path 4096

  # More than twice the limit of wasm: artefacts are larger.
  @longest_file 512 * 1024 * 1024

  @doc """
  Reads a file whose name may come from others, such as one of a folder or of a plug-in's manifest. Devices and FIFOs
  are refused, as reading them may never end: `{:error, :enotsup}`. So are files above 512 MiB: `{:error, :efbig}`.
  """
  @spec read(Path.t()) :: {:ok, binary()} | {:error, File.posix()}
  def read(path), do: with(:ok <- check(path), do: File.read(path))

  @doc "Whether `read/1` would read this file."
  @spec check(Path.t()) :: :ok | {:error, File.posix()}
  def check(path) do
    case File.stat(path) do
      {:ok, %{type: :regular, size: size}} when size > @longest_file -> {:error, :efbig}
      {:ok, %{type: type}} when type in [:device, :other] -> {:error, :enotsup}
      {:ok, _file_or_directory} -> :ok
      {:error, posix} -> {:error, posix}
    end
  end

  @doc "What an error of `read/1` says."
  @spec format_error(File.posix()) :: String.t()
  def format_error(:enotsup), do: "it is a device, a pipe or a socket: pass the bytes instead"
  def format_error(posix), do: posix |> :file.format_error() |> List.to_string()

  @doc """
  Whether this is code, not a path: wasm, an artefact, or text, which begins with a parenthesis or a comment.
  """
  @spec code?(binary()) :: boolean()
  def code?(@magic <> _), do: true
  def code?(bytes), do: Artefact.artefact?(bytes) or String.match?(bytes, ~r/\A\s*(\(|;;)/)

  @doc "What bytes that are neither wasm nor WAT look like, as the end of an error message; \"\" if unknown."
  @spec hint(binary()) :: String.t()
  def hint(""), do: "; it is empty"
  def hint(<<0x7F, "ELF", _::binary>>), do: "; it is an ELF file, a native program"
  def hint(<<0x1F, 0x8B, _::binary>>), do: "; it is compressed with gzip"
  def hint(<<0x28, 0xB5, 0x2F, 0xFD, _::binary>>), do: "; it is compressed with zstd"
  def hint(<<"PK", 3, 4, _::binary>>), do: "; it is a ZIP file"
  def hint(<<"!<arch>", _::binary>>), do: "; it is an archive of object files: link it first"

  def hint(<<"version https://git-lfs", _::binary>>),
    do: "; it is a pointer of Git LFS: `git lfs pull` gets the file itself"

  def hint(bytes) do
    cond do
      String.match?(bytes, ~r/\A\s*<(!doctype|html|head|body|\?xml)/i) ->
        "; it is an HTML page: the download failed, or its address is not that of the file"

      String.match?(bytes, ~r/\A\s*[{\[]/) ->
        "; it looks like JSON"

      path?(bytes) ->
        "; it looks like a path: pass its contents (File.read!/1), or the option path:"

      true ->
        ""
    end
  end

  defp path?(bytes) do
    byte_size(bytes) <= @longest_path and
      (String.match?(bytes, ~r/\A[^\n(;"]+\.(wasm|wat|cwasm|wast)\z/) or existing?(bytes))
  end

  defp existing?(bytes),
    do: String.valid?(bytes) and not String.contains?(bytes, <<0>>) and File.exists?(bytes)
end
