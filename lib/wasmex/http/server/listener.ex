defmodule Wasmex.HTTP.Server.Listener do
  @moduledoc false
  # Owns the listening socket. Acceptors start a process for each connection.

  use GenServer

  alias Wasmex.HTTP.Service
  alias Wasmex.HTTP.Server.Connection

  @acceptors 8
  @connections 10_000

  @options [
    :binary,
    active: false,
    nodelay: true,
    # A client may close its sending side and still read.
    exit_on_close: false,
    reuseaddr: true,
    backlog: 1024,
    # For clients that do not read the response.
    send_timeout: 30_000,
    send_timeout_close: true
  ]

  @doc "Starts a listener for the service with this key. The options are those of the server."
  @spec start_link(term(), map()) :: GenServer.on_start()
  def start_link(key, opts), do: GenServer.start_link(__MODULE__, {key, opts})

  @spec port(GenServer.server()) :: :inet.port_number()
  def port(listener), do: GenServer.call(listener, :port)

  @impl true
  def init({key, opts}) do
    Process.flag(:trap_exit, true)
    family = if tuple_size(opts.ip) == 8, do: [:inet6], else: []

    with {:ok, socket} <- :gen_tcp.listen(opts.port, family ++ [ip: opts.ip] ++ @options),
         {:ok, connections} <- Task.Supervisor.start_link(max_children: @connections) do
      handle = Service.handle(key, opts)
      for _ <- 1..@acceptors, do: spawn_link(fn -> accept(socket, connections, handle) end)
      {:ok, %{socket: socket, connections: connections}}
    else
      {:error, reason} -> {:stop, {:shutdown, {:listen, opts.port, reason}}}
    end
  end

  defp accept(listening, connections, handle) do
    case :gen_tcp.accept(listening) do
      {:ok, socket} ->
        hand_over(socket, connections, handle)
        accept(listening, connections, handle)

      {:error, :closed} ->
        :ok

      # Probably out of file descriptors, so try again later.
      {:error, _reason} ->
        Process.sleep(50)
        accept(listening, connections, handle)
    end
  end

  # The connection starts once it owns the socket.
  defp hand_over(socket, connections, handle) do
    started =
      Task.Supervisor.start_child(connections, fn ->
        receive do
          :yours -> Connection.run(socket, handle)
        after
          5_000 -> :ok
        end
      end)

    with {:ok, pid} <- started, :ok <- :gen_tcp.controlling_process(socket, pid) do
      send(pid, :yours)
    else
      _ -> :gen_tcp.close(socket)
    end
  end

  @impl true
  def handle_call(:port, _from, state) do
    {:ok, port} = :inet.port(state.socket)
    {:reply, port, state}
  end

  @impl true
  def handle_info({:EXIT, _pid, :normal}, state), do: {:noreply, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state), do: :gen_tcp.close(state.socket)
end
