defmodule Wasmex.HTTP.Resident.Wire do
  @moduledoc false
  # An HTTP/1.1 client's side of the protocol (RFC 9112): encoding requests, parsing responses. Pure functions.

  alias Wasmex.{Error, Quantity}
  alias Wasmex.HTTP.{Field, Request}

  # Headers that are for this server, or set anew, besides those about the connection.
  @own ~w(proxy-authorization expect content-length) ++
         ~w(x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-prefix)
  @own_of_answers ~w(proxy-authenticate content-length)

  # Maximum bytes and fields of a head.
  @longest_head 65_536
  @most_fields 200

  @type head :: %{
          status: 100..599,
          headers: [{String.t(), String.t()}],
          framing: [{String.t(), String.t()}]
        }
  @type body :: :none | :close | {:length, non_neg_integer()} | {:chunked, term()}

  @doc "The head of a request, and its body: complete, or parts with framing."
  @spec request(Request.t()) ::
          {:ok, iodata(), {:whole, iodata()} | {:plain | :chunked, Enumerable.t()}}
          | {:error, 400, Error.t()}
  def request(%Request{} = request) do
    {framing, body} = request_body(request)
    query = if request.query == "", do: "", else: "?" <> request.query
    headers = Field.end_to_end(request.headers, @own)
    headers = headers ++ forwarded(request) ++ framing ++ [{"connection", "close"}]
    lines = for {name, value} <- with_host(headers, request), do: [name, ": ", value, "\r\n"]
    target = request.path <> query

    if plain?(target) and plain?(request.method) and Enum.all?(headers, &field?/1),
      do: {:ok, [request.method, " ", target, " HTTP/1.1\r\n", lines, "\r\n"], body},
      else:
        {:error, 400,
         %Error{
           reason: :input,
           details: %{
             status: 400,
             message: "the request has characters that are not allowed in a head"
           }
         }}
  end

  defp plain?(text), do: text != "" and not (text =~ ~r/[\x00-\x20\x7f]/)

  defp field?({name, value}),
    do: name =~ ~r/\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\z/ and not (value =~ ~r/[\x00\r\n]/)

  defp with_host(headers, request) do
    if List.keymember?(headers, "host", 0),
      do: headers,
      else: [{"host", "#{request.host}:#{request.port}"} | headers]
  end

  # The original host and prefix (de facto headers; few servers read RFC 7239's form).
  defp forwarded(request) do
    host = Request.header(request, "host") || "#{request.host}:#{request.port}"

    [
      {"x-forwarded-for", request.remote_addr},
      {"x-forwarded-proto", request.scheme},
      {"x-forwarded-host", host},
      {"x-forwarded-prefix", request.script_name}
    ]
    |> Enum.reject(fn {_, value} -> value == "" end)
  end

  defp request_body(%{body: body, method: method}) when is_binary(body) or is_list(body) do
    case IO.iodata_length(body) do
      0 when method in ["GET", "HEAD", "OPTIONS", "DELETE"] -> {[], {:whole, ""}}
      length -> {[{"content-length", Integer.to_string(length)}], {:whole, body}}
    end
  rescue
    # A list that is not iodata is treated as an Enumerable.
    ArgumentError -> {[{"transfer-encoding", "chunked"}], {:chunked, body}}
  end

  defp request_body(%{body: body} = request) do
    case Quantity.natural(Request.header(request, "content-length") || "") do
      {:ok, length} ->
        {[{"content-length", Integer.to_string(length)}], {:plain, body}}

      :error ->
        if Request.header(request, "transfer-encoding"),
          do: {[{"transfer-encoding", "chunked"}], {:chunked, body}},
          # Neither: there is no body (RFC 9112, section 6.3).
          else: {[], {:plain, body}}
    end
  end

  @doc "A part of a body."
  @spec piece(:plain | :chunked, iodata()) :: iodata()
  def piece(:plain, bytes), do: bytes

  def piece(:chunked, bytes) do
    case IO.iodata_length(bytes) do
      0 -> []
      length -> [Integer.to_string(length, 16), "\r\n", bytes, "\r\n"]
    end
  end

  @doc "The end of a body."
  @spec last(:plain | :chunked) :: iodata()
  def last(:plain), do: []
  def last(:chunked), do: "0\r\n\r\n"

  @doc "The head of a response, and the rest."
  @spec head(binary()) :: {:ok, head(), binary()} | :more | {:error, String.t()}
  def head(bytes) do
    case :binary.split(bytes, "\r\n\r\n") do
      [head, rest] when byte_size(head) <= @longest_head -> parse(head, rest)
      [_] when byte_size(bytes) <= @longest_head -> :more
      _ -> {:error, "sent a head of more than #{@longest_head} bytes"}
    end
  end

  defp parse(head, rest) do
    [line | fields] = :binary.split(head, "\r\n", [:global])

    with [_, status] <- Regex.run(~r/\AHTTP\/1\.[01] ([1-5]\d\d)(?: [^\x00\r\n]*)?\z/, line),
         true <- length(fields) <= @most_fields,
         {:ok, fields} <- fields(fields, []) do
      headers = Field.end_to_end(fields, @own_of_answers)
      {:ok, %{status: String.to_integer(status), headers: headers, framing: fields}, rest}
    else
      _ -> {:error, "sent an invalid HTTP/1.1 head"}
    end
  end

  defp fields([], done), do: {:ok, Enum.reverse(done)}

  defp fields([line | lines], done) do
    with [name, value] <- :binary.split(line, ":"),
         value = Field.trim(value),
         true <- field?({name, value}),
         do: fields(lines, [{String.downcase(name), value} | done]),
         else: (_ -> :error)
  end

  @doc "The framing of a response body (RFC 9112, section 6.3)."
  @spec body(head(), String.t()) :: body() | {:error, String.t()}
  def body(%{status: status}, method) when method == "HEAD" or status in [204, 205, 304],
    do: :none

  def body(%{framing: fields}, _method) do
    encodings = for {"transfer-encoding", value} <- fields, do: String.downcase(value)
    lengths = Enum.uniq(for {"content-length", value} <- fields, do: value)

    case {encodings, lengths} do
      {[], []} -> :close
      {["chunked"], _} -> {:chunked, :size}
      {[], [length]} -> of_length(length)
      _ -> {:error, "sent a response of unknown length"}
    end
  end

  defp of_length(text) do
    if text =~ ~r/\A\d{1,18}\z/,
      do: {:length, String.to_integer(text)},
      else: {:error, "sent a response of unknown length"}
  end

  @doc "The available part of the body."
  @spec take(body(), binary()) ::
          {:done, iodata()} | {:more, iodata(), body(), binary()} | {:error, String.t()}
  def take(:none, _got), do: {:done, []}
  def take(:close, ""), do: {:more, [], :close, ""}
  def take(:close, got), do: {:more, [got], :close, ""}

  def take({:length, length}, got) when byte_size(got) >= length,
    do: {:done, chunk(binary_part(got, 0, length))}

  def take({:length, length}, got),
    do: {:more, chunk(got), {:length, length - byte_size(got)}, ""}

  def take({:chunked, state}, got), do: chunks(state, got, [])

  defp chunk(""), do: []
  defp chunk(bytes), do: [bytes]

  defp chunks(:size, got, done) do
    case :binary.split(got, "\r\n") do
      [line, rest] ->
        case Regex.run(~r/\A([0-9a-fA-F]{1,8})[ \t]*(?:;.*)?\z/s, line) do
          [_, size] ->
            case String.to_integer(size, 16) do
              0 -> chunks(:trailer, rest, done)
              size -> chunks({:data, size}, rest, done)
            end

          nil ->
            {:error, "sent a chunk without a size"}
        end

      [_] when byte_size(got) < 1_024 ->
        {:more, Enum.reverse(done), {:chunked, :size}, got}

      _ ->
        {:error, "sent a chunk without a size"}
    end
  end

  defp chunks({:data, 0}, <<"\r\n", rest::binary>>, done), do: chunks(:size, rest, done)

  defp chunks({:data, 0}, got, done) when byte_size(got) < 2,
    do: {:more, Enum.reverse(done), {:chunked, {:data, 0}}, got}

  defp chunks({:data, 0}, _got, _done), do: {:error, "sent an unterminated chunk"}

  defp chunks({:data, left}, "", done),
    do: {:more, Enum.reverse(done), {:chunked, {:data, left}}, ""}

  defp chunks({:data, left}, got, done) do
    now = min(left, byte_size(got))
    {bytes, rest} = :erlang.split_binary(got, now)
    chunks({:data, left - now}, rest, [bytes | done])
  end

  # Trailer fields are ignored.
  defp chunks(:trailer, got, done) do
    case :binary.split(got, "\r\n") do
      ["", _rest] -> {:done, Enum.reverse(done)}
      [_field, rest] -> chunks(:trailer, rest, done)
      [_] when byte_size(got) < 65_536 -> {:more, Enum.reverse(done), {:chunked, :trailer}, got}
      _ -> {:error, "sent unterminated trailer fields"}
    end
  end
end
