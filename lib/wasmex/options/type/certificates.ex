defmodule Wasmex.Options.Type.Certificates do
  @moduledoc false
  # Certificates in PEM format. The native side receives their DER.

  use Wasmex.Options.Type

  @impl true
  def cast(pem) do
    if is_binary(pem) and ders(pem) != [],
      do: {:ok, pem},
      else: {:error, "", expected(), pem}
  end

  @impl true
  def expected, do: "certificates as PEM"

  @impl true
  def spec, do: quote(do: String.t())

  @impl true
  def example, do: ~s|:public_key.pem_encode([{:Certificate, "DER", :not_encrypted}])|

  @impl true
  def native(pem), do: ders(pem)

  defp ders(pem),
    do: for({:Certificate, der, :not_encrypted} <- :public_key.pem_decode(pem), do: der)
end
