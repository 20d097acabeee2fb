defmodule Wasmex.Quantity do
  @moduledoc false
  # Parses and formats times, sizes and other numbers.

  @durations %{
    "us" => 0.001,
    "ms" => 1,
    "" => 1_000,
    "s" => 1_000,
    "m" => 60_000,
    "h" => 3_600_000
  }
  @sizes %{
    "" => 1,
    "b" => 1,
    "kb" => 1_000,
    "mb" => 1_000_000,
    "gb" => 1_000_000_000,
    "k" => 1024,
    "m" => 1_048_576,
    "g" => 1_073_741_824,
    "kib" => 1024,
    "mib" => 1_048_576,
    "gib" => 1_073_741_824
  }

  @doc "A number from outside, in at most 19 digits and without a sign: `Integer.parse/1` accepts `\"+80\"`."
  @spec natural(String.t()) :: {:ok, non_neg_integer()} | :error
  def natural(text) when byte_size(text) in 1..19, do: digits(text, 0)
  def natural(_text), do: :error

  defp digits(<<digit, rest::binary>>, sum) when digit in ?0..?9,
    do: digits(rest, sum * 10 + digit - ?0)

  defp digits("", sum), do: {:ok, sum}
  defp digits(_text, _sum), do: :error

  @doc "Milliseconds: `\"2s\"`, `\"150ms\"`, `\"1.5m\"`; a bare number is seconds."
  @spec duration(String.t()) :: {:ok, non_neg_integer()} | {:error, String.t()}
  def duration(text), do: read(text, @durations, "a time such as 500ms, 2s or 1m")

  @doc "Bytes: `\"4096\"`, `\"64MiB\"`, `\"1GB\"`."
  @spec size(String.t()) :: {:ok, non_neg_integer()} | {:error, String.t()}
  def size(text), do: read(text, @sizes, "a size such as 65536, 64MiB or 1GB")

  defp read(text, units, expected) do
    with [_, whole, part, unit] <- Regex.run(~r/\A(\d{1,18})(\.\d{1,9})?\s*([a-zA-Z]*)\z/, text),
         {:ok, factor} <- Map.fetch(units, String.downcase(unit)) do
      # Integers are exact. A non-zero time is at least one millisecond.
      number = round(String.to_integer(whole) * factor + fraction(part) * factor)
      {:ok, if(number == 0 and text =~ ~r/[1-9]/, do: 1, else: number)}
    else
      _ -> {:error, "expected #{expected}, got #{inspect(text, printable_limit: 40)}"}
    end
  end

  defp fraction(""), do: 0

  defp fraction(part) do
    {fraction, ""} = Float.parse("0" <> part)
    fraction
  end

  @doc "Formats a size: `\"2.5 MB\"`."
  @spec bytes(non_neg_integer()) :: String.t()
  def bytes(n) when n < 1_000, do: "#{n} B"
  def bytes(n) when n < 1_000_000, do: "#{Float.round(n / 1_000, 1)} kB"
  def bytes(n) when n < 1_000_000_000, do: "#{Float.round(n / 1_000_000, 1)} MB"
  def bytes(n), do: "#{Float.round(n / 1_000_000_000, 2)} GB"

  @doc "Formats microseconds: `\"1.5 ms\"`."
  @spec time(non_neg_integer()) :: String.t()
  def time(us) when us < 1_000, do: "#{us} µs"
  def time(us) when us < 1_000_000, do: "#{Float.round(us / 1_000, 1)} ms"
  def time(us), do: "#{Float.round(us / 1_000_000, 2)} s"
end
