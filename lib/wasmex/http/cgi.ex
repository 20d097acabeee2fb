defmodule Wasmex.HTTP.CGI do
  @moduledoc false
  # CGI/1.1 (RFC 3875), like WAGI: the request is in environment variables and standard input, and the response starts
  # with a header block.

  @behaviour Wasmex.HTTP.Convention

  alias Wasmex.HTTP.{Field, Request}

  # The maximum size of a header block.
  @longest 64 * 1024

  # Credentials are not passed on (RFC 3875, section 4.1.18). `Proxy` would become HTTP_PROXY.
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

  # Repeated fields are joined (RFC 9110, section 5.3). A name with `_` is dropped: it would become the same variable as
  # the name with `-`, which a trusted proxy may have set. So is one that is not a token, which cannot come from HTTP.
  defp headers(request) do
    for {name, value} <- request.headers,
        name not in @hidden and Field.token?(name) and not String.contains?(name, "_"),
        reduce: %{} do
      variables ->
        variable = "HTTP_" <> (name |> String.upcase() |> String.replace("-", "_"))
        Map.update(variables, variable, value, &(&1 <> ", " <> value))
    end
  end

  defp arguments(""), do: []
  defp arguments(query), do: query |> String.split("&", trim: true) |> Enum.map(&decode/1)

  # Arguments must be UTF-8 without NUL. Others are passed undecoded.
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

  @doc "Parses the header block of the output. Returns its fields and the rest."
  @spec fields(binary()) ::
          {:ok, [{String.t(), binary()}], binary()} | :more | {:error, String.t()}
  def fields(printed) do
    case :binary.split(printed, ["\r\n\r\n", "\n\n"]) do
      [block, rest] when byte_size(block) <= @longest ->
        with {:ok, fields} <- block(block), do: {:ok, fields, rest}

      [_] when byte_size(printed) <= @longest ->
        :more

      _ ->
        {:error, "no header block in the first 64 KiB"}
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
      :error -> "the line #{inspect(line, printable_limit: 60)} is not a header"
    end
  end

  @doc """
  The fields that a program may set in a response. The server sets those about the connection and the length (RFC 3875,
  section 6.3, and RFC 9110, section 7.6.1).
  """
  @spec passed([{String.t(), binary()}]) :: [{String.t(), binary()}]
  def passed(fields), do: Field.end_to_end(fields, ["content-length"])

  defp response(fields) do
    own = Map.new(fields)
    headers = fields |> passed() |> Enum.reject(fn {name, _} -> name == "status" end)

    case own do
      %{"status" => status} -> status(status, headers)
      %{"location" => _} -> {:ok, 302, headers}
      %{"content-type" => _} -> {:ok, 200, headers}
      _ -> {:error, "the header block has no Content-Type, Location or Status"}
    end
  end

  defp status(text, headers) do
    # Three digits, and no more of what may be megabytes of them.
    case Regex.run(~r/\A([2-5]\d\d)(?: |\z)/, text) do
      [_, status] -> {:ok, String.to_integer(status), headers}
      nil -> {:error, "#{inspect(text, printable_limit: 60)} is not a status"}
    end
  end
end
