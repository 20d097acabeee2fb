defmodule Wasmex.HTTP.Exchange do
  @moduledoc false
  # One request and its response: drives the program in this process and passes the response on as it is printed.
  #
  # Up to 64 KiB of the body are buffered, so that short responses are sent at once and failures until then become an error
  # response. Longer responses are streamed.
  #
  # `reply` is a function of `event, state` that returns the state, or `{:gone, state}` if the client has disconnected:
  #
  #     {:whole, status, headers, body}
  #     {:head, status, headers}, {:chunk, bytes}…, then :done or :broken
  #     {:hurry, event}: an event with a short write timeout, see `Wasmex.HTTP.Service`

  alias Wasmex.{Error, Store, Utils}
  alias Wasmex.HTTP.{Convention, Function, GuestLog, Request, Response, Reuse}
  alias Wasmex.Program.{Driver, Session, Sink, Source}

  @held 64 * 1024

  # The number of slices (of a quarter of a millisecond, or of one while schedulers are free) after which a request continues with low priority, so that
  # short requests do not wait for it.
  @long 20

  defstruct [
    :function,
    :convention,
    :reply,
    :state,
    :closed,
    phase: :head,
    held: [],
    size: 0,
    log: "",
    slices: 0,
    # The remaining output in bytes, if the store does not count it.
    left: :infinity,
    # The instance of a successful request, for reuse.
    kept: nil
  ]

  @doc """
  `closed` is the message that reports that the client has disconnected, a function that returns it (see
  `Wasmex.Program.Driver.run/4`), or nil. Returns `{response, state}`. The body of
  the response is empty if it was streamed.
  """
  @spec run(Function.t(), Request.t(), fun(), term(), term()) :: {Response.t(), term()}
  def run(%Function{} = function, %Request{} = request, reply, state, closed \\ nil) do
    lease = Reuse.borrow(function)

    try do
      run(function, Reuse.source(function, lease), request, reply, state, closed)
    catch
      kind, reason ->
        Reuse.give_back(lease, nil)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      {response, state, kept} ->
        Reuse.give_back(lease, kept)
        {response, state}
    end
  end

  @doc "The same with this source; also returns the instance if it can be reused."
  @spec run(Function.t(), Source.t(), Request.t(), fun(), term(), term()) ::
          {Response.t(), term(), Source.instance() | nil}
  def run(%Function{} = function, source, %Request{} = request, reply, state, closed) do
    started = System.monotonic_time()
    convention = Convention.module(function.convention)
    {args, variables} = convention.input(request)
    GuestLog.begin()

    exchange = %__MODULE__{
      function: function,
      convention: convention,
      reply: reply,
      state: state,
      closed: closed,
      left:
        if(function.convention == :component, do: function.options.max_output, else: :infinity)
    }

    options = function.options

    options = %{
      options
      | env: environment(variables, options.env),
        stdin: request.body,
        entry: Convention.entry(convention, request)
    }

    {response, exchange} =
      case Session.start(source, Enum.map(args, &clean/1), options) do
        {:ok, session} -> session |> Session.begin() |> drive(exchange)
        {:error, error} -> failed(exchange, 500, error)
      end

    if exchange.slices > @long, do: Process.flag(:priority, :normal)
    duration = System.monotonic_time() - started
    us = System.convert_time_unit(duration, :native, :microsecond)
    {%{response | log: GuestLog.take(), duration: us}, exchange.state, exchange.kept}
  end

  # Requests may contain bytes that are invalid in variables. The settings of the function take precedence.
  defp environment(variables, own) do
    variables = Map.new(variables, fn {key, value} -> {key, clean(value)} end)
    Map.merge(variables, own)
  end

  defp clean(value) do
    if Utils.text?(value),
      do: value,
      else: value |> String.replace(<<0>>, "") |> latin1()
  end

  # Header values are bytes. Values that are not UTF-8 are read as Latin-1, as in HTTP/1.0.
  defp latin1(bytes) do
    if Utils.utf8?(bytes), do: bytes, else: :unicode.characters_to_binary(bytes, :latin1)
  end

  defp drive(outcome, %{closed: closed} = exchange) do
    case Driver.run(outcome, {:ok, exchange}, &pass_on/3, closed) do
      {:over, result, {:ok, exchange}} ->
        over(result, exchange)

      {:interrupted, session, {:ok, exchange}} ->
        error = %Error{reason: :cancelled, details: %{}}
        Session.abort(session, error)
        {%Response{status: 499, error: error}, exchange}

      {:halted, outcome, {:error, status, error, exchange}} ->
        outcome |> Driver.session() |> Session.abort(error)
        failed(exchange, status, error)
    end
  end

  # Passes on the output since the last step.
  defp pass_on(next, session, {:ok, exchange}) do
    {stdout, sink} = Sink.take(session.stdout)
    {stderr, errors} = Sink.take(session.stderr)
    session = %{session | stdout: sink, stderr: errors}

    with {:ok, exchange} <- count(exchange, [stdout, stderr]),
         {:ok, exchange} <- exchange |> log(stderr) |> printed(stdout) do
      GuestLog.flush()
      {:cont, session, {:ok, slice(next, exchange)}}
    else
      failure -> {:halt, session, failure}
    end
  end

  defp slice(:wait, exchange), do: exchange

  defp slice(:again, exchange) do
    if exchange.slices == @long, do: Process.flag(:priority, :low)
    %{exchange | slices: exchange.slices + 1}
  end

  defp count(%{left: :infinity} = exchange, _chunks), do: {:ok, exchange}

  defp count(%{left: left} = exchange, chunks) do
    case left - IO.iodata_length(chunks) do
      left when left >= 0 ->
        {:ok, %{exchange | left: left}}

      _beyond ->
        limit = exchange.function.options.max_output
        {:error, 502, %Error{reason: :output_limit, details: %{limit: limit}}, exchange}
    end
  end

  # Standard error is logged line by line.
  defp log(exchange, []), do: exchange

  defp log(exchange, chunks) do
    {lines, [rest]} =
      IO.iodata_to_binary([exchange.log | chunks]) |> String.split("\n") |> Enum.split(-1)

    Enum.each(lines, &GuestLog.put(exchange.function.name, &1, :warning))
    %{exchange | log: binary_part(rest, 0, min(byte_size(rest), 8192))}
  end

  defp printed(exchange, []), do: {:ok, exchange}

  defp printed(%{phase: :head} = exchange, chunks) do
    printed = IO.iodata_to_binary([exchange.held | chunks])

    case exchange.convention.head(printed) do
      :more ->
        {:ok, %{exchange | held: [printed]}}

      {:error, why} ->
        {:error, 502, invalid(why), exchange}

      {:head, status, headers, rest} ->
        body(%{exchange | phase: {:body, status, headers}, held: []}, [rest])
    end
  end

  defp printed(exchange, chunks), do: body(exchange, chunks)

  defp invalid(reason) do
    message = "the function printed an invalid response: #{reason}"
    %Error{reason: :output, details: %{message: message}}
  end

  # These responses have no body, even if the function prints one.
  @bodiless [204, 205, 304]

  defp body(%{phase: {:body, status, _headers}} = exchange, _chunks) when status in @bodiless,
    do: {:ok, exchange}

  defp body(%{phase: {:body, status, headers}} = exchange, chunks) do
    held = [exchange.held | chunks]
    size = exchange.size + IO.iodata_length(chunks)

    if size <= @held do
      {:ok, %{exchange | held: held, size: size}}
    else
      bytes = IO.iodata_to_binary(held)
      exchange = %{exchange | phase: :streaming, held: []}

      with {:ok, exchange} <- reply(exchange, {:head, status, typed(headers, bytes)}),
           do: reply(exchange, {:chunk, bytes})
    end
  end

  defp body(%{phase: :streaming} = exchange, chunks), do: reply(exchange, {:chunk, chunks})

  # Detects the content type for conventions without one.
  defp typed(headers, bytes) do
    if List.keymember?(headers, "content-type", 0) do
      headers
    else
      type =
        if Utils.utf8?(bytes), do: "text/plain; charset=utf-8", else: "application/octet-stream"

      [{"content-type", type} | headers]
    end
  end

  defp reply(exchange, event) do
    case exchange.reply.(event, exchange.state) do
      {:gone, state} ->
        {:error, 499, %Error{reason: :cancelled, details: %{}}, %{exchange | state: state}}

      state ->
        {:ok, %{exchange | state: state}}
    end
  end

  # The instance is only kept if the response is valid.
  defp over({:kept, run, {store, _, _} = instance}, exchange) do
    {response, exchange} = over({:ok, run}, exchange)
    if response.error, do: Store.close(store)
    {response, %{exchange | kept: if(response.error, do: nil, else: instance)}}
  end

  # The program has ended. Its result contains the last output.
  defp over({:ok, run}, exchange) do
    case last(exchange, run) do
      {:ok, exchange} -> finish(exchange, run)
      {:error, status, error, exchange} -> failed(exchange, status, error)
    end
  end

  defp over({:error, error}, exchange) do
    exchange = log(exchange, error.run.stderr || [])
    failed(exchange, status(error), error)
  end

  defp over({:raised, {kind, reason, stacktrace}}, _exchange),
    do: :erlang.raise(kind, reason, stacktrace)

  defp last(exchange, run) do
    exchange = log(exchange, run.stderr)
    if exchange.log != "", do: GuestLog.put(exchange.function.name, exchange.log, :warning)

    with {:ok, exchange} <- count(exchange, [run.stdout, run.stderr]),
         do: printed(exchange, run.stdout)
  end

  # A non-zero exit status is a failure, unless the response was already sent.
  defp finish(%{phase: :streaming} = exchange, %{status: 0}) do
    {:ok, exchange} = done(exchange, :done)
    {%Response{status: 200}, exchange}
  end

  defp finish(exchange, %{status: status} = run) when status != 0,
    do: failed(exchange, 500, %Wasmex.Exit{status: status, run: run})

  defp finish(%{phase: :head, held: []} = exchange, _run) do
    case exchange.convention.head("") do
      {:head, status, headers, ""} -> whole(exchange, status, headers, "")
      _ -> failed(exchange, 502, invalid("it printed nothing"))
    end
  end

  defp finish(%{phase: :head} = exchange, _run),
    do: failed(exchange, 502, invalid("its header block has no end"))

  defp finish(%{phase: {:body, status, headers}} = exchange, _run),
    do: whole(exchange, status, headers, IO.iodata_to_binary(exchange.held))

  defp whole(exchange, status, headers, body) do
    headers = if status in @bodiless, do: headers, else: typed(headers, body)
    {:ok, exchange} = done(exchange, {:whole, status, headers, body})
    {%Response{status: status, headers: headers, body: body}, exchange}
  end

  defp done(exchange, event) do
    case exchange.reply.(event, exchange.state) do
      {:gone, state} -> {:ok, %{exchange | state: state}}
      state -> {:ok, %{exchange | state: state}}
    end
  end

  defp status(%Error{reason: :timeout}), do: 504
  defp status(%Error{reason: :output_limit}), do: 502
  # The request body was invalid, which was noticed while the guest read it.
  defp status(%Error{reason: :input, details: %{status: status}}), do: status
  defp status(%Error{reason: :input}), do: 400
  defp status(_error), do: 500

  # The response does not reveal internal errors. A response that has begun can only be aborted.
  # The client has disconnected.
  defp failed(exchange, 499, error), do: {%Response{status: 499, error: error}, exchange}

  defp failed(%{phase: :streaming} = exchange, status, error) do
    {:ok, exchange} = done(exchange, :broken)
    {%Response{status: status, error: error}, exchange}
  end

  defp failed(exchange, status, error) do
    response = Response.plain(status, "#{status} #{Response.reason(status)}")
    {:ok, exchange} = done(exchange, {:whole, status, response.headers, response.body})
    {%{response | error: error}, exchange}
  end
end
