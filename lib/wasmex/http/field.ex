defmodule Wasmex.HTTP.Field do
  @moduledoc false
  # Parses lines and header fields of HTTP/1.1 (RFC 9112, sections 2.2 and 5) strictly: a line ends with CRLF and contains
  # neither CR nor LF, a name is a token directly before the colon, a value contains no control character except tab, and
  # folding is an error. A lenient parser could read a request differently than a proxy in front of it.

  # tchar of RFC 9110, section 5.6.2.
  defguardp is_tchar(c)
            when c in ?a..?z or c in ?A..?Z or c in ?0..?9 or c in ~c"!#$%&'*+-.^_`|~"

  @doc "Splits off the first line, without its end. Returns `:more` if the line is incomplete."
  @spec line(binary()) :: {:ok, binary(), binary()} | :more | :error
  def line(bytes), do: line(bytes, bytes, 0)

  # Faster than `:binary.match/2`, which prepares its patterns anew for each line.
  defp line(<<"\r\n", rest::binary>>, bytes, at), do: {:ok, binary_part(bytes, 0, at), rest}
  defp line("\r", _bytes, _at), do: :more
  defp line(<<c, _::binary>>, _bytes, _at) when c in [?\r, ?\n], do: :error
  defp line(<<_, rest::binary>>, bytes, at), do: line(rest, bytes, at + 1)
  defp line("", _bytes, _at), do: :more

  @doc "Parses a field line. The name is in lower case, and the value has no surrounding white space."
  @spec parse(binary()) :: {:ok, {String.t(), binary()}} | :error
  def parse(line) do
    with {at, 1} <- :binary.match(line, ":"),
         {name, ":" <> value} = :erlang.split_binary(line, at),
         true <- token?(name),
         value = trim(value),
         true <- value?(value) do
      {:ok, {String.downcase(name, :ascii), value}}
    else
      _ -> :error
    end
  end

  @doc "Whether the bytes are a token of at least one character."
  @spec token?(binary()) :: boolean()
  def token?(<<c, rest::binary>>) when is_tchar(c), do: rest == "" or token?(rest)
  def token?(_bytes), do: false

  # Bytes above 127 are obs-text and opaque.
  defp value?(<<c, rest::binary>>) when (c >= 0x20 and c != 0x7F) or c == ?\t, do: value?(rest)
  defp value?(bytes), do: bytes == ""

  # Fields about one connection, which end there (RFC 9110, section 7.6.1).
  @hop ~w(connection keep-alive proxy-connection te trailer transfer-encoding upgrade)

  @doc "The fields without those about a connection: known ones, those that `Connection` names, and these others."
  @spec end_to_end([{String.t(), binary()}], [String.t()]) :: [{String.t(), binary()}]
  def end_to_end(fields, others \\ []) do
    named = for {"connection", value} <- fields, name <- String.split(value, ","), do: name
    named = Enum.map(named, &(&1 |> trim() |> String.downcase(:ascii)))
    # A set, since one field may have thousands of names.
    hop = MapSet.new(named ++ others ++ @hop)
    Enum.reject(fields, fn {name, _} -> MapSet.member?(hop, name) end)
  end

  @doc "Removes spaces and tabs at both ends. No other character counts as white space."
  @spec trim(binary()) :: binary()
  def trim(<<c, rest::binary>>) when c in [?\s, ?\t], do: trim(rest)
  def trim(bytes), do: trim_end(bytes, byte_size(bytes))

  defp trim_end(bytes, size) when size > 0 do
    if :binary.at(bytes, size - 1) in [?\s, ?\t],
      do: trim_end(bytes, size - 1),
      else: binary_part(bytes, 0, size)
  end

  defp trim_end(_bytes, 0), do: ""
end
