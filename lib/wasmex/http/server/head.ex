defmodule Wasmex.HTTP.Server.Head do
  @moduledoc false
  # Interprets the head of a request (RFC 9112, sections 3 and 6): its target, the length of its body, and whether the
  # connection is kept alive. Ambiguous heads are rejected.

  alias Wasmex.HTTP.Field
  alias Wasmex.Utils

  @target 16 * 1024
  @methods ~w(GET HEAD POST PUT PATCH DELETE OPTIONS)

  defstruct [:method, :target, :version, headers: [], body: 0, keep?: true, continue?: false]

  @type t :: %__MODULE__{
          method: String.t(),
          target: String.t(),
          version: {1, 0 | 1},
          headers: [{String.t(), binary()}],
          body: non_neg_integer() | :chunked,
          keep?: boolean(),
          continue?: boolean()
        }

  @typedoc "The method, target and version as sent."
  @type request :: {String.t(), binary(), {0..9, 0..9}}

  @doc "Splits a request line. Its parts are separated by single spaces."
  @spec request_line(binary()) :: {:ok, request()} | {:error, 400}
  def request_line(line) do
    with [method, target, "HTTP/" <> <<major, ".", minor>>] <-
           :binary.split(line, " ", [:global]),
         true <- Field.token?(method),
         true <- target != "" and major in ?0..?9 and minor in ?0..?9 do
      {:ok, {method, target, {major - ?0, minor - ?0}}}
    else
      _ -> {:error, 400}
    end
  end

  @doc "The supported methods."
  @spec methods() :: [String.t()]
  def methods, do: @methods

  @doc "Returns the head, or the status of the error response."
  @spec new(request(), [{String.t(), binary()}]) :: {:ok, t()} | {:error, 400..599}
  def new({method, target, version}, headers) do
    with {:ok, version} <- version(version),
         :ok <- host(headers, version),
         {:ok, target, headers} <- target(method, target, headers),
         {:ok, body} <- body(headers, version),
         :ok <- method(method) do
      {:ok,
       %__MODULE__{
         method: method,
         target: target,
         version: version,
         # `X_Real_Ip` and `X-Real-Ip` would become the same variable. Like proxies, drop names with underscores.
         headers: Enum.reject(headers, fn {name, _} -> Utils.byte?(name, ?_) end),
         body: body,
         keep?: keep?(headers, version),
         continue?: continue?(headers, version)
       }}
    else
      status -> {:error, status}
    end
  end

  # A higher minor version is treated as the highest known one (RFC 9110, section 2.5).
  defp version({1, 0}), do: {:ok, {1, 0}}
  defp version({1, _minor}), do: {:ok, {1, 1}}
  defp version(_version), do: 505

  defp method(method) when method in @methods, do: :ok
  defp method(_method), do: 501

  # Exactly one valid host (section 3.2).
  defp host(headers, version) do
    case values(headers, "host") do
      [host] -> if host?(host), do: :ok, else: 400
      [] when version == {1, 0} -> :ok
      _ -> 400
    end
  end

  defp host?(host), do: simple?(host) or valid?(host)

  # A name, or an IPv6 address in brackets (RFC 3986, section 3.2.2), and perhaps a port.
  defp valid?(host) do
    case Regex.run(
           ~r/\A(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::\d{0,5})?\z/,
           host
         ) do
      [_, address] -> match?({:ok, _}, :inet.parse_ipv6strict_address(to_charlist(address)))
      name -> name != nil
    end
  end

  # Most hosts are names or addresses with a port, which need no regular expression.
  defp simple?(<<byte, rest::binary>>)
       when byte in ?a..?z or byte in ?A..?Z or byte in ?0..?9 or byte in [?-, ?.],
       do: simple?(rest)

  defp simple?(<<?:, port::binary>>), do: byte_size(port) <= 5 and digits?(port)
  defp simple?(rest), do: rest == ""

  defp digits?(<<byte, rest::binary>>) when byte in ?0..?9, do: digits?(rest)
  defp digits?(rest), do: rest == ""

  # Origin form; asterisk form, for the server itself; or absolute form, whose authority replaces the field `Host`
  # (section 3.2).
  defp target(_method, "/" <> _ = path, headers), do: path(path, headers)
  defp target("OPTIONS", "*", headers), do: {:ok, "*", headers}

  defp target(_method, target, headers) do
    with [_, host, path] <- Regex.run(~r/\Ahttps?:\/\/([^\/?#]+)(.*)\z/is, target),
         true <- host?(host) do
      path = if String.starts_with?(path, "/"), do: path, else: "/" <> path
      path(path, [{"host", host} | List.keydelete(headers, "host", 0)])
    else
      _ -> 400
    end
  end

  defp path(path, _headers) when byte_size(path) > @target, do: 414

  # A fragment is never sent (section 3.2).
  defp path(path, headers), do: if(path?(path), do: {:ok, path, headers}, else: 400)

  defp path?(<<byte, rest::binary>>) when byte > 0x20 and byte not in [0x7F, ?#], do: path?(rest)
  defp path?(rest), do: rest == ""

  # The length of the body (section 6.3). A request with both fields is rejected as request smuggling. HTTP/1.0 has no
  # transfer codings (section 6.1).
  defp body(headers, version) do
    case {values(headers, "transfer-encoding"), values(headers, "content-length")} do
      {[], []} -> {:ok, 0}
      {[], lengths} -> length_of(Enum.uniq(lengths))
      {[coding], []} when version == {1, 1} -> coding(coding)
      _ -> 400
    end
  end

  defp length_of([digits]) when byte_size(digits) < 16 do
    if String.match?(digits, ~r/\A\d+\z/), do: {:ok, String.to_integer(digits)}, else: 400
  end

  defp length_of(_several), do: 400

  # Only `chunked` is supported, and it must occur once, as the last coding.
  defp coding(value) do
    case value |> tokens() |> Enum.reverse() do
      ["chunked"] -> {:ok, :chunked}
      ["chunked" | others] -> if "chunked" in others, do: 400, else: 501
      _ -> if String.contains?(String.downcase(value, :ascii), "chunked"), do: 400, else: 501
    end
  end

  defp keep?(headers, version) do
    tokens = headers |> values("connection") |> Enum.flat_map(&tokens/1)
    "close" not in tokens and (version == {1, 1} or "keep-alive" in tokens)
  end

  # HTTP/1.0 does not support it (RFC 9110, section 10.1.1).
  defp continue?(_headers, {1, 0}), do: false

  defp continue?(headers, _version),
    do: "100-continue" in (headers |> values("expect") |> Enum.map(&String.downcase(&1, :ascii)))

  defp tokens(value),
    do: for(part <- String.split(value, ","), do: part |> Field.trim() |> String.downcase(:ascii))

  defp values(headers, name), do: for({^name, value} <- headers, do: value)
end
