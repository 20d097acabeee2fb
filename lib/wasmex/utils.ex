defmodule Wasmex.Utils do
  @moduledoc """
  Helpers for names and text.

  ## Example

      iex> Wasmex.Utils.stringify_keys(%{env: %{log: 1}})
      %{"env" => %{"log" => 1}}
  """

  @doc "A name as a string."
  @spec stringify(String.t() | atom()) :: String.t()
  def stringify(name) when is_binary(name), do: name
  def stringify(name) when is_atom(name) and name != nil, do: Atom.to_string(name)

  def stringify(other),
    do: Wasmex.Options.misuse!("a name (string or atom)", other)

  @doc "Converts keys of maps to strings, at every level. Structs are left unchanged."
  @spec stringify_keys(term()) :: term()
  def stringify_keys(%_{} = struct), do: struct

  def stringify_keys(map) when is_map(map),
    do: Map.new(map, fn {key, value} -> {stringify(key), stringify_keys(value)} end)

  # Improper lists are left unchanged.
  def stringify_keys([head | tail]) when is_list(tail),
    do: [stringify_keys(head) | stringify_keys(tail)]

  def stringify_keys(other), do: other

  # Below this `Map.new/1` is faster, and takes less than a millisecond.
  @small 2_000

  @doc false
  # A map of a list whose length a guest has chosen: `Map.new/1` would hold its scheduler until a large one is complete.
  @spec map([{key, value}]) :: %{optional(key) => value} when key: term(), value: term()
  def map(pairs) do
    case Enum.split(pairs, @small) do
      {pairs, []} ->
        Map.new(pairs)

      {first, rest} ->
        Enum.reduce(rest, Map.new(first), fn {key, value}, map -> Map.put(map, key, value) end)
    end
  end

  @doc false
  # Escapes text for HTML and XML.
  @spec escape(String.t()) :: String.t()
  def escape(text) do
    text
    |> Wasmex.Printable.text()
    |> String.replace("&", "&amp;")
    |> String.replace("<", "&lt;")
    |> String.replace(">", "&gt;")
    |> String.replace("\"", "&quot;")
  end

  @doc false
  # Checks that `GenServer.call/3` accepts the value as a server.
  @spec server!(term()) :: GenServer.server()
  def server!(server) when is_pid(server) or (is_atom(server) and server != nil), do: server
  def server!({:global, _} = server), do: server
  def server!({:via, module, _} = server) when is_atom(module), do: server
  def server!({name, node} = server) when is_atom(name) and is_atom(node), do: server

  def server!(other),
    do: Wasmex.Options.misuse!("a process or its name", other)

  # Bytes that are checked at a time.
  @piece 256 * 1024

  @doc false
  # `String.valid?/1` checks each byte in Elixir before 1.17; this does so in C.
  @spec utf8?(binary()) :: boolean()
  def utf8?(bytes) when byte_size(bytes) <= @piece,
    do: is_binary(:unicode.characters_to_binary(bytes))

  def utf8?(bytes), do: utf8?(bytes, 0)

  # That function holds its scheduler until it is done.
  defp utf8?(bytes, at) do
    size = min(@piece, byte_size(bytes) - at)
    last? = at + size == byte_size(bytes)

    case :unicode.characters_to_binary(binary_part(bytes, at, size)) do
      valid when is_binary(valid) ->
        last? or next?(bytes, at + size)

      # A character that the end of the piece cuts off.
      {:incomplete, _valid, rest} when not last? ->
        next?(bytes, at + size - byte_size(rest))

      _invalid ->
        false
    end
  end

  defp next?(bytes, at) do
    :erlang.yield()
    utf8?(bytes, at)
  end

  @doc false
  # Valid as an argument or environment variable of a program.
  @spec text?(binary()) :: boolean()
  def text?(bytes) when byte_size(bytes) > 256, do: utf8?(bytes) and not byte?(bytes, 0)
  def text?(bytes), do: ascii?(bytes) or (utf8?(bytes) and not byte?(bytes, 0))

  # As most names and values are. Calls of the VM's functions take longer than short ones.
  defp ascii?(<<byte, rest::binary>>) when byte in 1..127, do: ascii?(rest)
  defp ascii?(rest), do: rest == ""

  @doc false
  # Whether a path has only letters, digits, `-`, `_`, `/` and `=`: no percent encoding, no dots.
  @spec plain?(binary()) :: boolean()
  def plain?(<<byte, rest::binary>>)
      when byte in ?a..?z or byte in ?A..?Z or byte in ?0..?9 or byte in [?-, ?_, ?/, ?=],
      do: plain?(rest)

  def plain?(rest), do: rest == ""

  @doc false
  # Whether the bytes contain this byte. `:binary.match/2` takes a microsecond to prepare, which is slow for names.
  @spec byte?(binary(), byte()) :: boolean()
  def byte?(bytes, byte) when byte_size(bytes) > 256,
    do: :binary.match(bytes, <<byte>>) != :nomatch

  def byte?(bytes, byte), do: find?(bytes, byte)

  # Without a guard that needs the whole binary, the VM scans it with one cursor.
  defp find?(<<byte, _::binary>>, byte), do: true
  defp find?(<<_, rest::binary>>, byte), do: find?(rest, byte)
  defp find?(<<>>, _byte), do: false
end
