defmodule Wasmex.Options.Type.Address do
  @moduledoc false
  # An entry of an allow-list: an address, a network or a name, with an optional port or range of ports. It is converted for
  # `native/wasmex/src/wasi/rules.rs` to `{kind, text, first_port, last_port}`, where kind is `:any`, `:ip` (the text is an
  # address with a prefix length, "10.0.0.0/8"), `:name` or `:glob`.

  use Wasmex.Options.Type

  @type rule ::
          {:any | :ip | :name | :glob, String.t(), :inet.port_number(), :inet.port_number()}

  @impl true
  def cast(text) do
    case rule(text) do
      {:ok, _rule} -> {:ok, text}
      {:error, expected} -> {:error, "", expected, text}
    end
  end

  @impl true
  def expected,
    do: ~s|an address such as "10.0.0.5:5432", "10.0.0.0/8" or "*.internal:8000-8999"|

  @impl true
  def spec, do: quote(do: String.t())

  @impl true
  def example, do: ~s|"10.0.0.5:5432"|

  @impl true
  @spec native(String.t()) :: rule()
  def native(text) do
    {:ok, rule} = rule(text)
    rule
  end

  defp rule(text) when is_binary(text) do
    with {:ok, host, ports} <- split(text),
         {:ok, first, last} <- ports(ports),
         {:ok, kind, target} <- target(host),
         do: {:ok, {kind, target, first, last}}
  end

  defp rule(_other), do: {:error, expected()}

  defp split(text) do
    case Regex.run(~r/\A(?:\[([0-9a-fA-F:.\/]+)\]|([^:\[\]]+))(?::([\d-]+))?\z/, text) do
      [_, "", host | ports] ->
        {:ok, host, ports}

      [_, ip | ports] ->
        if ip?(ip), do: {:ok, ip, Enum.drop(ports, 1)}, else: {:error, expected()}

      # An IPv6 address without a port needs no brackets.
      nil ->
        if ip?(text), do: {:ok, text, []}, else: {:error, expected()}
    end
  end

  defp ports([]), do: {:ok, 0, 65_535}

  defp ports([text]) do
    case Regex.run(~r/\A(\d{1,5})(?:-(\d{1,5}))?\z/, text) do
      [_, port] -> ports(port, port)
      [_, first, last] -> ports(first, last)
      nil -> {:error, expected()}
    end
  end

  defp ports(first, last) do
    {first, last} = {String.to_integer(first), String.to_integer(last)}

    if first <= last and last <= 65_535,
      do: {:ok, first, last},
      else: {:error, "a port up to 65535, or a range of ports with the lower one first"}
  end

  defp target("*"), do: {:ok, :any, ""}

  defp target(host) do
    case ip(host) do
      {:ok, ip} -> {:ok, :ip, ip}
      :error -> name(host)
    end
  end

  defp ip?(text), do: ip(text) != :error

  defp ip(text) do
    {address, bits} =
      case String.split(text, "/", parts: 2) do
        [address] -> {address, nil}
        [address, bits] -> {address, bits}
      end

    with true <- String.valid?(address),
         {:ok, ip} <- :inet.parse_strict_address(to_charlist(address)),
         {:ok, bits} <- bits(bits, if(tuple_size(ip) == 4, do: 32, else: 128)) do
      {:ok, "#{:inet.ntoa(ip)}/#{bits}"}
    else
      _ -> :error
    end
  end

  defp bits(nil, width), do: {:ok, width}

  defp bits(text, width) do
    case Wasmex.Quantity.natural(text) do
      {:ok, bits} when bits in 0..width//1 -> {:ok, bits}
      _ -> :error
    end
  end

  defp name(text) do
    cond do
      not (text =~ ~r/\A[a-zA-Z0-9*]([a-zA-Z0-9._*-]*[a-zA-Z0-9*])?\z/) -> {:error, expected()}
      # "300.1.1.1" is most likely a mistake, not a name.
      text =~ ~r/\A[\d.]+\z/ -> {:error, expected()}
      text =~ "*" -> {:ok, :glob, text}
      true -> {:ok, :name, text}
    end
  end

  @impl true
  def repeats?, do: true
end
