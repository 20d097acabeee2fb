defmodule Wasmex.Plug do
  alias Wasmex.Options

  @name [
    type: :any,
    required: true,
    doc: "the name to use in `plug Wasmex.Plug`",
    example: "MyApp.Functions"
  ]
  @options Options.table(
             [name: @name] ++ Options.HTTP.service() ++ Options.HTTP.page(false),
             "Wasmex.Plug"
           )
  @init Options.table(
          [
            name: @name,
            unknown: [
              type: {:one_of, [:auto, :pass, :not_found]},
              default: :auto,
              doc:
                "what happens to requests for an unknown name: `:pass` leaves them to the next plug, `:not_found` responds with 404. `:auto` passes, except behind `forward`, where no plug follows"
            ]
          ],
          "plug Wasmex.Plug"
        )

  @moduledoc """
  Serves functions in a Plug pipeline, with Bandit or Cowboy, or in a Phoenix router.

  Start the functions under your supervisor:

      children = [{Wasmex.Plug, name: MyApp.Functions, dir: "functions"}]

  and route requests to them:

      plug Wasmex.Plug, name: MyApp.Functions                          # in a Plug.Builder or Plug.Router
      forward "/f", Wasmex.Plug, name: MyApp.Functions                 # in a Phoenix router
      forward "/f", to: Wasmex.Plug, init_opts: [name: MyApp.Functions]  # in a Plug.Router

  `GET /f/goenv/rest?query` then runs `goenv.wasm` in the folder. With `file: "goenv.wasm"` instead of `dir:`, one
  function handles all paths.

  A handled request is halted. The plug's option `:unknown` controls requests for unknown names: `:pass` leaves them to
  the next plug, `:not_found` responds with 404. By default (`:auto`) they are passed on, except behind `forward`, where
  no plug follows.

  ## Options of the child

  #{Options.Docs.table(@options)}

  Bodies are streamed: the request body is read as the function reads it, and responses larger than 64 KiB are sent as they
  are printed. The guest is stopped when writing to the client fails, or when the web server ends the process of a
  disconnected client.

  Plug is an optional dependency.
  """

  @compile {:no_warn_undefined, [Plug.Conn, Bandit.HTTP2.Errors.StreamError]}

  alias Wasmex.HTTP.{Gate, Request, Service, Versions}
  alias Wasmex.Quantity

  @type options :: %{name: term(), unknown: :auto | :pass | :not_found}

  # The adapter after the last read or write.
  @key :"$wasmex_plug_conn"
  # The write timeout for a part of a response while other requests need the place, in ms.
  @hurry 250
  # INTERNAL_ERROR of RFC 9113, section 7.
  @internal_error 2

  @read [length: 65_536, read_length: 65_536, read_timeout: 10_000]

  @doc "The child spec of the functions."
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts) do
    %{name: name} = opts = Service.check!(opts, @options)
    %{id: {__MODULE__, name}, start: {__MODULE__, :start_link, [name, opts]}, type: :supervisor}
  end

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  @doc false
  @spec start_link(term(), map()) :: Supervisor.on_start()
  def start_link(name, opts) do
    with {:ok, pid} <- Service.start_link(name, opts) do
      :persistent_term.put({__MODULE__, name}, Service.handle(name, opts))
      {:ok, pid}
    end
  end

  @doc "The name of a function for `Wasmex.Deploy`, for its versions and rollbacks, see `Wasmex.HTTP.Server`."
  @spec deployed_as(term(), String.t()) :: Wasmex.Deploy.name()
  def deployed_as(name, function),
    do: Versions.name(:persistent_term.get({__MODULE__, name}).scope, function)

  @doc "Plug's `init/1`: the option `:name` of the child, and `:unknown`."
  @spec init(keyword()) :: options()
  def init(opts), do: Options.new!(opts, @init)

  @doc "Plug's `call/2`: handles the request, or passes it on."
  @spec call(struct(), options()) :: struct()
  def call(conn, %{name: name, unknown: unknown}) do
    service =
      :persistent_term.get({__MODULE__, name}, nil) ||
        raise ArgumentError,
              "no functions named #{inspect(name)} are running: add {Wasmex.Plug, name: #{inspect(name)}, dir: …} to a supervisor"

    request = request(conn)

    if passes?(unknown, conn) and not Service.knows?(service, request),
      do: conn,
      else: %{serve(conn, request, service) | halted: true}
  end

  defp passes?(:auto, conn), do: conn.script_name == []
  defp passes?(unknown, _conn), do: unknown == :pass

  @doc false
  @spec serve(struct(), Service.t()) :: struct()
  def serve(conn, service), do: serve(conn, request(conn), service)

  defp serve(conn, request, service) do
    {_response, {conn, ended}} = Service.serve(service, request, &reply/2, {conn, :ok})
    conn = current(conn)
    Process.delete(@key)

    if ended == :broken, do: break_off(conn), else: conn
  end

  # An incomplete response must not look complete: web servers close the connection when its process fails. Bandit resets an
  # HTTP/2 stream only for this exception.
  @spec break_off(struct()) :: no_return()
  defp break_off(conn) do
    message = "the function failed in the middle of its response"

    if protocol(conn) == "HTTP/2" and Code.ensure_loaded?(Bandit.HTTP2.Errors.StreamError),
      do: raise(Bandit.HTTP2.Errors.StreamError, message: message, error_code: @internal_error),
      else: exit({:shutdown, :wasmex_answer_broken_off})
  end

  defp request(conn) do
    # The path, without the part that routers have matched.
    path = conn.request_path |> String.split("/") |> Enum.drop(1 + length(conn.script_name))

    request = %Request{
      method: conn.method,
      path: "/" <> Enum.join(path, "/"),
      query: conn.query_string,
      headers: conn.req_headers,
      host: conn.host,
      port: conn.port,
      scheme: Atom.to_string(conn.scheme),
      remote_addr: address(conn.remote_ip),
      mount: Enum.map_join(conn.script_name, &("/" <> &1)),
      protocol: protocol(conn)
    }

    %{request | body: {:stream, content_length(request), &body(conn, &1, &2)}}
  end

  # Not available before Plug 1.15.
  defp protocol(conn) do
    if function_exported?(Plug.Conn, :get_http_protocol, 1),
      do: conn |> Plug.Conn.get_http_protocol() |> Atom.to_string(),
      else: "HTTP/1.1"
  end

  # Unix sockets have no address.
  defp address(ip) do
    case :inet.ntoa(ip) do
      {:error, _} -> ""
      text -> to_string(text)
    end
  end

  defp content_length(request) do
    case Quantity.natural(Request.header(request, "content-length") || "") do
      {:ok, length} -> length
      :error -> :unknown
    end
  end

  # A stream of at most `most` bytes, within `time` ms.
  defp body(conn, most, time) do
    deadline = System.monotonic_time(:millisecond) + time

    Stream.resource(
      fn -> {conn, 0} end,
      fn
        :end -> {:halt, :end}
        {conn, read} -> conn |> read_body(deadline) |> read(read, most)
      end,
      fn _ -> :ok end
    )
  end

  defp read_body(conn, deadline) do
    case max(deadline - System.monotonic_time(:millisecond), 0) do
      0 ->
        {:error, :timeout}

      left ->
        Gate.wait(fn patient? ->
          patience = min(if(patient?, do: @read[:read_timeout], else: @hurry), left)
          Plug.Conn.read_body(current(conn), [{:read_timeout, patience} | @read])
        end)
    end
  end

  # A failure is the last element of the stream.
  defp read({:error, :timeout}, _read, _most), do: {[Request.body_error(408)], :end}
  defp read({:error, _}, _read, _most), do: {[Request.body_error(400)], :end}

  defp read({more, bytes, conn}, read, most) do
    kept(conn)
    read = read + byte_size(bytes)

    cond do
      read > most -> {[Request.body_error(413)], :end}
      more == :ok -> {[bytes], :end}
      true -> {[bytes], {conn, read}}
    end
  end

  # Reading and writing both return a new connection, whose adapter is the state of the socket. A body may be read while its response
  # is being written, so the last one is kept in the process dictionary.
  defp current(conn) do
    case Process.get(@key) do
      nil -> conn
      adapter -> %{conn | adapter: adapter}
    end
  end

  defp kept(%{adapter: adapter} = conn) do
    Process.put(@key, adapter)
    conn
  end

  # Web servers wait much longer for a client that does not read. When this process dies, its place becomes free and its
  # guest stops.
  defp reply({:hurry, event}, state) do
    {:ok, timer} = :timer.kill_after(@hurry)
    written = reply(event, state)
    :timer.cancel(timer)
    written
  end

  defp reply({:whole, status, headers, body}, {conn, _}) do
    conn = conn |> current() |> put(headers)
    {kept(Plug.Conn.send_resp(conn, status, body)), :ok}
  end

  defp reply({:head, status, headers}, {conn, _}) do
    conn = conn |> current() |> put(headers)
    {kept(Plug.Conn.send_chunked(conn, status)), :ok}
  end

  defp reply({:chunk, bytes}, {conn, _}) do
    case Plug.Conn.chunk(current(conn), IO.iodata_to_binary(bytes)) do
      {:ok, conn} -> {kept(conn), :ok}
      {:error, _} -> {:gone, {conn, :ok}}
    end
  end

  defp reply(:done, {conn, _}), do: {conn, :ok}
  defp reply(:broken, {conn, _}), do: {conn, :broken}

  # These fields are unique, and a connection may have a default for the first. Others (Set-Cookie, Vary) may be repeated.
  @single ~w(cache-control content-type expires etag last-modified location)

  defp put(conn, headers) do
    names = for {name, _} <- headers, name = String.downcase(name), name in @single, do: name
    kept = Enum.reject(conn.resp_headers, fn {name, _} -> String.downcase(name) in names end)
    %{conn | resp_headers: kept ++ headers}
  end
end
