defmodule Wasmex.Plug do
  alias Wasmex.Options

  @name [
    type: :any,
    required: true,
    doc: "by which `plug Wasmex.Plug` finds the functions",
    example: "MyApp.Functions"
  ]
  @options Options.table(
             [name: @name] ++ Options.HTTP.service() ++ Options.HTTP.page(false),
             "Wasmex.Plug"
           )
  @init Options.table([name: @name], "plug Wasmex.Plug")

  @moduledoc """
  Serves functions inside a Plug pipeline: under Bandit or Cowboy, in a Phoenix router.

  The functions live under your supervisor:

      children = [{Wasmex.Plug, name: MyApp.Functions, dir: "functions"}]

  and requests come to them by

      plug Wasmex.Plug, name: MyApp.Functions                          # in a Plug.Builder or Plug.Router
      forward "/f", Wasmex.Plug, name: MyApp.Functions                 # in a Phoenix router
      forward "/f", to: Wasmex.Plug, init_opts: [name: MyApp.Functions]  # in a Plug.Router

  `GET /f/goenv/rest?query` then runs `goenv.wasm` of the folder. With `file: "goenv.wasm"` instead of `dir:`
  there is one function, and the whole path is its own.

  ## Options of the child

  #{Options.Docs.table(@options)}

  Bodies are streamed both ways: the request's is read as the function reads, an answer of more than
  64 KiB is sent as it is printed. When writing to a client fails, or the web server ends the process of a
  client that has gone, the guest is stopped.

  There is no dependency on Plug: it is called when it is there.
  """

  @compile {:no_warn_undefined, [Plug.Conn, Bandit.HTTP2.Errors.StreamError]}

  alias Wasmex.HTTP.{Request, Service}

  # The connection as the last reading of the body left it.
  @key :"$wasmex_plug_conn"
  # Ms for a piece of an answer where places are needed.
  @hurry 250
  # INTERNAL_ERROR of RFC 9113, section 7.
  @internal_error 2

  @read [length: 65_536, read_length: 65_536, read_timeout: 10_000]

  @doc "The functions, for a supervisor."
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

  @doc "Plug's `init/1`: the option `:name` of the child."
  @spec init(keyword()) :: term()
  def init(opts) do
    Options.new!(opts, @init).name
  end

  @doc "Plug's `call/2`: answers the request."
  @spec call(struct(), term()) :: struct()
  def call(conn, name) do
    service =
      :persistent_term.get({__MODULE__, name}, nil) ||
        raise ArgumentError,
              "there are no functions named #{inspect(name)}: put {Wasmex.Plug, name: #{inspect(name)}, dir: …} under a supervisor"

    serve(conn, service)
  end

  @doc false
  @spec serve(struct(), Service.t()) :: struct()
  def serve(conn, service) do
    {_response, {conn, ended}} = Service.serve(service, request(conn), &reply/2, {conn, :ok})
    Process.delete(@key)

    if ended == :broken, do: break_off(conn), else: conn
  end

  # Half an answer must not look like a whole one: web servers close the connection of a process that ends so. Bandit
  # resets a stream of HTTP/2 for this exception alone.
  @spec break_off(struct()) :: no_return()
  defp break_off(conn) do
    message = "the function failed in the middle of its answer"

    if protocol(conn) == "HTTP/2" and Code.ensure_loaded?(Bandit.HTTP2.Errors.StreamError),
      do: raise(Bandit.HTTP2.Errors.StreamError, message: message, error_code: @internal_error),
      else: exit({:shutdown, :wasmex_answer_broken_off})
  end

  defp request(conn) do
    # As it came, without what the routers before have taken off.
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
      protocol: protocol(conn)
    }

    %{request | body: {:stream, content_length(request), &body(conn, &1, &2)}}
  end

  # Plug before 1.15 does not tell.
  defp protocol(conn) do
    if function_exported?(Plug.Conn, :get_http_protocol, 1),
      do: conn |> Plug.Conn.get_http_protocol() |> Atom.to_string(),
      else: "HTTP/1.1"
  end

  # Of a local socket there is none.
  defp address(ip) do
    case :inet.ntoa(ip) do
      {:error, _} -> ""
      text -> to_string(text)
    end
  end

  defp content_length(request) do
    case Integer.parse(Request.header(request, "content-length") || "") do
      {length, ""} -> length
      _ -> :unknown
    end
  end

  # Of at most so many bytes, within so many ms.
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
        patience = min(@read[:read_timeout], left)
        Plug.Conn.read_body(conn, [{:read_timeout, patience} | @read])
    end
  end

  # A failure is the last element.
  defp read({:error, :timeout}, _read, _most), do: {[Request.body_error(408)], :end}
  defp read({:error, _}, _read, _most), do: {[Request.body_error(400)], :end}

  defp read({more, bytes, conn}, read, most) do
    Process.put(@key, conn)
    read = read + byte_size(bytes)

    cond do
      read > most -> {[Request.body_error(413)], :end}
      more == :ok -> {[bytes], :end}
      true -> {[bytes], {conn, read}}
    end
  end

  # Reading has moved the connection on.
  defp current(conn) do
    case Process.delete(@key) do
      nil -> conn
      %{adapter: adapter} -> %{conn | adapter: adapter}
    end
  end

  # A web server waits much longer for a client that does not read, and nothing else ends that. Whoever dies so gives
  # back its place, and its guest stops.
  defp reply({:hurry, event}, state) do
    {:ok, timer} = :timer.kill_after(@hurry)
    written = reply(event, state)
    :timer.cancel(timer)
    written
  end

  defp reply({:whole, status, headers, body}, {conn, _}) do
    conn = conn |> current() |> put(headers)
    {Plug.Conn.send_resp(conn, status, body), :ok}
  end

  defp reply({:head, status, headers}, {conn, _}) do
    conn = conn |> current() |> put(headers)
    {Plug.Conn.send_chunked(conn, status), :ok}
  end

  defp reply({:chunk, bytes}, {conn, _}) do
    case Plug.Conn.chunk(current(conn), IO.iodata_to_binary(bytes)) do
      {:ok, conn} -> {conn, :ok}
      {:error, _} -> {:gone, {conn, :ok}}
    end
  end

  defp reply(:done, {conn, _}), do: {conn, :ok}
  defp reply(:broken, {conn, _}), do: {conn, :broken}

  # There is one of these, and a connection has the first by default; of others (Set-Cookie, Vary) there may be several.
  @single ~w(cache-control content-type expires etag last-modified location)

  defp put(conn, headers) do
    names = for {name, _} <- headers, name = String.downcase(name), name in @single, do: name
    kept = Enum.reject(conn.resp_headers, fn {name, _} -> String.downcase(name) in names end)
    %{conn | resp_headers: kept ++ headers}
  end
end
