defmodule Wasmex.CLI.Options do
  @moduledoc false
  # Command lines: an unknown option names the nearest one there is.

  alias Wasmex.Quantity

  @doc """
  Parses `argv` by `switches`, a keyword list of name to type:

  - `:flag`, `:string`, `:integer`, `:duration` (ms), `:size` (bytes),
  - `:pair`: `K=V` as a tuple,
  - `{:keep, type}`: may be given several times, and is a list.

  With `head: true` options end at the first word that is none: what follows belongs to a program.
  Returns `{:ok, options, rest}` or `{:error, text}`.
  """
  @spec parse([String.t()], keyword(), keyword()) ::
          {:ok, keyword(), [String.t()]} | {:error, String.t()}
  def parse(argv, switches, opts \\ []),
    do: parse(argv, switches, Keyword.merge([head: false, aliases: []], opts), [], [])

  defp parse([], _switches, _opts, found, rest), do: done(found, rest)
  defp parse(["--" | words], _switches, _opts, found, rest), do: done(found, rest, words)

  defp parse([<<"-", _, _::binary>> = word | argv], switches, opts, found, rest) do
    with {:ok, name, inline} <- name(word, switches, opts[:aliases]),
         {:ok, value, argv} <- value(name, switches[name], inline, argv) do
      parse(argv, switches, opts, put(found, name, switches[name], value), rest)
    end
  end

  defp parse([word | argv], switches, opts, found, rest) do
    if opts[:head],
      do: done(found, rest, [word | argv]),
      else: parse(argv, switches, opts, found, [word | rest])
  end

  defp done(found, rest, words \\ []), do: {:ok, found, Enum.reverse(rest, words)}

  # --max-memory=1MiB is max_memory and "1MiB".
  defp name("--" <> text, switches, _aliases) do
    {text, inline} =
      case String.split(text, "=", parts: 2) do
        [text, inline] -> {text, inline}
        [text] -> {text, nil}
      end

    case Enum.find(Keyword.keys(switches), &(dashed(&1) == text)) do
      nil -> {:error, unknown("--" <> text, switches)}
      name -> {:ok, name, inline}
    end
  end

  defp name("-" <> letter = word, switches, aliases) do
    case Enum.find(aliases, fn {short, _} -> Atom.to_string(short) == letter end) do
      {_, name} -> {:ok, name, nil}
      nil -> {:error, unknown(word, switches)}
    end
  end

  defp dashed(name), do: name |> Atom.to_string() |> String.replace("_", "-")

  defp unknown(word, switches) do
    known = switches |> Keyword.keys() |> Enum.map(&("--" <> dashed(&1)))
    nearest = Enum.max_by(known, &String.jaro_distance(word, &1), fn -> "" end)

    if String.jaro_distance(word, nearest) > 0.75,
      do: "#{word}: unknown option, did you mean #{nearest}?",
      else: "#{word}: unknown option; there are #{Enum.join(known, ", ")}"
  end

  defp value(_name, :flag, nil, argv), do: {:ok, true, argv}

  defp value(name, :flag, inline, _argv),
    do: {:error, "--#{dashed(name)}: takes no value, got #{inspect(inline)}"}

  defp value(name, _type, nil, []), do: {:error, "--#{dashed(name)}: a value is missing"}

  # An option in the place of a value means that the value was forgotten; --name=--value is meant.
  defp value(name, _type, nil, ["--" <> _ = word | _argv]),
    do:
      {:error,
       "--#{dashed(name)}: a value is missing, there is #{word}; write --#{dashed(name)}=… if that is it"}

  defp value(name, type, nil, [word | argv]), do: read(name, type, word, argv)
  defp value(name, type, inline, argv), do: read(name, type, inline, argv)

  defp read(name, type, word, argv) do
    case convert(type, word) do
      {:ok, value} -> {:ok, value, argv}
      {:error, text} -> {:error, "--#{dashed(name)}: #{text}"}
    end
  end

  defp convert({:keep, type}, word), do: convert(type, word)
  defp convert(:string, word), do: {:ok, word}
  defp convert(:duration, word), do: Quantity.duration(word)
  defp convert(:size, word), do: Quantity.size(word)

  defp convert(:integer, word) do
    case Integer.parse(word) do
      {number, ""} when number >= 0 -> {:ok, number}
      _ -> {:error, "expected a number, got #{inspect(word)}"}
    end
  end

  defp convert(:pair, word) do
    case String.split(word, "=", parts: 2) do
      [<<_, _::binary>> = key, value] -> {:ok, {key, value}}
      _ -> {:error, "expected NAME=VALUE, got #{inspect(word)}"}
    end
  end

  defp put(found, name, {:keep, _}, value),
    do: Keyword.update(found, name, [value], &(&1 ++ [value]))

  defp put(found, name, _type, value), do: Keyword.put(found, name, value)
end
