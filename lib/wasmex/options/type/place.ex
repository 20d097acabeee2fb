defmodule Wasmex.Options.Type.Place do
  @moduledoc false
  # An allowed socket address: an address as in `Wasmex.Options.Type.Address`, for TCP and UDP or, after `tcp://` or
  # `udp://`, for one of them; or the path of a unix socket after `unix://`. The native side (`wasi/places.rs`) reads
  # `{:any | :tcp | :udp, rule}` or `{:unix, path}`.

  use Wasmex.Options.Type

  alias Wasmex.Options.Type.Address

  @type place :: {:any | :tcp | :udp, Address.rule()} | {:unix, String.t()}

  @impl true
  def cast("unix://" <> path = text) do
    if absolute?(path),
      do: {:ok, text},
      else: {:error, "", ~s|an absolute path such as "unix:///run/app.sock"|, text}
  end

  def cast("tcp://" <> address = text), do: address(text, address)
  def cast("udp://" <> address = text), do: address(text, address)
  def cast(text), do: address(text, text)

  defp address(text, address) do
    with {:ok, _} <- Address.cast(address), do: {:ok, text}
  end

  # It is compared literally with the guest's path.
  @doc false
  @spec absolute?(String.t()) :: boolean()
  def absolute?(path) do
    String.valid?(path) and not String.contains?(path, <<0>>) and
      String.starts_with?(path, "/") and byte_size(path) <= 107 and
      not Enum.any?(Path.split(path), &(&1 in [".", ".."]))
  end

  @impl true
  def expected,
    do: ~s|a place such as "10.0.0.5:5432", "udp://10.0.0.0/8" or "unix:///run/app.sock"|

  @impl true
  def spec, do: quote(do: String.t())

  @impl true
  def example, do: ~s|"10.0.0.5:5432"|

  @impl true
  @spec native(String.t()) :: place()
  def native("unix://" <> path), do: {:unix, path}
  def native("tcp://" <> address), do: {:tcp, Address.native(address)}
  def native("udp://" <> address), do: {:udp, Address.native(address)}
  def native(address), do: {:any, Address.native(address)}

  @impl true
  def repeats?, do: true
end
