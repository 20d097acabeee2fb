defmodule Wasmex.Plugin.HTTP do
  @moduledoc """
  HTTP requests of plug-ins, and fetching modules from a URL.

  A plug-in may send requests to the hosts in `allowed_hosts`, which is empty by default. At most 10 redirects are followed,
  each checked like the request itself. `max_http_response_bytes` limits the response body. A request takes at most the
  remaining time of the call, and at most 30 seconds. Certificates are verified with the system's root certificates.

  The option `http:` of `Wasmex.Plugin.compile/2` is `true` (the default), `false` to disable requests, or a function that
  performs them. The function takes `%{method:, url:, headers:, body:}` and returns `{:ok, %{status:, headers:, body:}}`, the
  map alone, or `{:error, reason}`. It also handles redirects.
  """

  alias Wasmex.{Call, Error, Native}
  alias Wasmex.Plugin.Manifest

  @type request :: %{
          method: String.t(),
          url: String.t(),
          headers: [{String.t(), String.t()}],
          body: binary()
        }
  @type handler :: boolean() | (request() -> term())

  @redirects 10
  # ms.
  @longest 30_000
  # The maximum size of a fetched module.
  @largest 256 * 1024 * 1024

  @methods %{
    "GET" => :get,
    "HEAD" => :head,
    "POST" => :post,
    "PUT" => :put,
    "PATCH" => :patch,
    "DELETE" => :delete,
    "OPTIONS" => :options,
    "TRACE" => :trace
  }

  @doc false
  @spec handler!(term()) :: handler()
  def handler!(nil), do: false
  def handler!(http) when is_boolean(http) or is_function(http, 1), do: http

  def handler!(other) do
    Wasmex.Options.misuse!("true, false or a function of the request as http", other)
  end

  @doc false
  # Called by the native side, which has checked the host.
  @spec import(handler(), Manifest.t()) :: function()
  def import(false, _manifest) do
    fn _context, _request ->
      {:error, "HTTP is not available to this plug-in: it was compiled with http: false"}
    end
  end

  def import(true, manifest) do
    %{allowed_hosts: hosts, memory: %{max_http_response_bytes: most}} = manifest
    allowed? = fn url -> Native.plugin_http_allowed(hosts, url) end

    fn _context, {method, url, headers, body} ->
      request = %{method: method, url: url, headers: headers, body: body}

      with {:ok, response} <- perform(request, allowed?, most, Call.time_left()),
           do: {:ok, {response.status, response.headers, response.body}}
    end
  end

  def import(handler, _manifest) do
    fn _context, {method, url, headers, body} ->
      %{method: method, url: url, headers: headers, body: body} |> handler.() |> response()
    end
  end

  defp response({:ok, response}), do: response(response)

  defp response(%{status: status} = response) when status in 0..999 do
    headers =
      for {name, value} <- response[:headers] || [], do: {to_string(name), to_string(value)}

    {:ok, {status, headers, IO.iodata_to_binary(response[:body] || "")}}
  end

  defp response({:error, %{__exception__: true} = error}), do: {:error, Exception.message(error)}
  defp response({:error, text}) when is_binary(text), do: {:error, text}
  defp response({:error, reason}), do: {:error, inspect(reason)}

  defp response(other) do
    raise ArgumentError,
          "http: must return {:ok, %{status: 200, headers: [], body: \"\"}} or {:error, reason}, got: " <>
            inspect(other, limit: 5)
  end

  @doc false
  # Fetches a module from the URL in a manifest.
  @spec fetch(String.t(), String.t(), map()) :: {:ok, binary()} | {:error, Error.t()}
  def fetch(url, method, headers) do
    request = %{method: String.upcase(method), url: url, headers: Map.to_list(headers), body: ""}

    case perform(request, fn _url -> true end, @largest, @longest) do
      {:ok, %{status: 200, body: body}} -> {:ok, body}
      {:ok, %{status: status}} -> Manifest.error("cannot fetch #{url}: HTTP status #{status}")
      {:error, text} -> Manifest.error("cannot fetch #{url}: #{text}")
    end
  end

  @doc false
  # Performs a request and follows redirects. Returns `{:ok, %{status:, headers:, body:}}` or `{:error, text}`.
  @spec perform(request(), (String.t() -> boolean()), non_neg_integer(), timeout()) ::
          {:ok, map()} | {:error, String.t()}
  def perform(request, allowed?, most, timeout) do
    deadline = Call.Timeout.deadline(min(timeout, @longest))
    hop(request, allowed?, most, deadline, @redirects)
  end

  defp hop(request, allowed?, most, deadline, left) do
    with :ok <- check(request),
         {:ok, response} <- send_one(request, most, deadline) do
      case next(request, response) do
        nil ->
          {:ok, response}

        _next when left == 0 ->
          {:error, "too many redirects"}

        {:error, _} = error ->
          error

        next ->
          if allowed?.(next.url),
            do: hop(next, allowed?, most, deadline, left - 1),
            else: {:error, "HTTP request to #{next.url} is not allowed"}
      end
    end
  end

  defp check(%{method: method, url: url, headers: headers}) do
    cond do
      not is_map_key(@methods, method) ->
        {:error,
         "#{method}: unknown HTTP method; the methods are #{@methods |> Map.keys() |> Enum.join(", ")}"}

      not String.match?(url, ~r{\Ahttps?://}i) ->
        {:error, "unknown scheme: #{url |> String.split(":") |> hd()}"}

      Enum.any?(headers, fn {name, value} -> bad_header?(name, value) end) ->
        {:error, "invalid HTTP header"}

      true ->
        :ok
    end
  end

  defp bad_header?(name, value),
    do:
      not String.match?(name, ~r/\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\z/) or
        String.match?(value, ~r/[\r\n\0]/)

  defp send_one(%{method: method, url: url} = request, most, deadline) do
    {:ok, _} = Application.ensure_all_started(:inets)
    {:ok, _} = Application.ensure_all_started(:ssl)
    time = Call.Timeout.left(deadline)
    http = [autoredirect: false, timeout: time, connect_timeout: time] ++ tls(url)
    options = [sync: false, stream: :self, body_format: :binary]

    case :httpc.request(verb(method), target(request), http, options) do
      {:ok, ref} -> receive_response(ref, most, deadline)
      {:error, reason} -> {:error, text(reason)}
    end
  end

  for {method, verb} <- @methods, do: defp(verb(unquote(method)), do: unquote(verb))

  defp target(%{method: method, url: url, headers: headers, body: body}) do
    headers =
      for {name, value} <- headers, do: {String.to_charlist(name), String.to_charlist(value)}

    type =
      Enum.find_value(headers, 'application/octet-stream', fn {name, value} ->
        if :string.lowercase(name) == 'content-type', do: value
      end)

    # httpc requires a body for these methods.
    if method in ["POST", "PUT", "PATCH"] or body != "",
      do: {String.to_charlist(url), headers, type, body},
      else: {String.to_charlist(url), headers}
  end

  defp tls(url) do
    if String.match?(url, ~r{\Ahttps:}i) do
      match = [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]

      [
        ssl: [
          verify: :verify_peer,
          cacerts: :public_key.cacerts_get(),
          depth: 5,
          customize_hostname_check: match
        ]
      ]
    else
      []
    end
  end

  # httpc only streams bodies with status 200.
  defp receive_response(ref, most, deadline) do
    receive do
      {:http, {^ref, :stream_start, headers}} ->
        body(ref, strings(headers), [], 0, most, deadline)

      {:http, {^ref, {{_, status, _}, headers, body}}} when byte_size(body) <= most ->
        {:ok, %{status: status, headers: strings(headers), body: body}}

      {:http, {^ref, {{_, _, _}, _, _}}} ->
        too_long(most)

      {:http, {^ref, {:error, reason}}} ->
        {:error, text(reason)}
    after
      Call.Timeout.left(deadline) -> cancel(ref, "timeout")
    end
  end

  defp body(ref, headers, parts, size, most, deadline) do
    receive do
      {:http, {^ref, :stream, part}} when size + byte_size(part) <= most ->
        body(ref, headers, [part | parts], size + byte_size(part), most, deadline)

      {:http, {^ref, :stream, _part}} ->
        {:error, text} = too_long(most)
        cancel(ref, text)

      {:http, {^ref, :stream_end, _trailers}} ->
        {:ok,
         %{status: 200, headers: headers, body: parts |> Enum.reverse() |> IO.iodata_to_binary()}}

      {:http, {^ref, {:error, reason}}} ->
        {:error, text(reason)}
    after
      Call.Timeout.left(deadline) -> cancel(ref, "timeout")
    end
  end

  defp too_long(most),
    do: {:error, "HTTP response exceeds the configured maximum number of bytes: #{most}"}

  # Remove its messages from the mailbox of the caller.
  defp cancel(ref, text) do
    :httpc.cancel_request(ref)
    flush(ref)
    {:error, text}
  end

  defp flush(ref) do
    receive do
      {:http, message} when elem(message, 0) == ref -> flush(ref)
    after
      0 -> :ok
    end
  end

  defp strings(headers),
    do:
      for(
        {name, value} <- headers,
        do: {to_string(name), :unicode.characters_to_binary(value, :latin1)}
      )

  defp text({:failed_connect, [_, {_, _, reason} | _]}), do: "cannot connect: #{inspect(reason)}"
  defp text(:timeout), do: "timeout"
  defp text(reason), do: inspect(reason)

  # The request after a redirect, or nil.
  defp next(%{method: method, body: body} = request, %{status: status, headers: headers})
       when status in [301, 302, 303, 307, 308] do
    case List.keyfind(headers, "location", 0) do
      nil ->
        nil

      {_, location} ->
        url = request.url |> URI.merge(location) |> to_string()

        cond do
          status in [307, 308] and body != "" ->
            {:error, "redirect failed: the body cannot be sent again"}

          status in [307, 308] or method == "HEAD" ->
            elsewhere(%{request | url: url}, request)

          true ->
            elsewhere(%{request | url: url, method: "GET", body: ""}, request)
        end
    end
  rescue
    _ in [ArgumentError, URI.Error] -> {:error, "redirect failed: invalid URL"}
  end

  defp next(_request, _response), do: nil

  # Credentials are only for their original host.
  defp elsewhere(next, before) do
    if URI.parse(next.url).authority == URI.parse(before.url).authority,
      do: next,
      else: %{
        next
        | headers:
            Enum.reject(next.headers, fn {name, _} ->
              String.downcase(name) in ["authorization", "cookie"]
            end)
      }
  end
end
