defmodule Wasmex.CLI.Invocation do
  @moduledoc false
  # `--invoke`: a function call and its results as text.
  #
  #     --invoke 'add(2, 3)' FILE       a call in WAVE
  #     --invoke add FILE 2 3           one argument per word; strings and characters need no quotes

  alias Wasmex.{Error, Wave}
  alias Wasmex.Program.Kind

  defstruct [:name, :params, :results]

  @type t :: %__MODULE__{name: String.t(), params: [term()], results: [Wave.type()]}

  @doc """
  Parses the call from `text` and the words after FILE. The error is `:function` if there is no such function and
  `:arguments` if they do not match its parameters.
  """
  @spec new(module(), Kind.compiled(), String.t(), [String.t()]) ::
          {:ok, t()} | {:error, :function | :arguments, String.t()}
  def new(kind, compiled, text, words) do
    {name, call} = split(text)

    with {:function, {:ok, {name, types, results}}} <- {:function, kind.function(compiled, name)},
         {:arguments, {:ok, params}} <- {:arguments, params(name, types, call, words)} do
      {:ok, %__MODULE__{name: name, params: params, results: results}}
    else
      {what, {:error, text}} -> {:error, what, text}
    end
  end

  # `name(…)`. Function names contain no parenthesis.
  defp split(text) do
    case :binary.match(text, "(") do
      {at, _} ->
        {text |> binary_part(0, at) |> String.trim(), binary_part(text, at, byte_size(text) - at)}

      :nomatch ->
        {text, nil}
    end
  end

  defp params(name, types, nil, words) do
    if length(types) == length(words),
      do: types |> Enum.zip(words) |> collect(fn {type, word} -> param(name, type, word) end),
      else:
        {:error,
         "#{name} takes #{length(types)} parameters (#{list(types)}), got #{length(words)}"}
  end

  defp params(name, types, call, []) do
    with {:error, error} <- Wave.parse_params(call, types),
         do: {:error, "#{name}: #{Exception.message(error)}"}
  end

  defp params(name, _types, _call, [word | _]),
    do: {:error, "#{name} already has its arguments in --invoke; also got #{word}"}

  defp param(_name, type, word) when type in [:string, :char] do
    # A quoted word is WAVE.
    case Wave.parse(word, type) do
      {:ok, value} -> {:ok, value}
      {:error, _} -> {:ok, word}
    end
  end

  defp param(name, type, word) do
    with {:error, error} <- Wave.parse(word, type),
         do: {:error, "#{name}: #{inspect(word)}: #{Exception.message(error)}"}
  end

  defp collect(items, function) do
    Enum.reduce_while(items, {:ok, []}, fn item, {:ok, done} ->
      case function.(item) do
        {:ok, value} -> {:cont, {:ok, done ++ [value]}}
        error -> {:halt, error}
      end
    end)
  end

  defp list(types), do: Enum.map_join(types, ", ", &type/1)

  defp type({:reference, text}), do: text
  defp type(type) when type in [:i32, :i64, :v128], do: Atom.to_string(type)

  defp type(type) do
    case Wave.type(type) do
      {:ok, text} -> text
      {:error, %Error{}} -> inspect(type)
    end
  end

  @doc "The results as WAVE, one per line. Values without a text form are inspected."
  @spec print(t(), [term()]) :: [String.t()]
  def print(%__MODULE__{results: types}, results) do
    for {value, type} <- Enum.zip(results, types), do: text(value, type)
  end

  defp text(value, type) when type in [:i32, :i64, :v128] and is_integer(value),
    do: Integer.to_string(value)

  defp text(value, type) do
    case Wave.print(value, type) do
      {:ok, text} -> text
      {:error, %Error{}} -> inspect(value)
    end
  end
end
