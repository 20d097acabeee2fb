defmodule Wasmex.Cluster.Members do
  @moduledoc false
  # Cluster membership: this process sends the node's names and load to the others, and stores what they send. Calls
  # read the table (`Wasmex.Cluster.Nodes`) and involve no process.

  use GenServer

  alias Wasmex.Cluster.{Keyed, Nodes, Remote}
  alias Wasmex.{Deploy, Error}

  require Logger

  @group :members

  @enforce_keys [:heartbeat]
  defstruct [:heartbeat, :drain, :follow, draining?: false, monitors: %{}]

  @doc "The scope of `:pg` for discovery."
  @spec scope() :: atom()
  def scope, do: Wasmex.Cluster.Scope

  @spec start_link(map()) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: __MODULE__)

  @doc "The deployed names have changed: notifies the others now."
  @spec changed() :: :ok
  def changed do
    if Process.whereis(__MODULE__), do: send(__MODULE__, :changed)
    :ok
  end

  @doc "See `Wasmex.Cluster.drain/1`."
  @spec drain(timeout()) :: :ok | {:error, Error.t()}
  def drain(timeout) do
    GenServer.call(__MODULE__, :drain)
    Keyed.hand_all_over()
    wait(Wasmex.Call.Timeout.deadline(timeout), timeout)
  end

  defp wait(deadline, timeout) do
    cond do
      Remote.running() == 0 ->
        :ok

      Wasmex.Call.Timeout.over?(deadline) ->
        message = "#{Remote.running()} calls of other nodes are still running after #{timeout} ms"
        {:error, %Error{reason: :timeout, details: %{timeout: timeout, message: message}}}

      true ->
        Process.sleep(5)
        wait(deadline, timeout)
    end
  end

  @doc "Called when the application stops: drains for the cluster's `drain:` ms, if there is one."
  @spec stopping() :: :ok
  def stopping do
    if Process.whereis(__MODULE__), do: __MODULE__ |> GenServer.call(:patience) |> drain()
    :ok
  catch
    :exit, _ -> :ok
  end

  @impl true
  def init(opts) do
    Process.flag(:priority, :high)
    Nodes.open(opts.nodes)
    :ok = :pg.join(scope(), @group, self())
    state = %__MODULE__{heartbeat: opts.heartbeat, drain: opts.drain, follow: opts.follow}
    {:ok, state, {:continue, :greet}}
  end

  @impl true
  def handle_continue(:greet, state) do
    :net_kernel.monitor_nodes(true)
    send(self(), :beat)
    {:noreply, state}
  end

  @impl true
  def handle_call(:drain, _from, state) do
    state = %{state | draining?: true}
    :pg.leave(scope(), @group, self())
    tell({:leaves, self()})
    Nodes.put(node(), own(state))
    {:reply, :ok, state}
  end

  def handle_call(:patience, _from, state), do: {:reply, state.drain, state}

  @impl true
  def handle_info(:beat, state) do
    Process.send_after(self(), :beat, state.heartbeat)
    {:noreply, beat(state)}
  end

  def handle_info(:changed, state), do: {:noreply, beat(state)}

  def handle_info({:beat, pid, heartbeat}, state) do
    known? = is_map_key(state.monitors, pid)
    Nodes.put(node(pid), heartbeat)

    if known? do
      {:noreply, state}
    else
      # It may not know this node yet.
      send(pid, {:beat, self(), own(state)})
      if state.follow, do: follow(node(pid))
      {:noreply, put_in(state.monitors[pid], Process.monitor(pid))}
    end
  end

  def handle_info({:leaves, pid}, state) do
    Nodes.delete(node(pid))
    {:noreply, state}
  end

  def handle_info({:DOWN, _monitor, :process, pid, _reason}, state) do
    Nodes.delete(node(pid))
    {:noreply, %{state | monitors: Map.delete(state.monitors, pid)}}
  end

  # A new connection, perhaps a repeated one: send it the state at once.
  def handle_info({:nodeup, node}, state) do
    unless state.draining?, do: send({__MODULE__, node}, {:beat, self(), own(state)})
    {:noreply, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp beat(%{draining?: true} = state), do: state

  defp beat(state) do
    heartbeat = own(state)
    Nodes.put(node(), heartbeat)
    tell({:beat, self(), heartbeat})
    state
  end

  # Without waiting for a connection that is busy or gone.
  defp tell(message) do
    for pid <- :pg.get_members(scope(), @group),
        node(pid) != node(),
        do: Process.send(pid, message, [:nosuspend, :noconnect])
  end

  defp own(%{draining?: true}), do: %{names: %{}, load: 0.0}

  defp own(_state) do
    tasks = :erlang.statistics(:total_active_tasks)
    %{names: Deploy.Routes.versions(), load: tasks / System.schedulers_online()}
  end

  # Deploys names that others have and this node does not. In a separate process, because it compiles.
  defp follow(node) do
    spawn(fn ->
      with {:ok, deploys} <- Remote.call(node, :deploys, [], Wasmex.Call.Timeout.deadline(15_000)) do
        for {name, code, opts} <- deploys, Deploy.Routes.fetch(name) == :error do
          with {:error, error} <- Deploy.deploy_absent(name, code, opts, false) do
            Logger.error(
              "could not deploy #{inspect(name)} of #{node} here: #{Exception.message(error)}"
            )
          end
        end
      end
    end)
  end
end
