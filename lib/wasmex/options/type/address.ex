defmodule Wasmex.Options.Type.Address do
  @moduledoc false
  # An entry of an allow-list: an address or a name, with or without a port. The native side reads
  # `{kind, text, port | nil}`, where kind is `:any`, `:ip`, `:name` or `:suffix`.

  use Wasmex.Options.Type

  @impl true
  def cast(text) do
    case rule(text) do
      {:ok, _rule} -> {:ok, text}
      {:error, expected} -> {:error, "", expected, text}
    end
  end

  @impl true
  def expected, do: ~s|an address such as "10.0.0.5:5432" or "*.internal:443"|

  @impl true
  def spec, do: quote(do: String.t())

  @impl true
  def example, do: ~s|"10.0.0.5:5432"|

  @impl true
  def native(text) do
    {:ok, rule} = rule(text)
    rule
  end

  defp rule(text) when is_binary(text) do
    with {:ok, host, port} <- split(text) do
      cond do
        port != nil and port > 65_535 -> {:error, "a port up to 65535"}
        host == "*" -> {:ok, {:any, "", port}}
        ip?(host) -> {:ok, {:ip, host, port}}
        not name?(host) -> {:error, expected()}
        String.starts_with?(host, "*") -> {:ok, {:suffix, String.slice(host, 1..-1//1), port}}
        true -> {:ok, {:name, host, port}}
      end
    end
  end

  defp rule(_other), do: {:error, expected()}

  defp split(text) do
    case Regex.run(~r/\A(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::(\d{1,5}))?\z/, text) do
      [_, "", host | port] ->
        {:ok, host, port(port)}

      [_, ip | port] ->
        if ip?(ip), do: {:ok, ip, port |> Enum.drop(1) |> port()}, else: {:error, expected()}

      # An IPv6 address without a port may come without brackets.
      nil ->
        if ip?(text), do: {:ok, text, nil}, else: {:error, expected()}
    end
  end

  defp port([]), do: nil
  defp port([digits]), do: String.to_integer(digits)

  defp ip?(host),
    do: String.valid?(host) and match?({:ok, _}, :inet.parse_strict_address(to_charlist(host)))

  defp name?(host), do: host =~ ~r/\A(\*\.)?[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?\z/

  @impl true
  def repeats?, do: true
end
