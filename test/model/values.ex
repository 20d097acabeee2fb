defmodule Wasmex.Model.Values do
  @moduledoc """
  Values of components: of any type, any value comes back from a component that returns what it is given, and what is no
  value of the type is refused, after which the component goes on.
  """

  import Wasmex.Model.PropEr

  alias Wasmex.Components.{Component, Instance, Store}
  alias Wasmex.{EchoComponent, Engine, Error}

  @scalars [:bool, :u8, :s8, :u16, :s16, :u32, :s32, :u64, :s64, :f32, :f64, :char, :string]
  # Parameters that make all travel through memory, see `EchoComponent`.
  @padding List.duplicate(7, 17)

  @doc "The property."
  def property do
    sized(fn size -> let(type(min(div(size, 8), 4)), &trial/1) end)
    |> forall(fn {type, values, wrong} -> holds?(type, values, wrong) end)
  end

  defp trial(type) do
    tuple([exactly(type), list(value(type), 5), list(mistake(value(type)), 5)])
  end

  defp holds?(type, values, wrong) do
    {:ok, component} = Component.compile(Engine.default(), EchoComponent.wat(type))
    {:ok, store} = Store.new()
    {:ok, instance} = Instance.instantiate(store, component, %{})
    echo = &Instance.call(instance, "echo", [{&1, 1, 2} | @padding])
    same? = fn value -> echo.(value) == {:ok, {value, 1, 2}} end
    # Some mistakes are values after all.
    refused? = &(same_or_refused?(&1, echo.(&1)) and Enum.all?(Enum.take(values, 1), same?))
    held? = Enum.all?(values, same?) and Enum.all?(wrong, refused?)
    Store.close(store)
    held?
  end

  # It may come back in another form, such as a map for a keyword list, but no number may be another one.
  defp same_or_refused?(given, {:ok, {value, 1, 2}}), do: integers(value) -- integers(given) == []

  defp same_or_refused?(_given, {:error, %Error{reason: :conversion} = error}),
    do: is_binary(Exception.message(error))

  defp same_or_refused?(_given, _other), do: false

  defp integers(number) when is_integer(number), do: [number]
  defp integers([first | rest]), do: integers(first) ++ integers(rest)
  defp integers(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> integers()
  defp integers(%_{} = struct), do: struct |> Map.from_struct() |> integers()
  defp integers(map) when is_map(map), do: map |> Map.to_list() |> integers()
  defp integers(_other), do: []

  defp type(0), do: oneof(@scalars)

  defp type(depth) do
    inner = lazy(fn -> type(depth - 1) end)
    maybe = oneof([exactly(nil), inner])

    frequency([
      {3, oneof(@scalars)},
      {1, exactly({:list, :u8})},
      {2, let(inner, &{:list, &1})},
      {2, let(some(inner, 4), &{:tuple, &1})},
      {2, let(some(inner, 5), &{:record, numbered("field", &1)})},
      {2, let(some(maybe, 5), &{:variant, numbered("case", &1)})},
      {1, let(integer(1, 300), &{:enum, names("name", &1)})},
      {1, let(integer(1, 32), &{:flags, names("flag", &1)})},
      {2, let(inner, &{:option, &1})},
      {2, let(tuple([maybe, maybe]), fn {ok, error} -> {:result, ok, error} end)}
    ])
  end

  defp some(type, most), do: let(integer(1, most), &:proper_types.vector(&1, type))
  defp names(word, count), do: for(n <- 1..count, do: "#{word}-#{n}")

  defp numbered(word, list),
    do: list |> Enum.with_index(1) |> Enum.map(fn {it, n} -> {"#{word}-#{n}", it} end)

  defp value(:bool), do: boolean()
  defp value(:f32), do: oneof([0.0, -0.5, 65_536.25, :nan, :infinity, :neg_infinity])
  defp value(:f64), do: oneof([:proper_types.float(), :nan, :infinity, :neg_infinity])
  defp value(:string), do: let(list(codepoint()), &List.to_string/1)
  defp value(:char), do: let(codepoint(), &<<&1::utf8>>)

  defp value(integer) when is_atom(integer) do
    <<sign, bits::binary>> = Atom.to_string(integer)
    most = Bitwise.bsl(1, String.to_integer(bits))
    if sign == ?u, do: integer(0, most - 1), else: integer(-div(most, 2), div(most, 2) - 1)
  end

  defp value({:list, :u8}), do: binary()
  defp value({:list, type}), do: list(value(type), 6)
  defp value({:tuple, types}), do: tuple(Enum.map(types, &value/1))

  defp value({:record, fields}) do
    let(fixed_list(for {_, type} <- fields, do: value(type)), fn values ->
      fields |> Enum.zip(values) |> Map.new(fn {{name, _}, value} -> {name, value} end)
    end)
  end

  defp value({:variant, cases}), do: oneof(for {name, type} <- cases, do: tagged(name, type))
  defp value({:enum, names}), do: oneof(names)
  defp value({:option, type}), do: oneof([exactly(:none), tagged(:some, type)])
  defp value({:result, ok, error}), do: oneof([tagged(:ok, ok), tagged(:error, error)])

  defp value({:flags, names}) do
    let(fixed_list(for _ <- names, do: boolean()), fn set ->
      for {name, true} <- Enum.zip(names, set), into: %{}, do: {name, true}
    end)
  end

  defp tagged(tag, nil), do: exactly(tag)
  defp tagged(tag, type), do: tuple([exactly(tag), value(type)])

  defp codepoint do
    oneof([integer(0, 127), integer(0x80, 0xD7FF), integer(0xE000, 0x10FFFF)])
  end

  # A value with something in it that does not belong there, or with something missing.
  defp mistake(value), do: let(tuple([value, :proper_types.any(), integer(0, 1_000)]), &spoil/1)

  defp spoil({value, term, at}), do: spoil(value, term, at)

  defp spoil([_ | _] = list, term, at) do
    place = rem(at, length(list))

    case rem(at, 3) do
      0 -> list ++ term
      1 -> List.replace_at(list, place, spoil(Enum.at(list, place), term, div(at, 3)))
      2 -> list ++ [term]
    end
  end

  defp spoil(tuple, term, at) when is_tuple(tuple) and tuple != {} do
    place = rem(at, tuple_size(tuple))

    if rem(at, 3) == 0,
      do: Tuple.append(tuple, term),
      else: put_elem(tuple, place, spoil(elem(tuple, place), term, div(at, 3)))
  end

  defp spoil(map, term, at) when is_map(map) and map_size(map) > 0 do
    {key, value} = Enum.at(map, rem(at, map_size(map)))

    case rem(at, 3) do
      0 -> Map.delete(map, key)
      1 -> Map.put(map, key, spoil(value, term, div(at, 3)))
      2 -> Map.put(map, term, value)
    end
  end

  defp spoil(text, term, at) when is_binary(text) and text != "" and rem(at, 2) == 0,
    do: if(is_binary(term), do: text <> term <> <<0xFF>>, else: <<text::binary, 0xFF>>)

  defp spoil(number, _term, at) when is_integer(number) and rem(at, 2) == 0,
    do: number * 0x1_0000_0000_0000_0001 + 0x1_0000_0000_0000_0000

  # The first number that is too large for one of the types, or too small.
  defp spoil(number, _term, at) when is_integer(number) and rem(at, 4) == 1 do
    edge = Bitwise.bsl(1, Enum.at([7, 8, 15, 16, 31, 32, 63, 64], rem(div(at, 4), 8)))
    if rem(at, 8) == 1, do: edge, else: -edge - 1
  end

  defp spoil(_value, term, _at), do: term
end
