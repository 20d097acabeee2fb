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

  ## Addresses

  `:tcp`, `:udp`, `:listen`, `:lookup` and `:allowed_hosts` are lists of

  - addresses and networks: `"10.0.0.5"`, `"10.0.0.0/8"`, `"::1"`, `"fd00::/8"`;
  - names: `"db.internal"`, `"*.example.com"`, `"api-*.example.com"`, where `*` is one character or more;
  - `"*"`: any name, and any address but link-local, metadata and unspecified ones.

  Each may end with a port or a range of ports, `"10.0.0.5:5432"`, `"[::1]:80"`, `"*.internal:8000-8999"`; without, it means any port.

  A name leads to public addresses only, whatever its server of names says: loopback, private, link-local, metadata
  (`169.254.169.254`, `fd00:ec2::254`) and other special addresses must be listed beside it,
  `["db.internal:5432", "10.0.0.0/8:5432"]`. What was looked up is what is connected to. IPv4 addresses in IPv6's clothes
  count as IPv4. `"localhost"` is this machine.

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
      http: Wasmex.Components.HTTP.Policy.native!(options)
    })
  end

  defp stream(nil, true), do: :inherit
  defp stream(stream, _inherit), do: Options.Type.Stdio.native(stream)
end
