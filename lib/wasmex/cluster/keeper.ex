defmodule Wasmex.Cluster.Keeper do
  @moduledoc false
  # The process of one key's guest on this node. Calls run in the calling processes and take turns at the guest's store,
  # so a caller that dies ends only its own call. This process creates the guest, moves its state, and closes it.
  #
  # The registered value says what calls find: nil while the guest is being created, a `Guest`, or `:leaving` while its
  # state is being saved. A guest that leaves is lent to no one, and returns if its new node does not take it.

  use GenServer, restart: :temporary

  alias Wasmex.Call.Timeout
  alias Wasmex.Cluster.{Nodes, Remote, Uses}
  alias Wasmex.{Deploy, Error}

  require Logger

  @keys Wasmex.Cluster.Keys

  # The wait for running calls and for other nodes when a key moves, in ms.
  @patience 5_000

  defmodule Guest do
    @moduledoc false
    # What calls use. It may be called while this node serves, and in the same epoch of its lease.
    @enforce_keys [:module, :worker, :version, :epoch]
    defstruct [:module, :worker, :version, :epoch]
    @type t :: %__MODULE__{}
  end

  # `functions`: those that save and restore its state, or nil. `taker`: the monitor of the process that has received
  # the state. `failed`: the reply to those who wait for a guest that could not be created.
  @enforce_keys [:name, :key]
  defstruct [:name, :key, :guest, :functions, :taker, :failed]

  @typedoc "The state from `save`, or that there is none."
  @type saved :: {:state, term()} | :nothing

  @typedoc "The call has not begun and may be repeated; the error otherwise."
  @type later :: {:later, Error.t()}

  @doc "The key's guest, for one call of this process, until `Uses.leave/1`."
  @spec enter(term(), term(), pos_integer(), timeout()) ::
          {:ok, Uses.seat(), Guest.t(), pid()} | {:error, Exception.t()} | later()
  def enter(name, key, version, left) do
    case Registry.lookup(@keys, {name, key}) do
      # Or a newer one, if the caller has read the routes just before a deploy.
      [{pid, %Guest{version: newer} = guest}] when newer >= version ->
        seated(name, key, pid, guest)

      # Another version was deployed: the keeper replaces the guest and moves the state.
      [{pid, %Guest{}}] ->
        pid |> ask({:upgrade, version}, left) |> again(name, key, version, left)

      [{_pid, :leaving}] ->
        moving(name)

      [{pid, nil}] ->
        pid |> ask(:ready, left) |> again(name, key, version, left)

      [] ->
        name |> begin(key) |> ask(:ready, left) |> again(name, key, version, left)
    end
  end

  defp seated(name, key, pid, guest) do
    seat = Uses.enter(pid)

    # In this order: a keeper changes the value before it looks for running calls, so one of both sees the other.
    cond do
      not match?([{^pid, ^guest}], Registry.lookup(@keys, {name, key})) ->
        Uses.leave(seat)
        moving(name)

      not Nodes.serves?(guest.epoch) ->
        Uses.leave(seat)
        ask(pid, :expire, @patience)
        {:later, Nodes.unconfirmed()}

      true ->
        {:ok, seat, guest, pid}
    end
  end

  defp again(:ok, name, key, version, left), do: enter(name, key, version, left)
  defp again(:gone, name, _key, _version, _left), do: moving(name)
  defp again(error, _name, _key, _version, _left), do: error

  @doc "The reply while a key moves."
  @spec moving(term()) :: later()
  def moving(name) do
    message = "the key of #{inspect(name)} moves between nodes"
    {:later, %Error{reason: :node_down, details: %{node: node(), message: message}}}
  end

  defp begin(name, key) do
    case DynamicSupervisor.start_child(Wasmex.Cluster.Keepers, {__MODULE__, {name, key}}) do
      {:ok, pid} -> pid
      {:error, {:already_started, pid}} -> pid
    end
  end

  # The reply of a keeper; `:gone` if it has ended or takes too long.
  defp ask(pid, request, left) do
    GenServer.call(pid, request, Timeout.capped(left))
  catch
    :exit, _ -> :gone
  end

  @doc """
  Lends a key's state to the keeper of another node, which sends `{:taken, itself}` when it has it. `:busy` if that is not
  possible now.
  """
  @spec take(term(), term(), pid()) :: {:ok, saved(), pid()} | :none | :busy
  def take(name, key, taker) do
    # A node that is unknown here would not be asked if this one created the guest again.
    with true <- Nodes.in_view?(node(taker)),
         [{pid, %Guest{}}] <- Registry.lookup(@keys, {name, key}) do
      with :gone <- ask(pid, {:take, taker}, 2 * @patience), do: :busy
    else
      [] -> :none
      _unknown_or_moving -> :busy
    end
  end

  @doc "Creates a key's guest here, if there is none, with the state from the node that has it."
  @spec pull(term(), term()) :: :ok | :busy
  def pull(name, key) do
    if name |> begin(key) |> ask(:ready, @patience) == :ok, do: :ok, else: :busy
  end

  @doc "Moves a guest of this node to another one, or closes it (`:nowhere`). `:busy` if it is still here."
  @spec move({term(), term()}, pid(), node() | :nowhere) :: :ok | :busy
  def move(_key, pid, :nowhere), do: replace(pid)

  def move({name, key}, pid, to) do
    case ask(pid, :part, 2 * @patience) do
      # The new keeper takes it, and this one ends, as it does if the other node has one already.
      :pull ->
        pulled = Remote.call(to, :pull, [name, key], Timeout.deadline(@patience))
        if pulled == :ok, do: replace(pid), else: :busy

      :gone ->
        if Process.alive?(pid), do: :busy, else: :ok

      result ->
        result
    end
  end

  @doc "Ends a guest that may not be served any more, if so."
  @spec expire(pid()) :: :ok
  def expire(pid) do
    ask(pid, :expire, @patience)
    :ok
  end

  @doc "Ends a guest; the next call creates one."
  @spec replace(pid()) :: :ok
  def replace(pid) do
    ask(pid, :replace, @patience)
    :ok
  end

  @spec start_link({term(), term()}) :: GenServer.on_start()
  def start_link({_name, _key} = key),
    do: GenServer.start_link(__MODULE__, key, name: {:via, Registry, {@keys, key, nil}})

  # The guest is created afterwards, so that other keys need not wait for it.
  @impl true
  def init({name, key}) do
    Process.flag(:trap_exit, true)
    {:ok, %__MODULE__{name: name, key: key}, {:continue, :create}}
  end

  @impl true
  def handle_continue(:create, keeper) do
    case create(keeper) do
      {:ok, keeper} ->
        {:noreply, publish(keeper, keeper.guest)}

      # Those who wait already get the error, then it ends.
      failed ->
        send(self(), :end)
        {:noreply, %{keeper | failed: failed}}
    end
  end

  defp create(keeper) do
    with {:ok, epoch} <- Nodes.may_create(),
         {:ok, keeper} <- made(keeper, epoch) do
      with {:ok, saved, lenders} <- state(keeper),
           :ok <- unchanged(keeper, epoch),
           :ok <- restore(keeper, saved) do
        for pid <- lenders, do: send(pid, {:taken, self()})
        {:ok, keeper}
      else
        failed ->
          close(keeper)
          failed
      end
    end
  end

  # Other nodes may have been lost while they were asked.
  defp unchanged(keeper, epoch) do
    case Nodes.may_create() do
      {:ok, ^epoch} -> :ok
      {:ok, _another} -> moving(keeper.name)
      refused -> refused
    end
  end

  defp made(keeper, epoch) do
    with {:ok, module, worker, functions, version} <- Deploy.make(keeper.name) do
      guest = %Guest{module: module, worker: worker, version: version, epoch: epoch}
      {:ok, %{keeper | guest: guest, functions: functions}}
    end
  end

  # All nodes are asked, also if the state is not moved: the guest there ends.
  defp state(keeper) do
    args = [keeper.name, keeper.key, self()]
    deadline = Timeout.deadline(@patience)
    replies = Remote.each(Nodes.others_in_view(), :take, args, deadline)

    unless Enum.any?(replies, &refusal?/1) do
      found = for {:ok, saved, pid} <- replies, do: {saved, pid}
      saved = Enum.find_value(found, :nothing, fn {saved, _} -> saved != :nothing && saved end)
      {:ok, saved, for({_, pid} <- found, do: pid)}
    else
      moving(keeper.name)
    end
  end

  # Without a majority, a node that does not reply is not waited for.
  defp refusal?(:busy), do: true
  defp refusal?({:error, _}), do: Nodes.limited?()
  defp refusal?(_none_or_lent), do: false

  defp restore(%{functions: nil}, _saved), do: :ok
  defp restore(_keeper, :nothing), do: :ok

  defp restore(%{functions: functions, guest: guest}, {:state, state}) do
    %{module: module, worker: worker} = guest

    with {:ok, _} <-
           module.call(worker, Keyword.fetch!(functions, :restore), params(module, state), []),
         do: :ok
  end

  # A plug-in takes bytes, the others a list of params; the results of an instance are a list already.
  defp params(Wasmex.Pool.Worker.Component, state), do: [state]
  defp params(_module, state), do: state

  defp publish(keeper, value) do
    Registry.update_value(@keys, {keeper.name, keeper.key}, fn _ -> value end)
    keeper
  end

  @impl true
  def handle_call(:ready, _from, %{failed: nil} = keeper), do: {:reply, :ok, keeper}

  def handle_call(_request, _from, %{failed: error} = keeper) when error != nil,
    do: {:reply, error, keeper}

  def handle_call({:upgrade, version}, _from, %{guest: %{version: newer}} = keeper)
      when newer >= version,
      do: {:reply, :ok, keeper}

  def handle_call({:upgrade, _version}, _from, %{taker: taker} = keeper) when taker != nil,
    do: {:reply, moving(keeper.name), keeper}

  def handle_call({:upgrade, _version}, _from, keeper) do
    case upgrade(keeper) do
      {:ok, upgraded} ->
        close(keeper)
        {:reply, :ok, publish(upgraded, upgraded.guest)}

      # The old guest continues.
      error ->
        {:reply, error, publish(keeper, keeper.guest)}
    end
  end

  def handle_call(:expire, _from, keeper) do
    if Nodes.serves?(keeper.guest.epoch),
      do: {:reply, :ok, keeper},
      else: {:stop, :normal, :ok, keeper}
  end

  def handle_call(:replace, _from, keeper), do: {:stop, :normal, :ok, keeper}

  def handle_call({:take, taker}, _from, keeper) do
    cond do
      keeper.taker != nil ->
        {:reply, :busy, keeper}

      # Another node may have replaced it.
      not Nodes.serves?(keeper.guest.epoch) ->
        {:stop, :normal, :none, keeper}

      true ->
        case saved(keeper) do
          {:ok, saved} ->
            {:reply, {:ok, saved, self()}, %{keeper | taker: Process.monitor(taker)}}

          _busy ->
            {:reply, :busy, publish(keeper, keeper.guest)}
        end
    end
  end

  def handle_call(:part, _from, %{taker: taker} = keeper) when taker != nil,
    do: {:reply, :busy, keeper}

  # Without state there is nothing to move.
  def handle_call(:part, _from, %{functions: nil} = keeper) do
    case saved(keeper) do
      {:ok, :nothing} -> {:stop, :normal, :ok, keeper}
      _busy -> {:reply, :busy, publish(keeper, keeper.guest)}
    end
  end

  def handle_call(:part, _from, keeper), do: {:reply, :pull, keeper}

  def handle_call(_other, _from, keeper), do: {:reply, {:error, :unknown_request}, keeper}

  defp upgrade(keeper) do
    with {:ok, saved} <- saved(keeper),
         {:ok, upgraded} <- made(keeper, keeper.guest.epoch) do
      case restore(upgraded, saved) do
        :ok ->
          {:ok, upgraded}

        error ->
          close(upgraded)
          error
      end
    end
  end

  # Its state, after the running calls.
  defp saved(%{guest: %{module: module, worker: worker}} = keeper) do
    publish(keeper, :leaving)

    cond do
      not Uses.wait(self(), @patience) ->
        moving(keeper.name)

      keeper.functions == nil ->
        {:ok, :nothing}

      true ->
        save = Keyword.fetch!(keeper.functions, :save)

        case module.call(worker, save, nothing(module), timeout: @patience) do
          {:ok, state} -> {:ok, {:state, state}}
          {:error, error} -> {:ok, unsaved(keeper, error)}
        end
    end
  end

  defp unsaved(keeper, error) do
    what = "#{inspect(keeper.key)} of #{inspect(keeper.name)}"
    Logger.error("the state of the key #{what} could not be saved: #{Exception.message(error)}")
    :nothing
  end

  defp nothing(Wasmex.Plugin.Pool), do: ""
  defp nothing(_module), do: []

  @impl true
  def handle_info({:taken, _pid}, keeper), do: {:stop, :normal, keeper}
  def handle_info(:end, keeper), do: {:stop, :normal, keeper}

  # It is unknown whether the other node serves the guest.
  def handle_info({:DOWN, taker, :process, _pid, :noconnection}, %{taker: taker} = keeper),
    do: {:stop, :normal, keeper}

  # It failed before it has served it, or it would have sent that it has the state.
  def handle_info({:DOWN, taker, :process, _pid, _reason}, %{taker: taker} = keeper),
    do: {:noreply, publish(%{keeper | taker: nil}, keeper.guest)}

  def handle_info(_message, keeper), do: {:noreply, keeper}

  @impl true
  def terminate(_reason, keeper), do: close(keeper)

  defp close(%{guest: nil}), do: :ok
  defp close(%{guest: %{module: module, worker: worker}}), do: module.close(worker)
end
