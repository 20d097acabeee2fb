defmodule Wasmex.Cluster.Members do
  @moduledoc false
  # Cluster membership: this process sends the node's load and names to the others, and stores what they send. Calls
  # read the table (`Wasmex.Cluster.Nodes`) and involve no process.
  #
  # Messages between them:
  #
  #     {:beat, pid, version, load, serves?, vote}   regularly, and to greet; the version is that of the names, the vote
  #                                              one of `Wasmex.Cluster.Lease`
  #     {:names, pid, since, version, changes}   when names have changed; all of them if since is nil
  #     {:ask, pid}                              for all names, after a beat with another version
  #     {:leaving, pid}                          gets no more calls, but still has guests with keys
  #     {:leaves, pid}
  #
  # `{:changed, name}` is from `Wasmex.Deploy.Routes` of this node.

  use GenServer

  alias Wasmex.Cluster.{Keyed, Lease, Names, Nodes, Remote}
  alias Wasmex.{Deploy, Error}
  alias Wasmex.Deploy.Routes

  require Logger

  @group :members

  # How long to wait for an answer to `:ask`, in ms.
  @patience 2_000

  # How often a node is asked for its deploys, if it does not answer.
  @tries 5

  # How long to move keys to other nodes before this one leaves, in ms.
  @moves 5_000

  # `stage`: `:member`, `:leaving` while keys move, then `:left`.
  @enforce_keys [:heartbeat, :lease]
  defstruct [:heartbeat, :drain, :follow, :lease, stage: :member, own: %Names{}, peers: %{}]

  defmodule Peer do
    @moduledoc false
    # Another node's process; `asked`: when its names were asked for, in ms of the monotonic clock.
    @enforce_keys [:pid, :monitor]
    defstruct [:pid, :monitor, :asked, names: %Names{}, leaving?: false]
  end

  @doc "The scope of `:pg` for discovery."
  @spec scope() :: atom()
  def scope, do: Wasmex.Cluster.Scope

  @spec start_link(map()) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: __MODULE__)

  @doc "See `Wasmex.Cluster.drain/1`."
  @spec drain(timeout()) :: :ok | {:error, Error.t()}
  def drain(timeout) do
    :ok = GenServer.call(__MODULE__, :leave)
    Keyed.hand_all_over(@moves)
    :ok = GenServer.call(__MODULE__, :left)
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
    Nodes.open()
    lease = Lease.new(opts.nodes, opts.heartbeat, node(), now())
    :ok = :pg.join(scope(), @group, self())

    state = %__MODULE__{
      heartbeat: opts.heartbeat,
      drain: opts.drain,
      follow: opts.follow,
      lease: lease
    }

    {:ok, leased(state, lease), {:continue, :greet}}
  end

  @impl true
  def handle_continue(:greet, state) do
    :net_kernel.monitor_nodes(true)
    send(self(), :beat)
    # Changes from now on are in the mailbox.
    {:noreply, %{state | own: Names.new(Routes.versions())}}
  end

  @impl true
  def handle_call(:leave, _from, %{stage: :member} = state) do
    tell({:leaving, self()})
    # Keys of this node belong to others from now on.
    Nodes.delete(node())
    {:reply, :ok, %{state | stage: :leaving}}
  end

  def handle_call(:left, _from, %{stage: :leaving} = state) do
    tell({:leaves, self()})
    :pg.leave(scope(), @group, self())
    {:reply, :ok, %{state | stage: :left}}
  end

  def handle_call(stage, _from, state) when stage in [:leave, :left], do: {:reply, :ok, state}

  def handle_call(:patience, _from, state), do: {:reply, state.drain, state}

  @impl true
  def handle_info(:beat, state) do
    Process.send_after(self(), :beat, state.heartbeat)
    state = leased(state, Lease.tick(state.lease, node(), now()))
    if state.stage == :member, do: Nodes.put(node(), load(), Nodes.serving?())
    if state.stage != :left, do: for(pid <- members(), do: tell(pid, beat(state, node(pid))))
    {:noreply, state}
  end

  def handle_info({:changed, name}, state) do
    {own, changes} = Names.change(state.own, current(queued([name])))

    if changes != %{} and state.stage == :member,
      do: tell({:names, self(), state.own.version, own.version, changes})

    {:noreply, %{state | own: own}}
  end

  def handle_info({:beat, pid, version, load, serves?, vote}, state) do
    {peer, state} = peer(state, pid)
    state = leased(state, Lease.heard(state.lease, node(), node(pid), vote, now()))

    if peer.leaving? do
      {:noreply, state}
    else
      Nodes.put(node(pid), load, serves?)
      {:noreply, put_peer(state, asked(peer, version))}
    end
  end

  def handle_info({:names, pid, since, version, changes}, state) do
    {peer, state} = peer(state, pid)

    case peer.leaving? || Names.merge(peer.names, since, version, changes) do
      true ->
        {:noreply, state}

      {:ok, names, changes} ->
        Nodes.change_names(node(pid), changes)
        {:noreply, put_peer(state, %{peer | names: names, asked: nil})}

      :missed ->
        {:noreply, put_peer(state, asked(peer, version))}

      :old ->
        {:noreply, state}
    end
  end

  def handle_info({:ask, pid}, %{own: own} = state) do
    if state.stage == :member, do: tell(pid, {:names, self(), nil, own.version, own.names})
    {:noreply, state}
  end

  # It gets no more calls; its guests with keys move, and nodes that create one ask it.
  def handle_info({:leaving, pid}, state) when is_map_key(state.peers, pid) do
    Nodes.delete(node(pid))
    peer = nameless(state.peers[pid])
    {:noreply, put_peer(state, %{peer | leaving?: true})}
  end

  def handle_info({:leaves, pid}, state), do: {:noreply, forget(state, pid, &Lease.left/4)}

  def handle_info({:DOWN, _, :process, pid, :noconnection}, state),
    do: {:noreply, forget(state, pid, &Lease.lost/4)}

  # The node's part of the cluster ended, its guests before it.
  def handle_info({:DOWN, _, :process, pid, _}, state),
    do: {:noreply, forget(state, pid, &Lease.left/4)}

  # A new connection, perhaps a repeated one: greet it at once.
  def handle_info({:nodeup, node}, state) do
    if state.stage == :member, do: tell({__MODULE__, node}, beat(state, node))
    {:noreply, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  # Many deploys in a row are one message to the others.
  defp queued(names) do
    receive do
      {:changed, name} -> queued([name | names])
    after
      0 -> names
    end
  end

  defp current(names), do: Map.new(names, &{&1, Routes.version(&1)})

  defp beat(state, to) do
    vote = Lease.vote(state.lease, to, now())
    {:beat, self(), state.own.version, load(), Nodes.serving?(), vote}
  end

  defp leased(state, lease) do
    Nodes.put_lease(lease)
    %{state | lease: lease}
  end

  defp load, do: :erlang.statistics(:total_active_tasks) / System.schedulers_online()

  # The process of another node, monitored. It may not know this one yet, so a new one is greeted.
  defp peer(state, pid) do
    case state.peers do
      %{^pid => peer} ->
        {peer, state}

      _ ->
        if state.stage == :member, do: tell(pid, beat(state, node(pid)))
        if state.follow, do: follow(node(pid))
        peer = %Peer{pid: pid, monitor: Process.monitor(pid)}
        {peer, put_peer(replaced(state, pid), peer)}
    end
  end

  # A process before it on the same node has ended, which is not reported yet.
  defp replaced(state, pid) do
    old = for {other, _} <- state.peers, node(other) == node(pid), do: other

    Enum.reduce(
      old,
      state,
      &forget(&2, &1, fn lease, own, node, now -> Lease.left(lease, own, node, now) end)
    )
  end

  defp put_peer(state, peer), do: put_in(state.peers[peer.pid], peer)

  defp forget(state, pid, _how) when not is_map_key(state.peers, pid), do: state

  defp forget(state, pid, how) do
    {peer, peers} = Map.pop!(state.peers, pid)
    Nodes.delete(node(pid))
    Process.demonitor(peer.monitor, [:flush])
    nameless(peer)
    leased(%{state | peers: peers}, how.(state.lease, node(), node(pid), now()))
  end

  defp nameless(%{pid: pid, names: %{names: names}} = peer) do
    Nodes.change_names(node(pid), Map.new(names, fn {name, _} -> {name, nil} end))
    %{peer | names: %Names{}}
  end

  # Asks for the names, if they are another version than those known here, and not with each beat.
  defp asked(%{names: %{version: version}} = peer, version), do: %{peer | asked: nil}

  defp asked(peer, _version) do
    now = now()

    if peer.asked != nil and now - peer.asked < @patience do
      peer
    else
      tell(peer.pid, {:ask, self()})
      %{peer | asked: now}
    end
  end

  defp tell(message) do
    for pid <- members(), do: tell(pid, message)
    :ok
  end

  defp members, do: for(pid <- :pg.get_members(scope(), @group), node(pid) != node(), do: pid)

  # Without waiting for a connection that is busy or gone.
  defp tell(to, message), do: Process.send(to, message, [:nosuspend, :noconnect])

  # Deploys names that others have and this node does not. In a separate process, because it compiles.
  defp follow(node), do: spawn(fn -> follow(node, @tries) end)

  defp follow(node, tries) do
    case Remote.call(node, :deploys, [], Wasmex.Call.Timeout.deadline(15_000)) do
      {:ok, deploys} ->
        for {name, code, opts} <- deploys, Routes.fetch(name) == :error do
          with {:error, error} <- Deploy.deploy_absent(name, code, opts, false) do
            Logger.error(
              "could not deploy #{inspect(name)} of #{node} here: #{Exception.message(error)}"
            )
          end
        end

      {:error, error} when tries == 1 ->
        Logger.error("could not learn what #{node} has deployed: #{Exception.message(error)}")

      {:error, _} ->
        Process.sleep(1_000)
        follow(node, tries - 1)
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
