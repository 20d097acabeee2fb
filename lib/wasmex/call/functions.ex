defmodule Wasmex.Call.Functions do
  @moduledoc false
  # The Elixir functions of an import table, as the NIF takes them: `{function, namespace, name}` as a tuple.
  #
  # They are copied into the table, and out of it once per call, with all that they hold. A table of functions that hold
  # large terms is marked, so that this is done on dirty schedulers.

  alias Wasmex.Native

  # How deep functions in functions are looked for.
  @depth 8

  @doc "The table."
  @spec table([{term(), String.t(), String.t()}]) :: tuple() | {:large, tuple()}
  def table(functions) do
    held =
      for {function, _namespace, _name} <- functions, term <- held(function, @depth), do: term

    table = List.to_tuple(functions)
    if held != [] and Native.term_is_large(held), do: {:large, table}, else: table
  end

  defp held({:plain, function}, depth), do: held(function, depth)
  defp held({:signed, function, _types}, depth), do: held(function, depth)

  defp held(function, depth) when is_function(function) and depth > 0 do
    {:env, held} = :erlang.fun_info(function, :env)
    Enum.flat_map(held, &held(&1, depth - 1))
  end

  defp held(term, _depth), do: [term]
end
