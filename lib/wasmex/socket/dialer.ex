defmodule Wasmex.Socket.Dialer do
  @moduledoc false
  # Handles connections of guests (`dial: [{address, function_or_pid}]`): runs the function with each connection in a
  # separate process, or sends the connection to the pid.
  #
  # It ends with the last store that needs it (`:wasmex_dial_over`), and with the process that created the store. The
  # processes that run the function are linked to it.

  use GenServer, restart: :temporary

  alias Wasmex.Socket

  @doc "Starts one for the stores of this process."
  @spec start((Socket.t() -> term()) | pid(), pid()) :: pid()
  def start(handler, owner) do
    callers = [owner | Process.get(:"$callers", [])]
    {:ok, pid} = GenServer.start(__MODULE__, {handler, owner, callers})
    pid
  end

  @impl true
  def init({handler, owner, callers}) do
    Process.flag(:trap_exit, true)
    Process.monitor(owner)
    {:ok, {handler, callers}}
  end

  @impl true
  def handle_info({:wasmex_dial, connection, fd, address}, {handler, callers} = state) do
    with {:ok, socket} <- Socket.adopt(connection, fd),
         do: serve(handler, socket, address, callers)

    {:noreply, state}
  end

  def handle_info(:wasmex_dial_over, state), do: {:stop, :normal, state}
  def handle_info({:DOWN, _, :process, _owner, _reason}, state), do: {:stop, :normal, state}
  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}
  def handle_info(_message, state), do: {:noreply, state}

  defp serve(pid, socket, address, _callers) when is_pid(pid) do
    case Socket.controlling_process(socket, pid) do
      :ok -> send(pid, {:wasmex_dial, socket, address})
      {:error, _dead} -> Socket.close(socket)
    end
  end

  # Like a task: code that looks up the parent process, such as a database sandbox, finds the store's.
  defp serve(function, socket, _address, callers) do
    pid =
      :proc_lib.spawn_link(fn ->
        Process.put(:"$callers", callers)
        receive(do: (:yours -> :ok))

        try do
          function.(socket)
        after
          Socket.close(socket)
        end
      end)

    Socket.controlling_process(socket, pid)
    send(pid, :yours)
  end
end
