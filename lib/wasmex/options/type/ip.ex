defmodule Wasmex.Options.Type.IP do
  @moduledoc false
  # An address to listen on, in the form of `:inet`.

  use Wasmex.Options.Type

  @impl true
  def cast(ip) when tuple_size(ip) in [4, 8] do
    if :inet.ntoa(ip) == {:error, :einval}, do: problem(ip), else: {:ok, ip}
  end

  def cast(other), do: problem(other)

  defp problem(other), do: {:error, "", "#{expected()} such as #{example()}", other}

  @impl true
  def expected, do: "an IP address as a tuple"

  @impl true
  def spec, do: quote(do: :inet.ip_address())

  @impl true
  def example, do: "{127, 0, 0, 1}"

  @impl true
  def parse(word) do
    case word |> String.to_charlist() |> :inet.parse_address() do
      {:ok, ip} -> {:ok, ip}
      {:error, _} -> {:error, "expected an IP address, got #{inspect(word)}"}
    end
  end
end
