defmodule Wasmex.HTTP.Request do
  @moduledoc """
  An HTTP request for a function.

  - `:method` in upper case
  - `:path` after the name of the function, with a leading slash, not decoded
  - `:query` after `?`, not decoded, or `""`
  - `:headers`: `[{name, value}]`, names in lower case
  - `:body`: iodata, or an Enumerable of iodata, consumed as the guest reads; an element `{:error, exception}` (a
    `Wasmex.Error`) ends it
  - `:host`, `:port`, `:scheme`, `:remote_addr` (text), `:protocol`
  - `:script_name`: the path of the function itself, such as `/goenv`
  - `:mount`: the path at which the functions are, `""` or such as `/functions`; it is in none of the other paths

  ## Example

      iex> request = Wasmex.HTTP.Request.new("GET", "/goenv/a/b?x=1", [{"Accept", "text/plain"}])
      iex> {request.script_name, request.path, request.query, request.headers}
      {"", "/goenv/a/b", "x=1", [{"accept", "text/plain"}]}
  """

  alias Wasmex.Error

  defstruct method: "GET",
            path: "/",
            query: "",
            headers: [],
            body: "",
            host: "localhost",
            port: 80,
            scheme: "http",
            remote_addr: "",
            protocol: "HTTP/1.1",
            script_name: "",
            mount: ""

  @type t :: %__MODULE__{
          method: String.t(),
          path: String.t(),
          query: String.t(),
          headers: [{String.t(), String.t()}],
          body: iodata() | Enumerable.t(),
          host: String.t(),
          port: :inet.port_number(),
          scheme: String.t(),
          remote_addr: String.t(),
          protocol: String.t(),
          script_name: String.t(),
          mount: String.t()
        }

  @doc "Creates a request from a method, a target (path and query), headers and a body."
  @spec new(String.t(), String.t(), [{String.t(), String.t()}], iodata() | Enumerable.t()) :: t()
  def new(method, target, headers \\ [], body \\ "") do
    for {what, text} <- [method: method, target: target],
        not is_binary(text),
        do: Wasmex.Options.misuse!("a string as the #{what} of a request", text)

    {path, query} = split(target)
    headers = Enum.map(headers, &header!/1)
    host = with {_, host} <- List.keyfind(headers, "host", 0, {nil, "localhost"}), do: host
    {host, port} = host_and_port(host)

    %__MODULE__{
      method: method,
      path: path,
      query: query,
      headers: headers,
      body: body,
      host: host,
      port: port
    }
  end

  defp header!({name, value}) when is_binary(name) and is_binary(value),
    do: {String.downcase(name, :ascii), value}

  defp header!(other),
    do: Wasmex.Options.misuse!("a header {name, value} of two strings", other)

  defp split(target) do
    case String.split(target, "?", parts: 2) do
      [path, query] -> {path, query}
      [path] -> {path, ""}
    end
  end

  defp host_and_port(host) do
    with [name, port] <- :binary.split(host, ":"),
         true <- byte_size(port) in 1..5 and digits?(port) do
      {name, String.to_integer(port)}
    else
      _ -> bracketed(host)
    end
  end

  # An IPv6 address has colons of its own.
  defp bracketed(host) do
    with [_, name, port] <- Regex.run(~r/\A(.*:.*):(\d{1,5})\z/, host) do
      {name, String.to_integer(port)}
    else
      _ -> {host, 80}
    end
  end

  defp digits?(<<byte, rest::binary>>) when byte in ?0..?9, do: digits?(rest)
  defp digits?(rest), do: rest == ""

  @doc "The value of a header, or nil. The name must be in lower case."
  @spec header(t(), String.t()) :: String.t() | nil
  def header(%__MODULE__{headers: headers}, name) do
    case List.keyfind(headers, name, 0) do
      {_, value} -> value
      nil -> nil
    end
  end

  @doc false
  # The last element of a body that cannot be read completely. It ends the input of the function, and the response has this
  # status (400: incomplete or malformed, 408: too slow, 413: too large).
  @spec body_error(400 | 408 | 413) :: {:error, Error.t()}
  def body_error(status) do
    message = "the request body could not be read (status #{status})"
    {:error, %Error{reason: :input, details: %{status: status, message: message}}}
  end

  @doc false
  # Splits off the name of the function from the path.
  @spec shift(t()) :: {String.t(), t()}
  def shift(%__MODULE__{path: "/" <> path} = request) do
    case String.split(path, "/", parts: 2) do
      [name, rest] -> {name, %{request | script_name: "/" <> name, path: "/" <> rest}}
      [name] -> {name, %{request | script_name: "/" <> name, path: "/"}}
    end
  end

  def shift(%__MODULE__{} = request), do: {"", request}
end
