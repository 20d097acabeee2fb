defmodule Wasmex.Pool.Handles do
  @moduledoc false
  # The shared memory of each pool on this node, in a table, so that users need not ask the pool. This process removes
  # the rows of pools that have ended.

  use GenServer

  alias Wasmex.Pool.Slots

  @cached :"$wasmex_pool"

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "Registers a new pool; called by its process."
  @spec put(Slots.t()) :: :ok
  def put(slots) do
    GenServer.call(__MODULE__, {:put, slots})
  catch
    # The application is not started: ask the pool itself.
    :exit, {:noproc, _} -> :ok
  end

  @doc "The shared memory of a pool; the last one is cached in the caller's process dictionary."
  @spec fetch!(pid()) :: Slots.t()
  def fetch!(pid) do
    case Process.get(@cached) do
      %Slots{server: ^pid} = slots -> if Process.alive?(pid), do: slots, else: gone(pid)
      _ -> pid |> find() |> tap(&Process.put(@cached, &1))
    end
  end

  defp find(pid) do
    case :ets.lookup(__MODULE__, pid) do
      [{_pid, slots}] -> slots
      [] -> ask(pid)
    end
  rescue
    ArgumentError -> ask(pid)
  end

  defp ask(pid) do
    case GenServer.call(pid, :slots, :infinity) do
      %Slots{} = slots -> slots
      _other -> Wasmex.Options.misuse!("a pool", pid)
    end
  catch
    # It ended before, or just now.
    :exit, {_reason, {GenServer, :call, _}} -> gone(pid)
  end

  @doc "The pools of this node."
  @spec all() :: [{pid(), Slots.t()}]
  def all do
    :ets.tab2list(__MODULE__)
  rescue
    # The application is not started.
    ArgumentError -> []
  end

  @spec gone(pid()) :: no_return()
  defp gone(pid) do
    Process.delete(@cached)
    exit({:noproc, {Wasmex.Pool, :checkout, [pid]}})
  end

  @impl true
  def init(nil) do
    :ets.new(__MODULE__, [:named_table, :protected, read_concurrency: true])
    {:ok, %{}}
  end

  @impl true
  def handle_call({:put, slots}, {pid, _}, monitors) do
    :ets.insert(__MODULE__, {pid, slots})
    {:reply, :ok, Map.put(monitors, Process.monitor(pid), pid)}
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, pid, _reason}, monitors) do
    :ets.delete(__MODULE__, pid)
    {:noreply, Map.delete(monitors, monitor)}
  end

  def handle_info(_message, monitors), do: {:noreply, monitors}
end
