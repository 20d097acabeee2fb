defmodule Wasmex.Server do
  @moduledoc false
  # The state of a `Wasmex` or `Wasmex.Components` process. server/README.md explains the process.
  #
  # *begin* starts a queued call, *handle_step* handles the result of a step, *finish* replies to the caller.

  alias Wasmex.{Call, Compat, Error, Instance, Native, Telemetry}
  alias Wasmex.Call.{Terms, Timeout, Turn}

  @enforce_keys [:store, :module, :instance]
  defstruct store: nil,
            module: nil,
            instance: nil,
            # Looked up once, so that requests for it do not wait for a running call.
            memory: nil,
            # Whether this process created the store, and closes it at the end.
            owned?: false,
            # Functions to begin a call and to format its result, for modules or components. Imports run here: before one
            # does, the caller is put in `$callers`, as in a Task. With `:unobserved`, *begin* may return `:observed`: it
            # wants a span of telemetry first.
            begin: &Instance.begin_compat/6,
            format_reply: &Compat.call/3,
            # Whether to reply on a timeout. Callers of the 0.15 API have exited by then.
            reply_on_timeout?: false,
            # Called with the server and the timeout before each call, to replace a spent instance.
            prepare: nil,
            current: nil,
            # Whether the timer for a long wait is running.
            resting?: false,
            queue: :queue.new()

  @type t :: %__MODULE__{}

  defmodule Current do
    @moduledoc false
    # The current call. `ref` distinguishes its messages from those of earlier calls.
    defstruct [:ref, :name, :call, :from, :span, :monitor, :timer, waiting: nil]
  end

  @doc "Handles a call. Replies immediately if it ends in its first slice."
  @spec call(t(), GenServer.from(), term(), term(), timeout()) ::
          {:reply, term(), t()} | {:noreply, t()}
  def call(%{current: nil} = server, from, name, params, timeout) do
    if waits?(from),
      do: begin(server, from, name, params, timeout),
      else: {:noreply, server}
  end

  def call(server, from, name, params, timeout) do
    request = {from, name, params, Timeout.deadline(timeout)}
    {:noreply, %{server | queue: :queue.in(request, server.queue)}}
  end

  defp begin(server, {caller, _tag} = from, name, params, timeout) do
    server = if server.prepare, do: prepare(server, caller, timeout), else: server

    case first_step(server, caller, name, params, timeout, :unobserved) do
      {:done, {:ok, _} = ok} ->
        {:reply, server.format_reply.(ok, server.instance, name), server}

      :observed ->
        span = Telemetry.start(:call, metadata(server.instance, name))
        begun(server, from, name, span, first_step(server, caller, name, params, timeout, nil))

      # Refused before the guest was asked, so there is no span yet.
      {:done, _error} = outcome ->
        span = Telemetry.start(:call, metadata(server.instance, name))
        begun(server, from, name, span, outcome)

      outcome ->
        begun(server, from, name, nil, outcome)
    end
  end

  defp begun(server, _from, name, span, {:done, result}) do
    Telemetry.stop(span, result)

    if unwanted?(result, server),
      do: {:noreply, server},
      else: {:reply, server.format_reply.(result, server.instance, name), server}
  end

  defp begun(server, from, name, span, outcome),
    do: {:noreply, server |> start(from, name, span, outcome) |> handle_step(outcome)}

  defp prepare(server, caller, timeout) do
    Process.put(:"$callers", [caller])
    server.prepare.(server, timeout)
  end

  defp metadata(%Instance{} = instance, name), do: Instance.call_metadata(instance, name)

  defp metadata(instance, path),
    do: %{instance: instance, function: Enum.join(path, "#"), tags: instance.tags}

  defp first_step(_server, _caller, _name, params, _timeout, _via)
       when not is_list(params) and not is_struct(params, Terms),
       do:
         {:done,
          {:error,
           %Error{reason: :params, details: %{message: "could not load 'function params'"}}}}

  # Invalid arguments are an error of the caller and must not end the server.
  defp first_step(server, caller, name, params, timeout, via) do
    server.begin.(server.instance, name, params, timeout, caller, via)
  rescue
    error in [ArgumentError, ErlangError, FunctionClauseError] ->
      message = "#{inspect(name, limit: 5)} cannot be called: #{Exception.message(error)}"
      {:done, {:error, %Error{reason: :params, details: %{message: message}}}}
  end

  # Only calls that take more than one slice monitor their caller.
  defp start(server, {caller, _tag} = from, name, span, outcome) do
    call = call_of(outcome)
    ref = make_ref()

    current = %Current{
      ref: ref,
      name: name,
      from: from,
      span: span,
      monitor: Process.monitor(caller),
      timer: timer(call, ref)
    }

    %{server | current: current}
  end

  defp timer(%{deadline: :infinity}, _ref), do: nil

  defp timer(call, ref),
    do: Process.send_after(self(), {:wasmex_deadline, ref}, Call.remaining(call))

  defp unwanted?({:error, %Error{reason: :timeout}}, server), do: not server.reply_on_timeout?
  defp unwanted?(_result, _server), do: false

  defp call_of({_kind, call}), do: call
  defp call_of({_kind, _ref, call}), do: call

  defp handle_step(%{current: current} = server, {:done, result}) do
    Telemetry.stop(current.span, result)

    # After a timeout nobody waits for a reply.
    unless unwanted?(result, server),
      do:
        GenServer.reply(current.from, server.format_reply.(result, server.instance, current.name))

    finish(server)
  end

  defp handle_step(%{current: current} = server, {:yield, call}) do
    # Through the mailbox, so that earlier messages are handled first.
    send(self(), {:wasmex_poll, current.ref})
    %{server | current: %{current | call: call, waiting: :poll}}
  end

  defp handle_step(%{current: current} = server, {:wait, ref, call}),
    do: rest_later(%{server | current: %{current | call: call, waiting: {:wake, ref}}}, ref)

  defp handle_step(%{current: current} = server, {:busy, ref, call}),
    do: %{server | current: %{current | call: call, waiting: {:turn, ref}}}

  # One timer for successive short waits.
  defp rest_later(%{resting?: true} = server, _ref), do: server

  defp rest_later(server, ref) do
    Process.send_after(self(), {:wasmex_rest, ref}, Call.rests_after())
    %{server | resting?: true}
  end

  defp finish(%{current: current} = server) do
    Process.demonitor(current.monitor, [:flush])
    if current.timer, do: Process.cancel_timer(current.timer)
    next(%{server | current: nil})
  end

  defp next(server) do
    case :queue.out(server.queue) do
      {:empty, _} ->
        server

      {{:value, {from, name, params, deadline}}, queue} ->
        server = %{server | queue: queue}

        # Skip callers that have timed out or died. A call that ends in its first slice is replied to here.
        with true <- waits?(from),
             timeout when timeout != 0 <- Timeout.left(deadline),
             {:noreply, server} <- begin(server, from, name, params, timeout) do
          if server.current, do: server, else: next(server)
        else
          gone when gone in [false, 0] ->
            next(server)

          {:reply, reply, server} ->
            GenServer.reply(from, reply)
            next(server)
        end
    end
  end

  defp waits?({pid, _tag}), do: node(pid) != node() or Process.alive?(pid)

  @doc "Handles messages about the current call. Messages about earlier calls are ignored."
  @spec info(term(), t()) :: t()
  def info({:wasmex_poll, ref}, %{current: %{ref: ref, waiting: :poll}} = server),
    do: poll(server)

  def info({:wasmex_wake, ref}, %{current: %{waiting: {:wake, ref}}} = server), do: poll(server)

  def info({:wasmex_rest, ref}, server) do
    server = %{server | resting?: false}

    case server.current do
      %{waiting: {:wake, ^ref}, call: call} ->
        Native.call_rest(call.store)
        server

      %{waiting: {:wake, later}} ->
        rest_later(server, later)

      _ ->
        server
    end
  end

  def info({:wasmex_turn, ref}, %{current: %{waiting: {:turn, ref}}} = server) do
    %{call: call} = server.current
    handle_step(server, Call.advance(call.again.(), call))
  end

  def info({:wasmex_deadline, ref}, %{current: %{ref: ref, call: call} = current} = server) do
    if Call.expired?(call),
      do: cancel(server),
      else: %{server | current: %{current | timer: timer(call, ref)}}
  end

  # If the caller timed out because of a slow imported function, let the guest finish.
  def info({:DOWN, monitor, :process, _, _}, %{current: %{monitor: monitor}} = server),
    do: if(Call.extended?(server.current.call), do: server, else: cancel(server))

  def info(_message, server), do: server

  defp poll(%{current: %{call: call}} = server) do
    if Call.expired?(call),
      do: cancel(server),
      else: handle_step(server, call.store |> Native.call_poll() |> Call.advance(call))
  end

  # The caller has died or timed out. Stop the guest, so that the store is free again.
  defp cancel(%{current: %{call: call, waiting: waiting}} = server) do
    outcome =
      case waiting do
        {:turn, ref} ->
          Turn.leave(call.store, ref)
          {:done, {:error, %Error{reason: :timeout, details: %{timeout: call.timeout}}}}

        {:wake, ref} ->
          Call.cancel(call, ref)

        :poll ->
          Call.cancel(call, nil)
      end

    handle_step(server, outcome)
  end
end
