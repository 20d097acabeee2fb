defmodule Wasmex.Wasi.WasiP2Options do
  alias Wasmex.Options
  alias Wasmex.Options.WASI

  use Options,
    rows:
      WASI.store() ++
        WASI.streams("as `:inherit_…` says") ++
        WASI.granted() ++ WASI.component() ++ WASI.network()

  @moduledoc """
  What the components of a store get of WASI 0.2.

  #{Options.Docs.table(@options)}

  Addresses are `"10.0.0.5:5432"`, `"[::1]:80"`, `"db.internal:5432"`, `"*.internal:443"`; without a port any port,
  and `"*"` is any address. A name allows the addresses that the guest found by looking up that name.
  For HTTP, hosts are `"api.example.com"`, `"api.example.com:8443"`, `"*.example.com"`, `"*"`.

  As in Wasmex 0.15, components inherit the VM's streams by default; nothing else is granted.
  `nothing/0` grants not even those.

  ## Example

      iex> options = %Wasmex.Wasi.WasiP2Options{args: ["prog"], stdout: :null, tcp: ["127.0.0.1:5432"]}
      iex> {:ok, %Wasmex.Components.Store{}} = Wasmex.Components.Store.new_wasi(options)
  """

  @doc "Options that grant nothing at all."
  @spec nothing() :: t()
  def nothing,
    do: %__MODULE__{inherit_stdin: false, inherit_stdout: false, inherit_stderr: false}

  @doc false
  @spec to_native!(t()) :: %{atom() => term()}
  def to_native!(%__MODULE__{} = options) do
    options
    |> Options.native!(@options)
    |> Map.merge(%{
      stdin: stream(options.stdin, options.inherit_stdin),
      stdout: stream(options.stdout, options.inherit_stdout),
      stderr: stream(options.stderr, options.inherit_stderr),
      http: Wasmex.Components.HTTP.Client.grant(options)
    })
  end

  defp stream(nil, true), do: :inherit
  defp stream(stream, _inherit), do: Options.Type.Stdio.native(stream)
end
