defmodule Wasmex.HTTP.Resident do
  @moduledoc false
  # Keeps a resident server running (`convention: :resident`): a program that serves HTTP itself, with concurrent
  # requests in one instance. It accepts connections of `Wasmex.Socket` on descriptor 3; no one else can connect.
  #
  # A program that ends is restarted, after a pause that doubles with each failure. The listener stays open in between,
  # so requests wait. This process ends with the process that loaded the function, and some time after a newer version
  # has replaced it.

  use GenServer, restart: :transient

  require Logger

  alias Wasmex.{HTTP, Program, Socket}
  alias Wasmex.HTTP.Function

  # The pause before a restart in ms: initial and maximum.
  @first_pause 100
  @longest_pause 5_000
  # A program that has run this long counts as started successfully.
  @started_well 10_000
  # Ms for running requests when another version takes over.
  @drain 5_000

  # The function's options that apply to its program; its timeout is per request.
  @program [:env, :dirs, :max_memory] ++ Wasmex.Options.WASI.outgoing()

  defstruct [:function, :listener, :owner, :program, :started, pause: @first_pause]

  @doc "Starts the function's server; `owner` has loaded it."
  @spec start(Function.t(), pid()) :: {:ok, Function.t()} | {:error, Exception.t()}
  def start(%Function{convention: :resident} = function, owner) do
    with {:ok, listener} <- Socket.listen(:pipe),
         child = {__MODULE__, {function, listener, owner}},
         {:ok, pid} <- DynamicSupervisor.start_child(HTTP.Processes, child),
         do: {:ok, %{function | resident: {listener, pid}}}
  end

  def start(function, _owner), do: {:ok, function}

  @doc "The function is no longer used: running requests may finish."
  @spec retire(Function.t()) :: :ok
  def retire(%Function{resident: {_listener, pid}}), do: GenServer.cast(pid, :retire)
  def retire(_function), do: :ok

  @doc "Waits until the server has ended, after its owner has."
  @spec await_end(Function.t()) :: :ok
  def await_end(%Function{resident: {_listener, pid}}) do
    ref = Process.monitor(pid)

    receive do
      {:DOWN, ^ref, _, _, _} -> :ok
    after
      @drain -> Process.exit(pid, :kill)
    end

    Process.demonitor(ref, [:flush])
    :ok
  end

  def await_end(_function), do: :ok

  @doc false
  @spec start_link({Function.t(), Socket.Listener.t(), pid()}) :: GenServer.on_start()
  def start_link({function, listener, owner}) do
    state = %__MODULE__{function: function, listener: listener, owner: owner}
    GenServer.start_link(__MODULE__, state)
  end

  @impl true
  def init(state) do
    Process.flag(:trap_exit, true)
    Process.monitor(state.owner)
    {:ok, state, {:continue, :run}}
  end

  @impl true
  def handle_continue(:run, state), do: run(state)

  defp run(%{function: function} = state) do
    opts = function.options |> Map.take(@program) |> Map.to_list()

    own = [
      program: function.source,
      arg0: function.name,
      listen: [state.listener],
      max_output: :infinity
    ]

    case Program.start_link(own ++ opts) do
      {:ok, program} -> {:noreply, %{state | program: program, started: now()}}
      {:error, error} -> again(state, Exception.message(error))
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  @impl true
  def handle_cast(:retire, state) do
    Process.send_after(self(), :stop, @drain)
    {:noreply, state}
  end

  @impl true
  def handle_info({program, {stream, bytes}}, %{program: program} = state)
      when stream in [:data, :stderr] do
    for line <- String.split(bytes, "\n", trim: true),
        do: HTTP.GuestLog.put(state.function.name, line, level(stream))

    {:noreply, state}
  end

  def handle_info({program, {:exit_status, status}}, %{program: program} = state),
    do: again(state, "it exited with status #{status}")

  def handle_info({program, {:error, error}}, %{program: program} = state),
    do: again(state, Exception.message(error))

  def handle_info(:run, state), do: run(state)
  def handle_info(:stop, state), do: {:stop, :normal, state}

  def handle_info({:DOWN, _, :process, owner, _}, %{owner: owner} = state),
    do: {:stop, :normal, state}

  # Ours has reported everything before it ended, unless it was killed.
  def handle_info({:EXIT, program, reason}, %{program: program} = state) when reason != :normal,
    do: again(state, "its process ended: #{Exception.format_exit(reason)}")

  def handle_info({:EXIT, parent, reason}, state) when reason in [:shutdown, :kill] do
    if parent == state.program, do: {:noreply, state}, else: {:stop, reason, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp level(:data), do: :info
  defp level(:stderr), do: :warning

  defp again(state, why) do
    ran = if state.started, do: now() - state.started, else: 0
    pause = if ran >= @started_well, do: @first_pause, else: state.pause

    Logger.error(
      "function #{state.function.name}: the server ended: #{why}; it restarts in #{pause} ms",
      wasm: state.function.name
    )

    Process.send_after(self(), :run, pause)
    {:noreply, %{state | program: nil, pause: min(pause * 2, @longest_pause)}}
  end

  @impl true
  def terminate(_reason, %{program: nil}), do: :ok

  # Processes that wait for this one may rely on the guest having ended: its files and sockets are closed.
  def terminate(_reason, %{program: program}) do
    ref = Process.monitor(program)
    Process.exit(program, :kill)
    receive(do: ({:DOWN, ^ref, _, _, _} -> :ok))
  end
end
