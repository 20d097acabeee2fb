defmodule Wasmex.Model.KeyValues do
  @moduledoc """
  Key-value stores of components in a table with limits: what is in them, in which order keys are listed, and what is
  refused.
  """

  @behaviour :proper_statem

  import Wasmex.Model.PropEr

  alias Wasmex.Components.KeyValue

  @store "wasi:keyvalue/store@0.2.0-draft"
  @atomics "wasi:keyvalue/atomics@0.2.0-draft"
  @batch "wasi:keyvalue/batch@0.2.0-draft"
  @names ["a", "b"]
  @limits [max_keys: 4, max_bytes: 60, max_value: 16, max_key: 6]

  # `{name, key}` with the value, and the order of setting.
  defstruct pairs: %{}, order: []

  @doc "The property."
  def property do
    machine(__MODULE__, 80, fn commands ->
      imports = KeyValue.imports(KeyValue.ETS.new(@names, @limits))
      {_, _, result} = :proper_statem.run_commands(__MODULE__, commands, imports: imports)
      result == :ok
    end)
  end

  @impl true
  def initial_state, do: %__MODULE__{}

  @impl true
  def command(_state) do
    {:call, __MODULE__, :run,
     [
       {:var, :imports},
       frequency([
         {6, tuple([:set, name(), key(), value()])},
         {3, tuple([:get, name(), key()])},
         {2, tuple([:exists, name(), key()])},
         {3, tuple([:delete, name(), key()])},
         {3, tuple([:increment, name(), key(), oneof([0, 1, 5, 0xFFFF_FFFF_FFFF_FFFF])])},
         {2, tuple([:keys, name()])},
         {1, tuple([:set_many, name(), list(tuple([key(), value()]), 4)])},
         {1, tuple([:get_many, name(), list(key(), 4)])},
         {1, tuple([:delete_many, name(), list(key(), 3)])}
       ])
     ]}
  end

  defp name, do: oneof(@names ++ ["none"])
  defp key, do: oneof(["", "k", "l", "m", "key", "longest", "n"])
  defp value, do: oneof([binary(), exactly(<<7::little-64>>), exactly(String.duplicate("v", 16))])

  @doc "One operation, as a component does it."
  def run(imports, operation) do
    {:fn, open} = imports[@store]["open"]

    with {:ok, bucket} <- operation |> elem(1) |> open.() do
      {interface, name, args} = function(operation)
      {:fn, function} = imports[interface][name]
      apply(function, [bucket | args])
    end
  end

  defp function({:set, _, key, value}), do: {@store, "[method]bucket.set", [key, value]}
  defp function({:get, _, key}), do: {@store, "[method]bucket.get", [key]}
  defp function({:exists, _, key}), do: {@store, "[method]bucket.exists", [key]}
  defp function({:delete, _, key}), do: {@store, "[method]bucket.delete", [key]}
  defp function({:keys, _}), do: {@store, "[method]bucket.list-keys", [:none]}
  defp function({:increment, _, key, delta}), do: {@atomics, "increment", [key, delta]}
  defp function({:set_many, _, pairs}), do: {@batch, "set-many", [pairs]}
  defp function({:get_many, _, keys}), do: {@batch, "get-many", [keys]}
  defp function({:delete_many, _, keys}), do: {@batch, "delete-many", [keys]}

  @impl true
  def precondition(_state, _call), do: true

  @impl true
  def next_state(state, _result, {:call, _, :run, [_, operation]}),
    do: operation |> step(state) |> elem(1)

  @impl true
  def postcondition(state, {:call, _, :run, [_, operation]}, result) do
    case {operation |> step(state) |> elem(0), result} do
      {:refused, {:error, {"other", text}}} -> is_binary(text)
      {expected, result} -> expected == result
    end
  end

  defp step(operation, state) when elem(operation, 1) not in @names,
    do: {{:error, "no-such-store"}, state}

  defp step({:get, name, key}, state) do
    case state.pairs do
      %{{^name, ^key} => value} -> {{:ok, {:some, value}}, state}
      _ -> {{:ok, :none}, state}
    end
  end

  defp step({:exists, name, key}, state), do: {{:ok, is_map_key(state.pairs, {name, key})}, state}

  defp step({:keys, name}, state) do
    keys = for {^name, key} <- Enum.reverse(state.order), do: key
    {{:ok, %{"keys" => keys, "cursor" => :none}}, state}
  end

  defp step({:set, name, key, value}, state), do: put(state, {name, key}, value, :ok)

  defp step({:delete, name, key}, state) do
    pair = {name, key}
    {:ok, %{state | pairs: Map.delete(state.pairs, pair), order: List.delete(state.order, pair)}}
  end

  defp step({:increment, name, key, delta}, state) do
    case Map.get(state.pairs, {name, key}, <<0::64>>) do
      <<number::little-64>> ->
        sum = rem(number + delta, 0x1_0000_0000_0000_0000)
        put(state, {name, key}, <<sum::little-64>>, {:ok, sum})

      _ ->
        {:refused, state}
    end
  end

  # One after the other; the first that is refused ends it.
  defp step({:set_many, name, pairs}, state) do
    Enum.reduce_while(pairs, {:ok, state}, fn {key, value}, {:ok, state} ->
      case step({:set, name, key, value}, state) do
        {:ok, state} -> {:cont, {:ok, state}}
        refused -> {:halt, refused}
      end
    end)
  end

  defp step({:delete_many, name, keys}, state) do
    {:ok, Enum.reduce(keys, state, &(step({:delete, name, &1}, &2) |> elem(1)))}
  end

  defp step({:get_many, name, keys}, state) do
    found =
      for key <- keys do
        case state.pairs do
          %{{^name, ^key} => value} -> {:some, {key, value}}
          _ -> :none
        end
      end

    {{:ok, found}, state}
  end

  defp put(state, {_name, key} = pair, value, result) do
    limits = Map.new(@limits)
    new? = not is_map_key(state.pairs, pair)
    pairs = Map.put(state.pairs, pair, value)

    if byte_size(key) > limits.max_key or byte_size(value) > limits.max_value or
         (new? and map_size(pairs) > limits.max_keys) or
         (bytes(pairs) > bytes(state.pairs) and bytes(pairs) > limits.max_bytes),
       do: {:refused, state},
       else:
         {result,
          %{state | pairs: pairs, order: if(new?, do: [pair | state.order], else: state.order)}}
  end

  defp bytes(pairs),
    do: Enum.sum(for {{_, key}, value} <- pairs, do: byte_size(key) + byte_size(value))
end
