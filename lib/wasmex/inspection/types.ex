defmodule Wasmex.Inspection.Types do
  @moduledoc false
  # Types in their binary form (core specification, section 5.3), as `Wasmex.Module.exports/1` names them.

  import Bitwise
  import Wasmex.Inspection.Reader

  @numbers %{0x7F => :i32, 0x7E => :i64, 0x7D => :f32, 0x7C => :f64, 0x7B => :v128}

  @heaps %{
    0x74 => "noexn",
    0x73 => "nofunc",
    0x72 => "noextern",
    0x71 => "none",
    0x70 => "func",
    0x6F => "extern",
    0x6E => "any",
    0x6D => "eq",
    0x6C => "i31",
    0x6B => "struct",
    0x6A => "array",
    0x69 => "exn"
  }

  @doc "A value type."
  def value(bytes) do
    case byte(bytes) do
      {code, rest} when is_map_key(@numbers, code) ->
        {@numbers[code], rest}

      {code, rest} when is_map_key(@heaps, code) ->
        {{:reference, "(ref null #{@heaps[code]})"}, rest}

      {0x63, rest} ->
        reference("ref null", rest)

      {0x64, rest} ->
        reference("ref", rest)

      {code, _rest} ->
        fail("a value of the unknown type 0x#{Integer.to_string(code, 16)}")
    end
  end

  defp reference(prefix, bytes) do
    {heap, rest} = heap(bytes)
    {{:reference, "(#{prefix} #{heap})"}, rest}
  end

  defp heap(<<code, rest::binary>>) when is_map_key(@heaps, code), do: {@heaps[code], rest}

  defp heap(bytes) do
    {index, rest} = number(bytes)
    {"(type #{index})", rest}
  end

  @doc "A recursion group: its types, `{:fn, params, results}` or nil for what is no function."
  def group(<<0x4E, rest::binary>>), do: vector(rest, &subtype/1)

  def group(bytes) do
    {type, rest} = subtype(bytes)
    {[type], rest}
  end

  defp subtype(<<code, rest::binary>>) when code in [0x50, 0x4F] do
    {_supertypes, rest} = vector(rest, &number/1)
    composite(rest)
  end

  defp subtype(bytes), do: composite(bytes)

  defp composite(bytes) do
    case byte(bytes) do
      {0x60, rest} ->
        {params, rest} = vector(rest, &value/1)
        {results, rest} = vector(rest, &value/1)
        {{:fn, params, results}, rest}

      {0x5F, rest} ->
        {_fields, rest} = vector(rest, &field/1)
        {nil, rest}

      {0x5E, rest} ->
        {_field, rest} = field(rest)
        {nil, rest}

      {code, _rest} ->
        fail("a type of the unknown form 0x#{Integer.to_string(code, 16)}")
    end
  end

  defp field(<<code, rest::binary>>) when code in [0x78, 0x77] do
    {_mutable, rest} = byte(rest)
    {nil, rest}
  end

  defp field(bytes) do
    {_type, rest} = value(bytes)
    {_mutable, rest} = byte(rest)
    {nil, rest}
  end

  # Bits: 1 has a maximum, 2 is shared, 4 is 64-bit, 8 has pages of its own size.
  defp limits(bytes) do
    {flags, rest} = byte(bytes)
    if flags > 15, do: fail("limits with unknown flags")
    {minimum, rest} = number(rest)
    {maximum, rest} = if (flags &&& 1) == 1, do: number(rest), else: {nil, rest}
    {page, rest} = if (flags &&& 8) == 8, do: number(rest), else: {nil, rest}
    {%{flags: flags, minimum: minimum, maximum: maximum, page: page}, rest}
  end

  def memory(bytes) do
    {limits, rest} = limits(bytes)
    shared? = (limits.flags &&& 2) == 2
    type = %{minimum: limits.minimum, shared: shared?, memory64: (limits.flags &&& 4) == 4}
    {{:memory, with_maximum(type, limits)}, rest}
  end

  # With an initial value where it starts with 0x40, 0x00.
  def table(<<0x40, 0x00, rest::binary>>) do
    {type, rest} = table(rest)
    {type, skip_expression(rest)}
  end

  def table(bytes) do
    {element, rest} = value(bytes)
    {limits, rest} = limits(rest)
    {{:table, with_maximum(%{minimum: limits.minimum, type: element}, limits)}, rest}
  end

  defp with_maximum(type, %{maximum: nil}), do: type
  defp with_maximum(type, %{maximum: maximum}), do: Map.put(type, :maximum, maximum)

  def global(bytes) do
    {type, rest} = value(bytes)

    case byte(rest) do
      {0, rest} -> {{:global, %{mutability: :const, type: type}}, rest}
      {1, rest} -> {{:global, %{mutability: :var, type: type}}, rest}
      {_, _} -> fail("a global that is neither constant nor variable")
    end
  end

  def tag(bytes, types) do
    {_attribute, rest} = byte(bytes)
    {index, rest} = number(rest)

    case index < tuple_size(types) && elem(types, index) do
      {:fn, params, results} -> {{:tag, params, results}, rest}
      _ -> fail("a tag of the unknown type #{index}")
    end
  end

  @doc "What follows a constant expression (section 5.4.9)."
  def skip_expression(<<0x0B, rest::binary>>), do: rest

  def skip_expression(bytes) do
    {code, rest} = byte(bytes)

    rest =
      case code do
        # i32.const, i64.const, global.get, ref.null, ref.func
        code when code in [0x41, 0x42, 0x23, 0xD0, 0xD2] -> rest |> number_of_any_sign()
        0x43 -> rest |> take(4) |> elem(1)
        0x44 -> rest |> take(8) |> elem(1)
        # Sums and products of the extended constants.
        code when code in [0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E] -> rest
        0xFB -> skip_gc(rest)
        0xFD -> skip_vector(rest)
        code -> fail("an instruction 0x#{Integer.to_string(code, 16)} in a constant")
      end

    skip_expression(rest)
  end

  defp number_of_any_sign(<<1::1, _::7, rest::binary>>), do: number_of_any_sign(rest)
  defp number_of_any_sign(<<0::1, _::7, rest::binary>>), do: rest
  defp number_of_any_sign(""), do: fail("the bytes end within a number")

  defp skip_gc(bytes) do
    case number(bytes) do
      # struct.new, struct.new_default, array.new, array.new_default
      {code, rest} when code in [0, 1, 6, 7] -> rest |> number() |> elem(1)
      # array.new_fixed
      {8, rest} -> rest |> number() |> elem(1) |> number() |> elem(1)
      # any.convert_extern, extern.convert_any, ref.i31
      {code, rest} when code in [0x1A, 0x1B, 0x1C] -> rest
      {code, _rest} -> fail("an instruction 0xFB #{code} in a constant")
    end
  end

  defp skip_vector(bytes) do
    case number(bytes) do
      {12, rest} -> rest |> take(16) |> elem(1)
      {code, _rest} -> fail("an instruction 0xFD #{code} in a constant")
    end
  end
end
