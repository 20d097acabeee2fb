defmodule Wasmex.CLI.Options do
  @moduledoc false
  # Command lines, read by `OptionParser`. The flags are those of a table's rows (see `Wasmex.CLI.Flag`); this module adds
  # their types, and errors that name the nearest flag.

  alias Wasmex.CLI.Flag
  alias Wasmex.Options
  alias Wasmex.Options.Type

  @doc """
  Parses `argv` by the flags of a table. Values are of the rows' types, under the rows' names; flags that may be repeated
  are lists.

  `--help`, `-h` and `--version` are always there. With `head: true` parsing ends at the first word that is no flag:
  what follows belongs to a program. Returns `{:ok, options, rest}` or `{:error, text}`.
  """
  @spec parse([String.t()], Options.t(), keyword()) ::
          {:ok, keyword(), [String.t()]} | {:error, String.t()}
  def parse(argv, table, opts \\ []) do
    flags = Flag.all(table)
    strict = Enum.map(flags, &{&1.switch, Flag.parser_type(&1)})
    aliases = for %{alias: short, switch: switch} <- flags, short, do: {short, switch}
    parser = if opts[:head], do: &OptionParser.parse_head/2, else: &OptionParser.parse/2
    {found, rest, invalid} = parser.(argv, strict: strict, aliases: aliases)

    cond do
      found[:help] || found[:version] -> {:ok, Keyword.take(found, [:help, :version]), rest}
      invalid != [] -> {:error, invalid |> hd() |> problem(argv, flags)}
      true -> with {:ok, options} <- values(found, flags), do: {:ok, options, rest}
    end
  end

  # What OptionParser rejects: a flag it does not know, one without its value, one with a value that takes none.
  defp problem({word, value}, argv, flags) do
    case {Enum.find(flags, &named?(&1, word)), value} do
      {nil, _} ->
        unknown(word, flags)

      {%{row: %{type: :boolean}} = flag, value} ->
        "#{Flag.name(flag)}: takes no value, got #{inspect(value)}"

      {flag, nil} ->
        missing(Flag.name(flag), word, argv)
    end
  end

  defp named?(%{alias: nil} = flag, word), do: Flag.name(flag) == word
  defp named?(flag, word), do: word in [Flag.name(flag), "-#{flag.alias}"]

  # A flag in the place of a value: the value was forgotten, or begins with a dash.
  defp missing(name, word, argv) do
    case argv |> Enum.drop_while(&(&1 != word)) |> Enum.drop(1) do
      [next | _] ->
        "#{name}: a value is missing before #{next}; write #{name}=#{next} if that is the value"

      [] ->
        "#{name}: a value is missing"
    end
  end

  defp unknown(word, flags) do
    known = Enum.map(flags, &Flag.name/1)
    nearest = Enum.max_by(known, &String.jaro_distance(word, &1))

    if String.jaro_distance(word, nearest) > 0.75,
      do: "#{word}: unknown option, did you mean #{nearest}?",
      else: "#{word}: unknown option; there are #{Enum.join(known, ", ")}"
  end

  defp values(found, flags) do
    Enum.reduce_while(flags, {:ok, []}, fn flag, {:ok, options} ->
      with [_ | _] = words <- Keyword.get_values(found, flag.switch),
           {:ok, value} <- value(flag, words) do
        {:cont, {:ok, [{flag.row.name, value} | options]}}
      else
        [] -> {:cont, {:ok, options}}
        {:error, text} -> {:halt, {:error, "#{Flag.name(flag)}: #{text}"}}
      end
    end)
  end

  defp value(%{row: %{type: :boolean}}, values), do: {:ok, List.last(values)}

  defp value(%{row: %{type: type}}, words) do
    if Type.repeats?(type),
      do: with({:ok, values} <- parse_all(type, words), do: check(type, values)),
      else: with({:ok, value} <- Type.parse(type, List.last(words)), do: check(type, value))
  end

  defp parse_all(type, words) do
    Enum.reduce_while(words, {:ok, []}, fn word, {:ok, values} ->
      case Type.parse(type, word) do
        {:ok, value} -> {:cont, {:ok, values ++ [value]}}
        error -> {:halt, error}
      end
    end)
  end

  # The value as it was written is handed on: who gets it casts it once more.
  defp check(type, value) do
    case Type.cast(type, value) do
      {:ok, _} -> {:ok, value}
      {:error, _at, expected, got} -> {:error, "expected #{expected}, got #{inspect(got)}"}
    end
  end
end
