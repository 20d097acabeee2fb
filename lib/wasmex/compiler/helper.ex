defmodule Wasmex.Compiler.Helper do
  @moduledoc false
  # Owns the port of one helper process and sends it one request at a time. It ends the helper when a limit is reached, the
  # caller has died, or the helper violates the protocol.

  use GenServer, restart: :temporary

  alias Wasmex.Compiler.{Frames, Options}
  alias Wasmex.{Error, Native}

  # The maximum size of an artefact relative to its code. Artefacts of real programs are two to ten times as large as the code.
  @least_artefact 64 * 1024 * 1024
  @growth 32
  @longest_hello 1024

  # How long an idle helper waits for another request.
  @rest 10_000

  @enforce_keys [:port, :child, :options]
  defstruct port: nil,
            # Identifies the program, so that it can be killed.
            child: nil,
            options: nil,
            frames: %Frames{},
            # The monitor of the process that started it, until the first job.
            owner: nil,
            # Whether it has sent its hello frame. Before that it has not applied its limits, so it receives no code.
            ready?: false,
            # {from, monitor, timer, request}; the request is nil once it is sent.
            job: nil,
            # When the job began, and the total time of earlier jobs in ms.
            began: 0,
            spent: 0

  @doc "The path of the program: `WASMEX_COMPILER_PATH`, or beside the native library."
  @spec path() :: String.t()
  def path do
    name = if match?({:win32, _}, :os.type()), do: "wasmex-compiler.exe", else: "wasmex-compiler"

    case {System.get_env("WASMEX_COMPILER_PATH", ""), System.get_env("WASMEX_NIF_PATH", "")} do
      {"", ""} -> Path.join([:code.priv_dir(:wasmex), "native", name])
      {"", library} -> library |> Path.expand() |> Path.dirname() |> Path.join(name)
      {path, _library} -> Path.expand(path)
    end
  end

  @doc """
  Compiles with this helper, or a new one. Also returns the helper if it may be used again.
  """
  @spec compile(pid() | nil, Frames.task(), binary(), iodata(), Options.t()) ::
          {{:ok, binary()} | {:error, Error.t()}, pid() | nil}
  def compile(helper, kind, settings, code, options) do
    with {:ok, helper} <- helper(helper, options),
         request = {kind, Frames.request(kind, settings, code)},
         {result, again?} <- ask(helper, request, options) do
      {result, if(again?, do: helper)}
    else
      # It was idle and has just ended.
      :gone when helper != nil -> compile(nil, kind, settings, code, options)
      :gone -> {{:error, crash("it ended before it started")}, nil}
      {:error, _} = error -> {error, nil}
    end
  end

  defp helper(nil, options) do
    case DynamicSupervisor.start_child(Wasmex.Compiler.Helpers, {__MODULE__, {self(), options}}) do
      {:ok, helper} -> {:ok, helper}
      {:error, {:no_program, message}} -> {:error, refusal(message)}
      {:error, reason} -> {:error, refusal("it cannot be started: #{inspect(reason)}")}
    end
  end

  defp helper(helper, _options), do: {:ok, helper}

  defp ask(helper, request, options) do
    GenServer.call(helper, {:compile, request, options}, :infinity)
  catch
    :exit, {reason, _} when reason in [:noproc, :normal] -> :gone
    :exit, {reason, _} -> {{:error, crash("its process ended: #{inspect(reason)}")}, false}
  end

  @doc "Ends an idle helper."
  @spec stop(pid()) :: :ok
  def stop(helper), do: GenServer.cast(helper, :stop)

  @spec start_link({pid(), Options.t()}) :: GenServer.on_start()
  def start_link({owner, options}), do: GenServer.start_link(__MODULE__, {owner, options})

  @impl true
  def init({owner, options}) do
    # Otherwise a closed port would also end this process.
    Process.flag(:trap_exit, true)
    path = path()

    with :ok <- program(path),
         {:ok, port} <- open(path, options) do
      owner = Process.monitor(owner)
      {:ok, %__MODULE__{port: port, child: hold(port), options: options, owner: owner}}
    else
      {:error, message} -> {:stop, {:no_program, message}}
    end
  end

  defp program(path) do
    if File.regular?(path) do
      :ok
    else
      {:error,
       "there is no helper at #{path}: build it with mix compile, or set WASMEX_COMPILER_PATH to a helper of the same " <>
         "build; for trusted bytes, compile: :in_process needs no helper"}
    end
  end

  defp open(path, options) do
    {:ok,
     Port.open({:spawn_executable, path}, [
       :binary,
       :exit_status,
       :use_stdio,
       :hide,
       args: arguments(options),
       # The helper inherits nothing from the VM's environment.
       env: environment()
     ])}
  rescue
    error in ErlangError -> {:error, "#{path} cannot be started: #{inspect(error.original)}"}
  end

  # Which versions of the text format to accept, see native/wasmex/src/core/wat.rs.
  @kept ~c"WAST_STRICT_COMPONENT_INDICES"

  defp environment do
    cleared = for {name, _} <- :os.env(), name != @kept, do: {name, false}
    if :os.getenv(@kept) == false, do: [{@kept, ~c"0"} | cleared], else: cleared
  end

  # The limit of CPU time is a fallback; the timer of this process has a resolution of ms and fires first. It is twice the
  # timeout, so that the last compile of a reused helper has the full time left.
  defp arguments(%{memory: memory, timeout: timeout}) do
    threads = threads()
    cpu = if timeout == :infinity, do: [], else: ["--cpu", "#{2 * threads * seconds(timeout)}"]
    ["--memory", "#{memory}", "--threads", "#{threads}" | cpu]
  end

  defp seconds(ms), do: div(ms, 1000) + 1

  defp threads,
    do: Application.get_env(:wasmex, :compile_threads, min(System.schedulers_online(), 4))

  defp hold(port) do
    with {:os_pid, pid} <- Port.info(port, :os_pid),
         {:ok, child} <- Native.child_hold(pid) do
      child
    else
      # It has ended, and the port will send a message.
      _ -> nil
    end
  end

  @impl true
  def handle_call({:compile, {kind, request}, options}, {pid, _} = from, %{job: nil} = state) do
    timer =
      if options.timeout != :infinity, do: Process.send_after(self(), :time, options.timeout)

    job = %{
      from: from,
      monitor: Process.monitor(pid),
      timer: timer,
      kind: kind,
      size: IO.iodata_length(request),
      request: request
    }

    if state.owner, do: Process.demonitor(state.owner, [:flush])
    began = System.monotonic_time(:millisecond)
    {:noreply, send_request(%{state | job: job, options: options, owner: nil, began: began})}
  end

  @impl true
  def handle_cast(:stop, state), do: {:stop, :normal, state}

  @impl true
  def handle_info({port, {:data, chunk}}, %{port: port} = state) do
    case Frames.push(state.frames, chunk, longest(state)) do
      {:ok, whole, frames} -> frames(whole, %{state | frames: frames})
      :error -> fail(state, too_long(state))
    end
  end

  def handle_info({port, {:exit_status, status}}, %{port: port} = state) do
    if state.child, do: Native.child_gone(state.child)
    fail(%{state | child: nil}, ended(status, state.options))
  end

  def handle_info({:EXIT, port, reason}, %{port: port} = state),
    do: fail(state, crash("it ended while reading the code (#{inspect(reason)})"))

  def handle_info({:DOWN, monitor, :process, _, _}, %{job: %{monitor: monitor}} = state),
    do: {:stop, :normal, state}

  def handle_info({:DOWN, owner, :process, _, _}, %{owner: owner} = state),
    do: {:stop, :normal, state}

  def handle_info(:time, %{job: job} = state) when job != nil,
    do: fail(state, Options.out_of_time(state.options))

  # The idle timeout.
  def handle_info(:timeout, %{job: nil} = state), do: {:stop, :normal, state}
  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    if state.child, do: Native.child_kill(state.child)
  end

  # The maximum size of a frame, which is buffered in the VM's memory.
  defp longest(%{ready?: false}), do: @longest_hello
  defp longest(%{job: nil}), do: @longest_hello
  defp longest(%{job: job}), do: max(@least_artefact, @growth * job.size)

  defp too_long(%{ready?: false}), do: refusal(no_helper())

  defp too_long(state) do
    message =
      "the artefact is larger than #{longest(state)} bytes (64 MiB, or #{@growth} times the size of the code)"

    %Error{reason: :compile_memory, details: %{limit: longest(state), message: message}}
  end

  defp frames([], state), do: {:noreply, state}

  defp frames([hello | rest], %{ready?: false} = state) do
    case Frames.hello(hello) do
      {:ok, _sandbox, build} ->
        if build == Native.engine_build(),
          do: frames(rest, send_request(%{state | ready?: true})),
          else: fail(state, refusal(other_build(build)))

      :error ->
        fail(state, refusal(no_helper()))
    end
  end

  defp frames([reply], %{job: %{request: nil} = job} = state) do
    case Frames.reply(reply) do
      {:ok, artefact} -> done(state, {:ok, artefact})
      {:error, reason, text} -> done(state, {:error, error(reason, text, job.kind)})
      {:refused, _, _, _, _} = refusal -> done(state, {:error, refused(refusal)})
      :error -> fail(state, crash("it sent an invalid reply"))
    end
  end

  defp frames(_unasked, state), do: fail(state, crash("it sent an unexpected frame"))

  defp no_helper, do: "#{path()} is not a helper of this version"

  defp other_build(build) do
    build = if String.valid?(build), do: String.slice(build, 0, 64), else: "?"

    "the helper at #{path()} (build #{build}) does not match the native library (build #{Native.engine_build()}): " <>
      "build both with mix compile"
  end

  # The request is sent after the hello frame has arrived.
  defp send_request(%{ready?: true, job: %{request: request} = job} = state)
       when request != nil do
    send(state.port, {self(), {:command, request}})
    %{state | job: %{job | request: nil}}
  end

  defp send_request(state), do: state

  defp done(state, result) do
    spent = state.spent + System.monotonic_time(:millisecond) - state.began
    again? = state.options.reuse != nil and left?(spent, state.options.timeout)
    reply(state.job, {result, again?})
    state = %{state | job: nil, spent: spent}
    if again?, do: {:noreply, state, @rest}, else: {:stop, :normal, state}
  end

  # Whether the CPU time left is enough for another compile, see `arguments/1`.
  defp left?(_spent, :infinity), do: true
  defp left?(spent, timeout), do: spent < timeout

  defp fail(%{job: nil} = state, _error), do: {:stop, :normal, state}

  defp fail(state, error) do
    reply(state.job, {{:error, error}, false})
    {:stop, :normal, %{state | job: nil}}
  end

  defp reply(job, result) do
    if job.timer, do: Process.cancel_timer(job.timer)
    Process.demonitor(job.monitor, [:flush])
    GenServer.reply(job.from, result)
  end

  defp error(:kind, text, {_task, kind}), do: error(:kind, text, kind)
  defp error(:kind, _text, :module), do: Wasmex.Wat.not_a_module()
  defp error(:kind, _text, :component), do: Wasmex.Components.Component.not_a_component()
  defp error(reason, text, _kind), do: %Error{reason: reason, details: %{message: text}}

  # Must match native/wasmex/src/vm/error.rs, which reports these errors for compiles in the VM.
  defp refused({:refused, nil, _value, _most, offset}),
    do: %Error{
      reason: :parse,
      details: %{message: "malformed component or debug information", offset: offset}
    }

  defp refused({:refused, index, value, most, offset}) do
    {limit, _default} = Enum.at(Native.limits_default(), index, {nil, 0})
    reason = if limit == :nesting, do: :nested_too_deep, else: :too_large
    details = %{limit: limit, value: value, most: most, offset: offset}
    %Error{reason: reason, details: details}
  end

  # Exit statuses of native/compiler/src/main.rs.
  defp ended(70, options), do: Options.out_of_memory(options)

  defp ended(72, _options),
    do:
      refusal(
        "the system does not allow the helper to apply its limits (seccomp, resource limits)"
      )

  defp ended(status, _options) when status > 128, do: crash("signal #{signal(status - 128)}")
  defp ended(status, _options), do: crash("status #{status}")

  defp signal(6), do: "6, SIGABRT"
  defp signal(9), do: "9, SIGKILL: the system ran out of memory, or the helper was killed"
  defp signal(11), do: "11, SIGSEGV"
  defp signal(31), do: "31, SIGSYS"
  defp signal(other), do: "#{other}"

  defp crash(why), do: %Error{reason: :compile_crash, details: %{message: why}}
  defp refusal(message), do: %Error{reason: :compiler, details: %{message: message}}
end
