defmodule Wasmex.HTTP.Response do
  @moduledoc """
  The HTTP response of a function.

  - `:status`, `:headers` (names in lower case), `:body`
  - `:error`: the exception if the function failed (a trap is 500, a timeout 504, invalid output 502). The body does not
    reveal it
  - `:log`: the lines that the function logged and printed to standard error
  - `:duration` in microseconds

  ## Example

      iex> Wasmex.HTTP.Response.plain(404, "no such function").headers
      [{"content-type", "text/plain; charset=utf-8"}]
  """

  defstruct status: 200, headers: [], body: "", error: nil, log: [], duration: 0

  @type t :: %__MODULE__{
          status: 200..599,
          headers: [{String.t(), String.t()}],
          body: binary(),
          error: Exception.t() | nil,
          log: [String.t()],
          duration: non_neg_integer()
        }

  @doc "A response with a line of text."
  @spec plain(pos_integer(), String.t()) :: t()
  def plain(status, text),
    do: %__MODULE__{
      status: status,
      headers: [{"content-type", "text/plain; charset=utf-8"}],
      body: text <> "\n"
    }

  @doc false
  # Collects the events of `Wasmex.HTTP.Exchange`, from `[]` on.
  @spec gather(term(), list()) :: list()
  def gather({:whole, _status, _headers, _body}, state), do: state
  def gather({:head, status, headers}, _state), do: [{status, headers}]
  def gather({:chunk, bytes}, state), do: [bytes | state]
  def gather(:done, state), do: state
  # The streamed part is not a complete response.
  def gather(:broken, _state), do: []

  @doc false
  # The response, with the streamed body.
  @spec gathered(t(), list()) :: t()
  def gathered(response, []), do: response

  def gathered(response, chunks) do
    [{status, headers} | body] = Enum.reverse(chunks)
    %{response | status: status, headers: headers, body: IO.iodata_to_binary(body)}
  end

  @reasons %{
    200 => "OK",
    201 => "Created",
    202 => "Accepted",
    204 => "No Content",
    206 => "Partial Content",
    301 => "Moved Permanently",
    302 => "Found",
    303 => "See Other",
    304 => "Not Modified",
    307 => "Temporary Redirect",
    308 => "Permanent Redirect",
    400 => "Bad Request",
    401 => "Unauthorized",
    403 => "Forbidden",
    404 => "Not Found",
    408 => "Request Timeout",
    405 => "Method Not Allowed",
    409 => "Conflict",
    410 => "Gone",
    413 => "Content Too Large",
    414 => "URI Too Long",
    415 => "Unsupported Media Type",
    422 => "Unprocessable Content",
    429 => "Too Many Requests",
    431 => "Request Header Fields Too Large",
    500 => "Internal Server Error",
    501 => "Not Implemented",
    502 => "Bad Gateway",
    503 => "Service Unavailable",
    504 => "Gateway Timeout",
    505 => "HTTP Version Not Supported"
  }

  @doc "The reason phrase of a status (RFC 9110, section 15)."
  @spec reason(pos_integer()) :: String.t()
  def reason(status), do: Map.get(@reasons, status, "Unknown")
end
