defmodule Wasmex.EchoComponent do
  @moduledoc false
  # Types, values of them, and a component that returns what it is given, for properties.
  #
  # The component's function takes the value and so many numbers after it that all travel through
  # memory; its result, which does too, is at the start of that very memory: so whatever the type is, the
  # code is to return the pointer.

  @scalars [:bool, :u8, :s8, :u16, :s16, :u32, :s32, :u64, :s64, :f32, :f64, :char, :string]

  @doc "A type, at most `depth` deep."
  def type(0), do: Enum.random(@scalars)

  def type(depth) do
    inner = fn -> type(Enum.random(0..(depth - 1))) end
    maybe = fn -> if Enum.random([true, true, false]), do: inner.() end
    some = fn most -> 1..Enum.random(1..most) end

    case Enum.random(0..9) do
      0 -> Enum.random(@scalars)
      1 -> {:list, inner.()}
      2 -> {:tuple, for(_ <- some.(4), do: inner.())}
      3 -> {:record, for(n <- some.(5), do: {"field-#{n}", inner.()})}
      4 -> {:variant, for(n <- some.(5), do: {"case-#{n}", maybe.()})}
      5 -> {:enum, for(n <- some.(300), do: "name-#{n}")}
      6 -> {:option, inner.()}
      7 -> {:result, maybe.(), maybe.()}
      8 -> {:flags, for(n <- some.(32), do: "flag-#{n}")}
      9 -> {:list, :u8}
    end
  end

  @doc "A value of the type, as it comes back."
  def value(:bool), do: Enum.random([true, false])
  def value(:f32), do: Enum.random([0.0, -0.5, 65_536.25, :nan, :infinity])
  def value(:f64), do: Enum.random([0.1, -1.0e300, :nan, :neg_infinity])
  def value(:char), do: Enum.random(["a", "ß", "語", "🦀"])
  def value(:string), do: String.duplicate(value(:char), Enum.random([0, 1, 5, 300]))

  def value(integer) when is_atom(integer) do
    <<sign, bits::binary>> = Atom.to_string(integer)
    bits = String.to_integer(bits)
    half = Bitwise.bsl(1, bits - 1)
    if sign == ?u, do: Enum.random([0, 1, 2 * half - 1]), else: Enum.random([-half, -1, half - 1])
  end

  def value({:list, :u8}), do: :rand.bytes(Enum.random([0, 1, 700]))
  def value({:list, type}), do: for(_ <- 1..Enum.random(0..4)//1, do: value(type))
  def value({:tuple, types}), do: types |> Enum.map(&value/1) |> List.to_tuple()
  def value({:record, fields}), do: Map.new(fields, fn {name, type} -> {name, value(type)} end)
  def value({:variant, cases}), do: cases |> Enum.random() |> tagged()
  def value({:enum, names}), do: Enum.random(names)
  def value({:option, type}), do: Enum.random([:none, {:some, value(type)}])
  def value({:result, ok, error}), do: Enum.random([{:ok, ok}, {:error, error}]) |> tagged()

  def value({:flags, names}),
    do: for(name <- names, Enum.random([true, false]), into: %{}, do: {name, true})

  defp tagged({tag, nil}), do: tag
  defp tagged({tag, type}), do: {tag, value(type)}

  @doc "The component's text: it exports `echo`."
  def wat(type) do
    {declarations, name, _next} = declare({:tuple, [type, :u32, :u32]}, [], 0)
    padding = for n <- 1..17, do: ~s|(param "p#{n}" u32)|

    """
    (component
      (core module $m
        (memory (export "memory") 32)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
          (local.set $at (i32.and
            (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get 2))))
          (global.set $next (i32.add (local.get $at) (local.get 3)))
          (local.get $at))
        (func (export "echo") (param i32) (result i32) (local.get 0)))
      (core instance $i (instantiate $m))
      #{declarations |> Enum.reverse() |> Enum.join("\n  ")}
      (func (export "echo") (param "v" #{name}) #{padding} (result #{name})
        (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
    """
  end

  # `{declarations, name, next}`: what has a name in WIT must be exported to be used.
  defp declare(nil, declarations, next), do: {declarations, nil, next}

  defp declare(scalar, declarations, next) when is_atom(scalar),
    do: {declarations, Atom.to_string(scalar), next}

  defp declare({:list, type}, declarations, next) do
    {declarations, name, next} = declare(type, declarations, next)
    define("(list #{name})", declarations, next)
  end

  defp declare({:option, type}, declarations, next) do
    {declarations, name, next} = declare(type, declarations, next)
    define("(option #{name})", declarations, next)
  end

  defp declare({:result, ok, error}, declarations, next) do
    {declarations, ok, next} = declare(ok, declarations, next)
    {declarations, error, next} = declare(error, declarations, next)
    error = if error, do: " (error #{error})"
    define("(result #{ok}#{error})", declarations, next)
  end

  defp declare({:tuple, types}, declarations, next) do
    {declarations, names, next} = declare_all(types, declarations, next)
    define("(tuple #{Enum.join(names, " ")})", declarations, next)
  end

  defp declare({:record, fields}, declarations, next) do
    {declarations, names, next} =
      fields |> Enum.map(&elem(&1, 1)) |> declare_all(declarations, next)

    fields = for {{field, _}, name} <- Enum.zip(fields, names), do: ~s|(field "#{field}" #{name})|
    export("(record #{Enum.join(fields, " ")})", declarations, next)
  end

  defp declare({:variant, cases}, declarations, next) do
    {declarations, names, next} =
      cases |> Enum.map(&elem(&1, 1)) |> declare_all(declarations, next)

    cases = for {{name, _}, type} <- Enum.zip(cases, names), do: ~s|(case "#{name}" #{type})|
    export("(variant #{Enum.join(cases, " ")})", declarations, next)
  end

  defp declare({kind, names}, declarations, next) when kind in [:enum, :flags],
    do: export("(#{kind} #{Enum.map_join(names, " ", &inspect/1)})", declarations, next)

  defp declare_all(types, declarations, next) do
    Enum.reduce(types, {declarations, [], next}, fn type, {declarations, names, next} ->
      {declarations, name, next} = declare(type, declarations, next)
      {declarations, names ++ [name], next}
    end)
  end

  defp define(text, declarations, next),
    do: {["(type $t#{next} #{text})" | declarations], "$t#{next}", next + 1}

  defp export(text, declarations, next) do
    {declarations, name, next} = define(text, declarations, next)
    {[~s|(export $e#{next} "type-#{next}" (type #{name}))| | declarations], "$e#{next}", next + 1}
  end
end
