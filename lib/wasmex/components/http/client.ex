defmodule Wasmex.Components.HTTP.Client do
  @moduledoc false
  # Takes the requests of guests and starts a process for each. The NIF sends
  # `{:wasmex_http, exchange, method, url, headers, {body, wait, options}}`; the process answers with
  # `Native.http_respond/4` or `http_fail/3`. When it dies without, the exchange is collected, and the guest
  # gets an error.

  use GenServer

  require Logger

  alias Wasmex.{Native, Pipe}
  alias Wasmex.Call.Timeout
  alias Wasmex.Components.HTTP.Policy
  alias Wasmex.Wasi.WasiP2Options

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: __MODULE__)

  @doc "The process, which runs with the application."
  def whereis! do
    Process.whereis(__MODULE__) ||
      raise ArgumentError, "outgoing HTTP needs the application :wasmex to be started"
  end

  @doc "What a store is given, of options that were checked: the process that performs requests, and its options."
  @spec grant(WasiP2Options.t()) :: {pid(), map()} | nil
  def grant(options) do
    # As long as a timer can be set, with some time to spare.
    timeout = Timeout.capped(options.http_timeout + 10_000) - 10_000
    max = options.http_max_response

    with rules when rules != nil <- Policy.rules(options),
         do: {whereis!(), %{rules: rules, function: options.http, timeout: timeout, max: max}}
  end

  @impl true
  def init(_opts), do: {:ok, nil}

  @impl true
  def handle_info({:wasmex_http, exchange, method, url, headers, {body, wait, options}}, state) do
    request = %{method: method, url: url, headers: headers}
    spawn(fn -> perform(exchange, request, Pipe.__wrap_resource__(body), wait, options) end)
    # Nothing of the request stays behind here: the guest is told when its exchange is collected.
    {:noreply, state, :hibernate}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp perform(exchange, request, body, wait, options) do
    timeout = min(options.timeout, wait || options.timeout)
    # Nobody waits for it any longer than this.
    {:ok, timer} = :timer.kill_after(timeout + 5_000)

    # Whatever happens here, the guest is told.
    result =
      with true <- Policy.reachable?(options.rules, URI.parse(request.url)) || {:error, :denied},
           {:ok, body} <- collect(body, options.max, timeout, []),
           do: ask(Map.put(request, :body, body), timeout, options)

    answered(exchange, result, options.max)
    :timer.cancel(timer)
  after
    Pipe.close(body)
  end

  # What the function answered may be anything.
  defp answered(exchange, result, max) do
    answer(exchange, result, max)
  rescue
    error ->
      text = "the function answered #{inspect(result, limit: 5)}: #{Exception.message(error)}"
      Native.http_fail(exchange, :other, text)
  end

  defp collect(pipe, left, timeout, read) do
    case Pipe.recv(pipe, timeout) do
      :eof ->
        {:ok, read |> Enum.reverse() |> IO.iodata_to_binary()}

      {:ok, bytes} when byte_size(bytes) > left ->
        {:error, :too_large}

      {:ok, bytes} ->
        collect(pipe, left - byte_size(bytes), timeout, [bytes | read])

      {:error, _timeout} ->
        {:error, :timeout}
    end
  end

  defp ask(request, timeout, %{function: nil, max: max}), do: httpc(request, timeout, max)

  defp ask(request, timeout, %{function: function}) do
    task = Task.async(fn -> guarded(function, request) end)

    case Task.yield(task, timeout) || Task.shutdown(task, :brutal_kill) do
      {:ok, result} -> result
      _ -> {:error, :timeout}
    end
  end

  defp guarded(function, request) do
    function.(request)
  catch
    kind, reason ->
      Logger.error(
        "the function that performs HTTP requests of components failed: " <>
          Exception.format(kind, reason, __STACKTRACE__)
      )

      {:error, :failed}
  end

  defp httpc(request, timeout, max) do
    {:ok, _} = Application.ensure_all_started(:inets)
    {:ok, _} = Application.ensure_all_started(:ssl)

    case request.method |> String.downcase() |> method() do
      nil -> {:error, "`:httpc` knows no method #{request.method}"}
      method -> httpc(method, request, timeout, max)
    end
  end

  defp httpc(method, request, timeout, max) do
    {type, headers} = headers(request.headers)
    url = String.to_charlist(request.url)

    message =
      if request.body == "" and method in [:get, :head, :options, :delete, :trace],
        do: {url, headers},
        else: {url, headers, type, request.body}

    http = [timeout: timeout, connect_timeout: timeout, autoredirect: false, ssl: ssl()]

    # The body comes piece by piece, so that one without end is noticed.
    opts = [sync: false, stream: :self, body_format: :binary]

    case :httpc.request(method, message, http, opts) do
      {:ok, id} -> receive_response(id, max, timeout + 1_000)
      {:error, reason} -> {:error, reason(reason)}
    end
  end

  defp method("get"), do: :get
  defp method("head"), do: :head
  defp method("post"), do: :post
  defp method("put"), do: :put
  defp method("patch"), do: :patch
  defp method("delete"), do: :delete
  defp method("options"), do: :options
  defp method("trace"), do: :trace
  defp method(_other), do: nil

  # `:httpc` sets these two itself.
  defp headers(headers) do
    type = Enum.find_value(headers, ~c"application/octet-stream", &type/1)
    skipped = ["content-type", "content-length", "host"]

    {type,
     for {name, value} <- headers, String.downcase(name) not in skipped do
       {String.to_charlist(name), String.to_charlist(value)}
     end}
  end

  defp type({name, value}) do
    if String.downcase(name) == "content-type", do: String.to_charlist(value)
  end

  defp ssl, do: [verify: :verify_peer, cacerts: :public_key.cacerts_get(), depth: 4] ++ check()

  defp check do
    match = :public_key.pkix_verify_hostname_match_fun(:https)
    [customize_hostname_check: [match_fun: match]]
  rescue
    _ -> []
  end

  defp receive_response(id, max, timeout) do
    receive do
      {:http, {^id, :stream_start, headers}} -> receive_body(id, headers, [], max, timeout)
      # Only answers of 200 and 206 are streamed; others come whole.
      {:http, {^id, {{_, status, _}, headers, body}}} -> whole(status, headers, body, max)
      {:http, {^id, {:error, reason}}} -> {:error, reason(reason)}
    after
      timeout -> cancel(id, :timeout)
    end
  end

  defp whole(_status, _headers, body, max) when byte_size(body) > max, do: {:error, :too_large}

  defp whole(status, headers, body, _max),
    do: {:ok, %{status: status, headers: strings(headers), body: body}}

  defp receive_body(id, headers, read, left, timeout) do
    receive do
      {:http, {^id, :stream, bytes}} when byte_size(bytes) > left ->
        cancel(id, :too_large)

      {:http, {^id, :stream, bytes}} ->
        receive_body(id, headers, [bytes | read], left - byte_size(bytes), timeout)

      {:http, {^id, :stream_end, _headers}} ->
        body = read |> Enum.reverse() |> IO.iodata_to_binary()
        status = if List.keymember?(headers, ~c"content-range", 0), do: 206, else: 200
        {:ok, %{status: status, headers: strings(headers), body: body}}

      {:http, {^id, {:error, reason}}} ->
        {:error, reason(reason)}
    after
      timeout -> cancel(id, :timeout)
    end
  end

  defp cancel(id, why) do
    :httpc.cancel_request(id)
    {:error, why}
  end

  defp strings(headers),
    do: for({name, value} <- headers, do: {to_string(name), to_string(value)})

  defp reason(:timeout), do: :timeout
  defp reason(:nxdomain), do: :dns

  defp reason({:failed_connect, details}) do
    reasons = for {_kind, _opts, reason} <- details, do: reason

    cond do
      :nxdomain in reasons -> :dns
      :timeout in reasons -> :timeout
      true -> :refused
    end
  end

  defp reason(other), do: other

  defp answer(exchange, {:ok, %{status: status} = response}, max) when status in 100..999 do
    body = Map.get(response, :body, "")

    if IO.iodata_length(body) > max do
      answer(exchange, {:error, :too_large}, max)
    else
      headers = strings(Map.get(response, :headers, []))
      {:ok, pipe} = Pipe.new(mode: :stream)
      Native.http_respond(exchange, status, headers, pipe.resource)
      Pipe.write(pipe, IO.iodata_to_binary(body))
      Pipe.close(pipe)
    end
  end

  defp answer(exchange, {:error, reason}, _max) when is_atom(reason),
    do: Native.http_fail(exchange, reason, to_string(reason))

  defp answer(exchange, {:error, reason}, _max),
    do: Native.http_fail(exchange, :other, inspect(reason, limit: 5))

  defp answer(exchange, other, _max),
    do: Native.http_fail(exchange, :other, "the function answered #{inspect(other, limit: 5)}")
end
