defmodule Wasmex.Wasi.PreopenOptions do
  use Wasmex.Options, rows: Wasmex.Options.WASI.preopen()

  @moduledoc """
  A directory of the host that guests may use.

  #{Wasmex.Options.Docs.table(@options)}

  Guests cannot leave the directory, neither through `..` nor through symbolic links.

  ## Example

      iex> %Wasmex.Wasi.PreopenOptions{path: "lib", alias: "/src", read_only: true}.alias
      "/src"
  """
end
