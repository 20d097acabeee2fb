defmodule Wasmex.CLI.Options do
  @moduledoc false
  # Command lines, read by `OptionParser`. This module adds types of values, and errors that name the nearest option.

  alias Wasmex.Quantity

  @type type :: :flag | :string | :integer | :duration | :size | :pair | {:keep, type()}

  # Every task has these.
  @common [help: :flag, version: :flag]
  @common_aliases [h: :help]

  @doc """
  Parses `argv` by `switches`, a keyword list of name to type:

  - `:flag`, `:string`, `:integer`, `:duration` (ms), `:size` (bytes),
  - `:pair`: `K=V` as a tuple,
  - `{:keep, type}`: may be repeated, and is a list.

  `--help`, `-h` and `--version` are always there. With `head: true` parsing ends at the first word that is no option:
  what follows belongs to a program. `aliases:` are as in `OptionParser`.
  Returns `{:ok, options, rest}` or `{:error, text}`.
  """
  @spec parse([String.t()], [{atom(), type()}], keyword()) ::
          {:ok, keyword(), [String.t()]} | {:error, String.t()}
  def parse(argv, switches, opts \\ []) do
    switches = switches ++ @common
    aliases = Keyword.get(opts, :aliases, []) ++ @common_aliases
    strict = Enum.map(switches, fn {name, type} -> {name, parser_type(type)} end)
    parser = if opts[:head], do: &OptionParser.parse_head/2, else: &OptionParser.parse/2
    {found, rest, invalid} = parser.(argv, strict: strict, aliases: aliases)

    cond do
      found[:help] || found[:version] -> {:ok, Keyword.take(found, [:help, :version]), rest}
      invalid != [] -> {:error, invalid |> hd() |> problem(argv, switches, aliases)}
      true -> convert_all(found, switches, rest)
    end
  end

  defp parser_type(:flag), do: :boolean
  defp parser_type({:keep, _type}), do: [:string, :keep]
  defp parser_type(_type), do: :string

  # What OptionParser rejects: an option it does not know, one without its value, a flag with one.
  defp problem({word, value}, argv, switches, aliases) do
    case {known(word, switches, aliases), value} do
      {nil, _} -> unknown(word, switches)
      {{name, :flag}, value} -> "--#{dashed(name)}: takes no value, got #{inspect(value)}"
      {{name, _type}, nil} -> missing(name, word, argv)
    end
  end

  defp known("--" <> text, switches, _aliases),
    do: Enum.find(switches, fn {name, _} -> dashed(name) == text end)

  defp known("-" <> letter, switches, aliases) do
    with {_, name} <- Enum.find(aliases, fn {short, _} -> Atom.to_string(short) == letter end),
         do: {name, switches[name]}
  end

  # An option in the place of a value: the value was forgotten, or begins with a dash.
  defp missing(name, word, argv) do
    case argv |> Enum.drop_while(&(&1 != word)) |> Enum.drop(1) do
      [next | _] ->
        "--#{dashed(name)}: a value is missing before #{next}; write --#{dashed(name)}=#{next} if that is the value"

      [] ->
        "--#{dashed(name)}: a value is missing"
    end
  end

  defp dashed(name), do: name |> Atom.to_string() |> String.replace("_", "-")

  defp unknown(word, switches) do
    known = switches |> Keyword.keys() |> Enum.map(&("--" <> dashed(&1)))
    nearest = Enum.max_by(known, &String.jaro_distance(word, &1))

    if String.jaro_distance(word, nearest) > 0.75,
      do: "#{word}: unknown option, did you mean #{nearest}?",
      else: "#{word}: unknown option; there are #{Enum.join(known, ", ")}"
  end

  defp convert_all(found, switches, rest) do
    Enum.reduce_while(found, {:ok, [], rest}, fn {name, word}, {:ok, done, rest} ->
      case convert(switches[name], word) do
        {:ok, value} -> {:cont, {:ok, put(done, name, switches[name], value), rest}}
        {:error, text} -> {:halt, {:error, "--#{dashed(name)}: #{text}"}}
      end
    end)
  end

  defp convert({:keep, type}, word), do: convert(type, word)
  defp convert(type, value) when type in [:string, :flag], do: {:ok, value}
  defp convert(:duration, word), do: Quantity.duration(word)
  defp convert(:size, word), do: Quantity.size(word)

  defp convert(:integer, word) do
    case Integer.parse(word) do
      {number, ""} when number >= 0 -> {:ok, number}
      _ -> {:error, "expected a number from 0 on, got #{inspect(word)}"}
    end
  end

  defp convert(:pair, word) do
    case String.split(word, "=", parts: 2) do
      [<<_, _::binary>> = key, value] -> {:ok, {key, value}}
      _ -> {:error, "expected NAME=VALUE, got #{inspect(word)}"}
    end
  end

  defp put(done, name, {:keep, _}, value),
    do: Keyword.update(done, name, [value], &(&1 ++ [value]))

  defp put(done, name, _type, value), do: Keyword.put(done, name, value)
end
