defmodule Wasmex.Wasi.WasiP2Options do
  alias Wasmex.Options
  alias Wasmex.Options.WASI

  use Options,
    rows:
      WASI.store() ++
        WASI.streams("as `:inherit_…` says") ++
        WASI.granted() ++ WASI.component() ++ WASI.network() ++ WASI.http()

  @moduledoc """
  WASI 0.2 options for the components of a store.

  #{Options.Docs.table(@options)}

  ## Addresses

  `:dial`, `:listen`, `:bind`, `:dns`, `:tcp`, `:udp`, `:lookup` and `:allowed_hosts` are lists of

  - addresses and networks: `"10.0.0.5"`, `"10.0.0.0/8"`, `"::1"`, `"fd00::/8"`;
  - names: `"db.internal"`, `"*.example.com"`, `"api-*.example.com"`, where `*` matches one or more characters;
  - `"*"`: any name, and any address except link-local, metadata and unspecified ones.

  An entry may end with a port or a range of ports, `"10.0.0.5:5432"`, `"[::1]:80"`, `"*.internal:8000-8999"`. Without, it
  allows any port.

  A name only allows public addresses, whatever its DNS server returns. Loopback, private, link-local, metadata
  (`169.254.169.254`, `fd00:ec2::254`) and other special addresses must be listed as well, as in
  `["db.internal:5432", "10.0.0.0/8:5432"]`. The address of the lookup is the one connected to. IPv4-mapped IPv6 addresses
  count as IPv4. `"localhost"` allows loopback addresses.

  As in Wasmex 0.15, components inherit the VM's standard streams by default. Nothing else is granted. `nothing/0` does not
  grant the streams either.

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
    refuse_open!(options)

    options
    |> Options.native!(@options)
    |> Map.merge(%{
      stdin: stream(options.stdin, options.inherit_stdin),
      stdout: stream(options.stdout, options.inherit_stdout),
      stderr: stream(options.stderr, options.inherit_stderr),
      http: Wasmex.Components.HTTP.Policy.native!(options)
    })
  end

  # Values other than lists are reported by their type.
  defp refuse_open!(%{listen: listen}) do
    for entry <- List.wrap(listen), Options.Type.Listen.opens?(entry) do
      raise ArgumentError,
            "listen: #{inspect(entry)} is for modules, which get open listeners; a component opens its own, at an address such as \"127.0.0.1:8080\""
    end
  end

  defp stream(nil, true), do: :inherit
  defp stream(stream, _inherit), do: Options.Type.Stdio.native(stream)
end
