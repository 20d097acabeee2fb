defmodule Wasmex.Wasi.PreopenOptions do
  @moduledoc """
  A directory of the host that guests may use.

  - `:path`: the directory on the host
  - `:alias`: its path for the guest, by default the same
  - `:read_only`: `true` allows reading and listing only

  Guests can't leave the directory, neither by `..` nor by symbolic links.

  ## Example

      iex> %Wasmex.Wasi.PreopenOptions{path: "lib", alias: "/src", read_only: true}.alias
      "/src"
  """

  @enforce_keys [:path]
  defstruct path: nil, alias: nil, read_only: false

  @type t :: %__MODULE__{path: String.t(), alias: String.t() | nil, read_only: boolean()}

  defmodule Native do
    @moduledoc false
    defstruct [:host, :guest, :read_only]
  end

  @doc false
  def to_native!(%__MODULE__{path: path, alias: alias, read_only: read_only})
      when is_binary(path) and (is_binary(alias) or alias == nil) and is_boolean(read_only) do
    for text <- [path, alias || ""], not String.valid?(text) or String.contains?(text, <<0>>) do
      raise ArgumentError, "a preopen path must be UTF-8 without NUL, got: #{inspect(text)}"
    end

    %Native{host: path, guest: alias || path, read_only: read_only}
  end

  def to_native!(other),
    do:
      raise(
        ArgumentError,
        "a preopen is %Wasmex.Wasi.PreopenOptions{path: string, alias: string, read_only: boolean}, got: #{inspect(other)}"
      )
end
