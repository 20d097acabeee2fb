defmodule Wasmex.Call do
  @moduledoc false
  # The loop that drives every guest call, in the process that makes it.
  #
  # The NIF polls a call once and returns a *step*:
  #
  #     {:ok, result} | {:error, native}   finished
  #     :yield                             the slice is over
  #     {:import, table, memory, index, serial, params}
  #                                        the guest called an Elixir function
  #     {:http, exchange, function, request}
  #                                        a component's HTTP request, which the function performs
  #     {:wait, ref}                       the guest waits; the message {:wasmex_wake, ref} follows
  #     {:busy, ref}                       the store is in use; the message {:wasmex_turn, ref} follows
  #
  # `advance/2` runs imports and returns when the call is done or has to wait. Then direct calls block (`await/1`), and
  # `Wasmex.Server` and `Wasmex.Program` return to their mailboxes.

  alias Wasmex.{Error, Native, StoreOrCaller, Telemetry}
  alias Wasmex.Call.{Request, Signed, Slices, Timeout, Turn}

  # These are on the path of every import.
  @compile {:inline, with_imports: 4, with_caller: 3, expired?: 1}

  @enforce_keys [:store, :again]
  defstruct store: nil,
            # Starts the call, and starts it again after waiting for the store.
            again: nil,
            # Creates the context of imported functions, see `with_caller/3`; nil for components.
            context: nil,
            # In ms of the monotonic clock, or `:infinity`.
            deadline: :infinity,
            timeout: :infinity,
            # How many times the deadline may be extended after an imported function outlasted it.
            extensions: 0,
            # The functions and the context of the last used import table.
            imports: nil,
            # Called for each import, see `observed/5`; may be nil.
            observer: nil,
            raised: nil

  @type t :: %__MODULE__{}
  @type step :: term()
  @type outcome ::
          {:done, {:ok, term()} | {:error, Exception.t()}}
          | {:yield, t()}
          | {:wait, pos_integer(), t()}
          | {:busy, reference(), t()}

  # A wait is long after this many ms.
  @rest 100

  # Limits how long a guest can run by calling slow functions.
  @extensions 100

  # The deadline of the current call, while an imported function runs. Nested calls, in any store, end before it.
  @deadline_key :"$wasmex_deadline"

  @doc "A new call. `again` is a function that returns the first step."
  @spec new(reference(), timeout(), (term() -> term()) | nil, (() -> step())) :: t()
  def new(store, timeout, context, again) do
    %__MODULE__{
      store: store,
      again: again,
      context: context,
      timeout: timeout,
      deadline: deadline(timeout)
    }
  end

  @doc """
  Extends the deadline when an imported function outlasts it, so that the guest can finish. A component's instance cannot
  be used again after a call was stopped.
  """
  @spec extensible(t()) :: t()
  def extensible(%__MODULE__{} = call), do: %{call | extensions: @extensions}

  @doc "Whether an imported function has outlasted the deadline."
  @spec extended?(t()) :: boolean()
  def extended?(%__MODULE__{extensions: left}), do: left in 1..(@extensions - 1)//1

  @doc "Runs a call to completion in this process."
  @spec run(t()) :: {:ok, term()} | {:error, Exception.t()}
  def run(%__MODULE__{} = call), do: call.again.() |> advance(call) |> await()

  @doc "Continues a call after its first step."
  @spec run(step(), t()) :: {:ok, term()} | {:error, Exception.t()}
  def run(step, %__MODULE__{} = call), do: step |> advance(call) |> await()

  defp deadline(timeout) do
    # Atoms compare greater than numbers, so `:infinity` is the latest deadline.
    min(Timeout.deadline(timeout), Process.get(@deadline_key, :infinity))
  end

  @doc "Milliseconds until the deadline, for `receive … after`."
  @spec remaining(t()) :: timeout()
  def remaining(%__MODULE__{deadline: deadline}), do: Timeout.left(deadline)

  @spec expired?(t()) :: boolean()
  def expired?(%__MODULE__{deadline: deadline}), do: Timeout.over?(deadline)

  @doc "Milliseconds until the deadline of the call that called the current imported function."
  @spec time_left() :: timeout()
  def time_left, do: @deadline_key |> Process.get(:infinity) |> Timeout.left()

  @doc "Runs imports until the call is done or has to wait."
  @spec advance(step(), t()) :: outcome()
  def advance({:ok, _} = ok, _call), do: {:done, ok}

  def advance({:error, native}, call),
    do: {:done, {:error, Error.from_native(native, call.raised)}}

  def advance(:yield, call) do
    Slices.count()
    {:yield, call}
  end

  def advance({:wait, ref}, call), do: {:wait, ref, call}
  def advance({:busy, ref}, call), do: {:busy, ref, call}

  # As most imports are: of the table that was used last, without a deadline or an observer.
  def advance(
        {:import, table, memory, _index, _serial, _params} = step,
        %{imports: {table, memory, _, _} = imports, observer: nil, deadline: :infinity} = call
      ),
      do: run_imports(step, imports, call.store, call)

  def advance({:import, table, memory, index, serial, params}, call) do
    %{store: store} = call = with_imports(call, table, memory, serial)
    {_table, _memory, functions, context} = call.imports
    result = run_import(elem(functions, index), with_caller(context, store, serial), params, call)

    case expired?(call) and extend(call) do
      false -> resume(store, serial, result, call)
      :over -> cancel(call, nil)
      call -> resume(store, serial, result, call)
    end
  end

  def advance({:http, exchange, function, request}, call) do
    under_deadline(call, fn -> Request.perform(exchange, function, request) end)

    case expired?(call) and extend(call) do
      false -> call.store |> Native.call_poll() |> advance(call)
      :over -> cancel(call, nil)
      call -> call.store |> Native.call_poll() |> advance(call)
    end
  end

  # A guest may call them in a loop, so what they share is not looked up in the call each time.
  defp run_imports(
         {:import, table, memory, index, serial, params},
         {table, memory, functions, context} = imports,
         store,
         call
       ) do
    context = with_caller(context, store, serial)

    case apply_import(elem(functions, index), context, params) do
      {:returned, value} ->
        store |> Native.call_resume(serial, value) |> run_imports(imports, store, call)

      raised ->
        resume(store, serial, raised, call)
    end
  end

  defp run_imports(step, _imports, _store, call), do: advance(step, call)

  # Functions of components get no context.
  defp with_caller(nil, _store, _serial), do: nil

  # As `Wasmex.Call.Context` makes it. New maps are made faster than changed ones, and faster without constants in them.
  defp with_caller({memory, struct, reference, tags, pid, instance}, store, serial) do
    caller = %{__struct__: struct, resource: {store, serial}, reference: reference, tags: tags}
    %{memory: memory, caller: caller, pid: pid, instance: instance}
  end

  # Of a plug-in.
  defp with_caller(%{caller: reference} = context, store, serial),
    do: %{context | caller: %StoreOrCaller{resource: {store, serial}, reference: reference}}

  defp resume(store, serial, {:returned, value}, call),
    do: store |> Native.call_resume(serial, value) |> advance(call)

  defp resume(store, serial, raised, call),
    do: store |> Native.call_raise(serial) |> advance(%{call | raised: raised})

  # The default timeout of calls in the API of Wasmex 0.15.
  @extension 5_000

  defp extend(%{extensions: 0}), do: :over

  defp extend(%{extensions: left, timeout: timeout} = call),
    do: %{call | extensions: left - 1, deadline: Timeout.deadline(max(timeout, @extension))}

  # Copy the functions out of the NIF once per call, not once per import.
  defp with_imports(%{imports: {table, memory, _, _}} = call, table, memory, _serial), do: call

  defp with_imports(call, table, memory_key, serial) do
    {functions, memory} = Native.import_context(call.store, serial)

    context = if call.context, do: call.context.(memory)
    observer = call.observer || if Telemetry.on?(:import), do: &span/1
    %{call | imports: {table, memory_key, functions, context}, observer: observer}
  end

  defp run_import(import, context, params, %{observer: observer} = call),
    do: under_deadline(call, fn -> observed(observer, import, context, params, call.store) end)

  # Calls that the function makes end before the deadline of this one.
  defp under_deadline(%{deadline: :infinity}, function), do: function.()

  defp under_deadline(%{deadline: deadline}, function) do
    outer = Process.put(@deadline_key, deadline)

    try do
      function.()
    after
      if outer, do: Process.put(@deadline_key, outer), else: Process.delete(@deadline_key)
    end
  end

  defp observed(nil, import, context, params, _store), do: apply_import(import, context, params)

  # The observer is called with `{:start, namespace, name, params, store}`; its result is passed back in
  # `{:stop, result, outcome}`. If it raises, the call is ended first, because it would keep the store in use.
  defp observed(observer, {_function, namespace, name} = import, context, params, store) do
    started = observer.({:start, namespace, name, params, store})
    outcome = apply_import(import, context, params)
    observer.({:stop, started, outcome})
    outcome
  catch
    kind, reason ->
      Native.call_cancel(store)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  @doc false
  # The observer for telemetry spans.
  @spec span(tuple()) :: term()
  def span({:start, namespace, name, _params, _store}),
    do: Telemetry.start(:import, %{namespace: namespace, name: name})

  def span({:stop, started, {:returned, _value}}), do: Telemetry.stop(started, :ok)

  def span({:stop, started, raised}),
    do: Telemetry.exception(started, raised.kind, raised.exception, raised.stacktrace)

  # Functions of components receive no context.
  defp apply_import({{:plain, function}, _interface, _name}, nil, params) do
    {:returned, apply(function, params)}
  catch
    kind, reason -> caught(kind, reason, __STACKTRACE__)
  end

  # Of the API of Wasmex 0.15.
  defp apply_import({{:signed, function, types}, _namespace, _name}, context, params) do
    {:returned, function |> with_context(context, params) |> Signed.results(types)}
  catch
    kind, reason -> caught(kind, reason, __STACKTRACE__)
  end

  defp apply_import({function, _namespace, _name}, context, params) do
    {:returned, with_context(function, context, params)}
  catch
    kind, reason -> caught(kind, reason, __STACKTRACE__)
  end

  defp with_context(function, context, [param]), do: function.(context, param)
  defp with_context(function, context, params), do: apply(function, [context | params])

  defp caught(kind, reason, stacktrace) do
    exception = if kind == :error, do: Exception.normalize(:error, reason, stacktrace)
    %{kind: kind, exception: exception || reason, stacktrace: stacktrace}
  end

  defp await({:done, result}), do: result

  defp await({:yield, call}) do
    if expired?(call),
      do: call |> cancel(nil) |> await(),
      else: call.store |> Native.call_poll() |> advance(call) |> await()
  end

  defp await({:wait, ref, call}) do
    receive do
      {:wasmex_wake, ^ref} -> call.store |> Native.call_poll() |> advance(call) |> await()
    after
      min(remaining(call), @rest) -> rest(ref, call)
    end
  end

  defp await({:busy, ref, call}) do
    case Turn.wait(call.store, ref, remaining(call)) do
      :ok -> call.again.() |> advance(call) |> await()
      :timeout -> timed_out(call) |> await()
      :deadlock -> {:error, %Error{reason: :deadlock}}
    end
  end

  @doc "How long to wait for a guest before `Wasmex.Native.call_rest/1`, after which it needs less memory, in ms."
  @spec rests_after() :: pos_integer()
  def rests_after, do: @rest

  defp rest(ref, call) do
    Native.call_rest(call.store)

    receive do
      {:wasmex_wake, ^ref} -> call.store |> Native.call_poll() |> advance(call) |> await()
    after
      remaining(call) -> call |> cancel(ref) |> await()
    end
  end

  @doc """
  Ends the innermost call that this process drives in the store. `ref` identifies the wait it was in; the message for it
  is removed from the mailbox.
  """
  @spec cancel(t(), pos_integer() | nil) :: outcome()
  def cancel(call, ref) do
    {owed?, _step} = Native.call_cancel(call.store)

    if owed? and ref != nil do
      receive do
        {:wasmex_wake, ^ref} -> :ok
      end
    end

    timed_out(call)
  end

  defp timed_out(call),
    do: {:done, {:error, %Error{reason: :timeout, details: %{timeout: call.timeout}}}}
end
