defmodule Wasmex.Deploy.Routes do
  @moduledoc false
  # The pools of each name: a table that calls read, so that none of them asks a process.

  use GenServer

  alias Wasmex.HTTP.Function

  # Receives `{:changed, name}` when a name was deployed, changed or undeployed, if this node is part of a cluster.
  @listener Wasmex.Cluster.Members

  @enforce_keys [:server, :functions, :timeout, :state, :versions]
  defstruct [:server, :functions, :timeout, :state, :versions]

  @typedoc """
  The upper bound of its percentage, its number, its pool, its counts of successful and failed calls; and for HTTP
  functions the function, whose requests bypass the pool unless it has an instance for them.
  """
  @type version ::
          {1..100, pos_integer(), pid() | nil, :counters.counters_ref(), Function.t() | nil}
  @type t :: %__MODULE__{
          server: pid(),
          functions: [String.t()] | nil,
          timeout: timeout(),
          state: keyword() | nil,
          versions: [version(), ...]
        }

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @spec fetch(term()) :: {:ok, t()} | :error
  def fetch(name) do
    case :ets.lookup(__MODULE__, name) do
      [{_name, route}] -> {:ok, route}
      [] -> :error
    end
  rescue
    # The application is not started, or the table is being restored.
    ArgumentError -> :error
  end

  @spec names() :: [term()]
  def names, do: :ets.select(__MODULE__, [{{:"$1", :_}, [], [:"$1"]}])

  @doc "The stable version's number, by name, of the names that other nodes may call; empty if the application is not started."
  @spec versions() :: %{term() => pos_integer()}
  def versions do
    for name <- names(), number = version(name), into: %{}, do: {name, number}
  rescue
    ArgumentError -> %{}
  end

  @doc "The same of one name; nil if it is not deployed, or not for other nodes."
  @spec version(term()) :: pos_integer() | nil
  def version(name) do
    with true <- shared?(name), {:ok, route} <- fetch(name) do
      {_threshold, number, _pool, _counts, _function} = List.last(route.versions)
      number
    else
      _ -> nil
    end
  end

  @doc "Whether other nodes may call it: all names except functions of a server on this node only."
  @spec shared?(term()) :: boolean()
  def shared?({:http, scope, _function}), do: scope == :cluster
  def shared?(_name), do: true

  @doc "Counts a call of a version; after a failure the name's process checks the error rate."
  @spec count(pid(), :counters.counters_ref(), boolean()) :: term()
  def count(_server, counts, false), do: :counters.add(counts, 1, 1)

  def count(server, counts, true) do
    :counters.add(counts, 2, 1)
    send(server, :check)
  end

  @doc "The version for this call."
  @spec pick(t()) :: version()
  def pick(%__MODULE__{versions: [version]}), do: version

  def pick(%__MODULE__{versions: versions}) do
    percent = :rand.uniform(100)
    Enum.find(versions, fn {threshold, _, _, _, _} -> percent <= threshold end)
  end

  @doc "Called by the name's process, which removes the row when it ends. The cluster is notified."
  @spec put(term(), t()) :: :ok
  def put(name, route) do
    unless :ets.member(__MODULE__, name), do: GenServer.cast(__MODULE__, {:watch, name, self()})
    :ets.insert(__MODULE__, {name, route})
    notify(name)
  end

  @spec delete(term()) :: :ok
  def delete(name) do
    :ets.delete(__MODULE__, name)
    notify(name)
  end

  defp notify(name) do
    if Process.whereis(@listener), do: send(@listener, {:changed, name})
    :ok
  rescue
    # It ended just now.
    ArgumentError -> :ok
  end

  @impl true
  def init(nil) do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    {:ok, %{}, {:continue, :restore}}
  end

  # After a failure: the processes of the names write their rows again.
  @impl true
  def handle_continue(:restore, watched) do
    for pid <- Registry.select(Wasmex.Deploy.Registry, [{{:_, :"$1", :_}, [], [:"$1"]}]),
        do: send(pid, :route)

    {:noreply, watched}
  rescue
    # The application is just being started.
    ArgumentError -> {:noreply, watched}
  end

  # A killed process removes nothing itself.
  @impl true
  def handle_cast({:watch, name, pid}, watched),
    do: {:noreply, Map.put(watched, Process.monitor(pid), name)}

  @impl true
  def handle_info({:DOWN, monitor, :process, pid, _reason}, watched) do
    {name, watched} = Map.pop(watched, monitor)
    with {:ok, %{server: ^pid}} <- fetch(name), do: delete(name)
    {:noreply, watched}
  end

  def handle_info(_message, watched), do: {:noreply, watched}
end
