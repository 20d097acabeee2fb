defmodule Wasmex.Model.PropEr do
  @moduledoc """
  PropEr (Debian's `erlang-proper`) without its macros, which are Erlang's, and a run of properties until time is up.
  """

  @doc "`?FORALL`. What is raised is a property that does not hold: Debian's PropEr knows no stacktraces of OTP 24 and later."
  def forall(type, property) do
    :proper.forall(type, fn instance ->
      try do
        property.(instance)
      rescue
        error ->
          IO.puts(Exception.format(:error, error, __STACKTRACE__))
          false
      end
    end)
  end

  @doc "`?LET`"
  def let(type, function), do: :proper_types.bind(type, function, false)

  @doc "`?SIZED`"
  def sized(function), do: :proper_types.sized(function)

  @doc "`?LAZY`"
  def lazy(function), do: :proper_types.lazy(function)

  def oneof(types), do: :proper_types.oneof(types)
  def frequency(types), do: :proper_types.frequency(types)
  def integer(from, to), do: :proper_types.integer(from, to)
  def exactly(term), do: :proper_types.exactly(term)
  def tuple(types), do: :proper_types.tuple(types)
  def fixed_list(types), do: :proper_types.fixed_list(types)
  def list(type), do: :proper_types.list(type)
  def list(type, most), do: let(integer(0, most), &:proper_types.vector(&1, type))
  def binary, do: :proper_types.binary()
  def boolean, do: :proper_types.boolean()
  def resize(size, type), do: :proper_types.resize(size, type)

  @doc "A property of a state machine (`:proper_statem`): `run.(commands)` says whether it held."
  def machine(module, size, run) do
    :proper_types.resize(size, :proper_statem.commands(module)) |> forall(run)
  end

  @doc """
  Tries the property until the deadline (ms of the monotonic clock), at least once. How many tests there were, or
  `{:failed, counterexample}`: the smallest one that was found.
  """
  def check(property, deadline, batch \\ 50), do: check(property, deadline, batch, 0)

  defp check(property, deadline, batch, tests) do
    case :proper.quickcheck(property, [:quiet, :long_result, numtests: batch]) do
      true ->
        if System.monotonic_time(:millisecond) < deadline,
          do: check(property, deadline, batch, tests + batch),
          else: tests + batch

      counterexample ->
        {:failed, counterexample}
    end
  end
end
