defmodule Wasmex.HTTP.CGI do
  @moduledoc false
  # CGI/1.1 (RFC 3875) as WAGI does it: the request in variables and on standard input, the answer with a
  # header block before it.

  @behaviour Wasmex.HTTP.Convention

  alias Wasmex.HTTP.{Field, Request}

  # A header block longer than this is none.
  @longest 64 * 1024

  # Credentials stay with the server (RFC 3875, section 4.1.18), and `Proxy` would become HTTP_PROXY.
  @hidden [
    "content-type",
    "content-length",
    "authorization",
    "proxy-authorization",
    "proxy",
    "connection"
  ]

  @impl true
  def imports(_name), do: %{}

  @impl true
  def input(%Request{} = request) do
    variables = %{
      "GATEWAY_INTERFACE" => "CGI/1.1",
      "SERVER_SOFTWARE" => "wasmex",
      "SERVER_PROTOCOL" => request.protocol,
      "SERVER_NAME" => request.host,
      "SERVER_PORT" => Integer.to_string(request.port),
      "REQUEST_METHOD" => request.method,
      "SCRIPT_NAME" => request.script_name,
      "PATH_INFO" => decode(request.path),
      "X_RAW_PATH_INFO" => request.path,
      "QUERY_STRING" => request.query,
      "REMOTE_ADDR" => request.remote_addr,
      "REMOTE_HOST" => request.remote_addr,
      "CONTENT_TYPE" => Request.header(request, "content-type") || "",
      "CONTENT_LENGTH" => content_length(request),
      "X_FULL_URL" => url(request)
    }

    {arguments(request.query), Map.merge(variables, headers(request))}
  end

  defp content_length(%{body: body} = request) do
    case Request.header(request, "content-length") do
      nil when is_binary(body) and body != "" -> Integer.to_string(byte_size(body))
      nil -> ""
      length -> length
    end
  end

  defp url(request) do
    query = if request.query == "", do: "", else: "?" <> request.query
    host = Request.header(request, "host") || request.host
    "#{request.scheme}://#{host}#{request.script_name}#{request.path}#{query}"
  end

  # What comes more than once is joined (RFC 9110, section 5.3). A name with `_` would be the same variable as one with
  # `-`, which a proxy may have set and vouch for.
  defp headers(request) do
    for {name, value} <- request.headers,
        name not in @hidden and not String.contains?(name, "_"),
        reduce: %{} do
      variables ->
        variable = "HTTP_" <> (name |> String.upcase() |> String.replace("-", "_"))
        Map.update(variables, variable, value, &(&1 <> ", " <> value))
    end
  end

  defp arguments(""), do: []
  defp arguments(query), do: query |> String.split("&", trim: true) |> Enum.map(&decode/1)

  # What does not decode to text stays as it came: an argument is UTF-8 without NUL.
  defp decode(text) do
    decoded = URI.decode(text)
    if String.valid?(decoded) and not String.contains?(decoded, <<0>>), do: decoded, else: text
  rescue
    ArgumentError -> text
  end

  @impl true
  def head(printed) do
    with {:ok, fields, rest} <- fields(printed),
         {:ok, status, headers} <- response(fields),
         do: {:head, status, headers, rest}
  end

  @doc "The fields of the header block in front of what was printed, and what follows it."
  @spec fields(binary()) ::
          {:ok, [{String.t(), binary()}], binary()} | :more | {:error, String.t()}
  def fields(printed) do
    case :binary.split(printed, ["\r\n\r\n", "\n\n"]) do
      [block, rest] -> with {:ok, fields} <- block(block), do: {:ok, fields, rest}
      [_] when byte_size(printed) > @longest -> {:error, "no header block in the first 64 KiB"}
      [_] -> :more
    end
  end

  defp block(block) do
    fields = block |> String.split(["\r\n", "\n"]) |> Enum.map(&field/1)

    case Enum.find(fields, &is_binary/1) do
      nil -> {:ok, fields}
      why -> {:error, why}
    end
  end

  defp field(line) do
    case Field.parse(line) do
      {:ok, field} -> field
      :error -> "the line #{inspect(line, printable_limit: 60)} is no header"
    end
  end

  # Fields of the connection and of the framing are the server's own business (RFC 3875, section 6.3 and RFC 9110).
  @owned [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "trailer"
  ]

  @doc "The fields that a response may have from a program."
  @spec passed([{String.t(), binary()}]) :: [{String.t(), binary()}]
  def passed(fields), do: Enum.reject(fields, fn {name, _} -> name in @owned end)

  defp response(fields) do
    own = Map.new(fields)
    headers = fields |> passed() |> Enum.reject(fn {name, _} -> name == "status" end)

    case own do
      %{"status" => status} -> status(status, headers)
      %{"location" => _} -> {:ok, 302, headers}
      %{"content-type" => _} -> {:ok, 200, headers}
      _ -> {:error, "neither Content-Type nor Location nor Status is in the header block"}
    end
  end

  defp status(text, headers) do
    case Integer.parse(text) do
      {status, rest} when status in 200..599 and (rest == "" or binary_part(rest, 0, 1) == " ") ->
        {:ok, status, headers}

      _ ->
        {:error, "#{inspect(text)} is no status"}
    end
  end
end
