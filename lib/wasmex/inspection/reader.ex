defmodule Wasmex.Inspection.Reader do
  @moduledoc false
  # The encodings that all sections are made of: LEB128 numbers, names, vectors (core specification,
  # section 5.1 and 5.2). What is malformed is thrown as `{Reader, text}`, and caught in `Inspection`.

  @doc "Throws."
  @spec fail(String.t()) :: no_return()
  def fail(text), do: throw({__MODULE__, "malformed: " <> text})

  @doc "An unsigned number of at most 64 bits, and the rest."
  def number(bytes), do: number(bytes, 0, 0)

  defp number(<<0::1, low::7, rest::binary>>, shift, sum) when shift < 64,
    do: {sum + Bitwise.bsl(low, shift), rest}

  defp number(<<1::1, low::7, rest::binary>>, shift, sum) when shift < 64,
    do: number(rest, shift + 7, sum + Bitwise.bsl(low, shift))

  defp number("", _shift, _sum), do: fail("the bytes end within a number")
  defp number(_bytes, _shift, _sum), do: fail("a number of more than 64 bits")

  @doc "So many bytes, and the rest."
  def take(bytes, size) do
    if size <= byte_size(bytes),
      do: :erlang.split_binary(bytes, size),
      else: fail("#{size} bytes are announced and #{byte_size(bytes)} are there")
  end

  def byte(<<byte, rest::binary>>), do: {byte, rest}
  def byte(""), do: fail("the bytes end too soon")

  def name(bytes) do
    {size, rest} = number(bytes)
    {name, rest} = take(rest, size)
    if String.valid?(name), do: {name, rest}, else: fail("a name that is no UTF-8")
  end

  @doc "A count and so many elements, each read by `element`."
  def vector(bytes, element) do
    {count, rest} = number(bytes)

    # An element takes a byte at least: a count that lies must not make a long loop.
    if count > byte_size(rest),
      do: fail("#{count} elements are announced in #{byte_size(rest)} bytes")

    Enum.map_reduce(List.duplicate(nil, count), rest, fn _, rest -> element.(rest) end)
  end

  @doc "All sections: `[{id, content}]`."
  def sections(""), do: []

  def sections(bytes) do
    {id, rest} = byte(bytes)
    {size, rest} = number(rest)
    {content, rest} = take(rest, size)
    [{id, content} | sections(rest)]
  end

  @doc "What a report says of a section, whose id `names` knows."
  def section({0, content}, _names) do
    {name, _rest} = name(content)
    %{name: "custom #{name}", size: byte_size(content), count: nil}
  end

  def section({id, content}, names) do
    name = Map.get(names, id) || fail("a section of the unknown kind #{id}")
    %{name: name, size: byte_size(content), count: nil}
  end
end
