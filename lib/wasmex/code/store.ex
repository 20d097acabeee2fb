defmodule Wasmex.Code.Store do
  @moduledoc false
  # The bytes of code on this node, by SHA-256. Any process reads; this process writes, and removes the least recently
  # used when there are too many, except those being held.

  use GenServer

  # Maximum number of bytes.
  @most 512 * 1024 * 1024

  # `held`: the number of holders by hash; `holders`: the held hashes by monitor. `size` in bytes.
  defstruct size: 0, held: %{}, holders: %{}

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "Stores the bytes and returns the hash."
  @spec put(binary()) :: binary()
  def put(bytes) do
    hash = :crypto.hash(:sha256, bytes)
    # Copied: a sub-binary would keep the whole binary alive.
    if get(hash) == :error, do: GenServer.call(__MODULE__, {:put, hash, :binary.copy(bytes)})
    hash
  end

  @spec get(binary()) :: {:ok, binary()} | :error
  def get(hash) do
    case :ets.lookup(__MODULE__, hash) do
      [{_hash, bytes, _used}] ->
        :ets.update_element(__MODULE__, hash, {3, now()})
        {:ok, bytes}

      [] ->
        :error
    end
  end

  @doc "The size, if it is here; for other nodes."
  @spec size(binary()) :: {:ok, non_neg_integer()} | :error
  def size(hash) do
    with {:ok, bytes} <- get(hash), do: {:ok, byte_size(bytes)}
  end

  @doc "A part of it; for other nodes."
  @spec part(binary(), non_neg_integer(), pos_integer()) :: {:ok, binary()} | :error
  def part(hash, offset, length) do
    with {:ok, bytes} <- get(hash) do
      length = min(length, byte_size(bytes) - offset)
      {:ok, bytes |> binary_part(offset, length) |> :binary.copy()}
    end
  end

  @doc "Keeps it as long as this process lives."
  @spec hold(binary()) :: :ok
  def hold(hash), do: GenServer.call(__MODULE__, {:hold, hash})

  @doc "Ends one `hold/1` of this process."
  @spec release(binary()) :: :ok
  def release(hash), do: GenServer.call(__MODULE__, {:release, hash})

  @doc "The number of bytes in the store."
  @spec total() :: non_neg_integer()
  def total, do: GenServer.call(__MODULE__, :total)

  defp now, do: System.monotonic_time()

  @impl true
  def init(nil) do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    {:ok, %__MODULE__{}}
  end

  @impl true
  def handle_call({:put, hash, bytes}, _from, state) do
    state =
      if :ets.insert_new(__MODULE__, {hash, bytes, now()}),
        do: tidy(%{state | size: state.size + byte_size(bytes)}, hash),
        else: state

    {:reply, :ok, state}
  end

  def handle_call({:hold, hash}, {pid, _}, state) do
    held = Map.update(state.held, hash, 1, &(&1 + 1))
    holders = Map.put(state.holders, Process.monitor(pid), {pid, hash})
    {:reply, :ok, %{state | held: held, holders: holders}}
  end

  def handle_call({:release, hash}, {pid, _}, state) do
    case Enum.find(state.holders, &match?({_monitor, {^pid, ^hash}}, &1)) do
      {monitor, _} ->
        Process.demonitor(monitor, [:flush])
        {:reply, :ok, let_go(state, monitor)}

      nil ->
        {:reply, :ok, state}
    end
  end

  def handle_call(:total, _from, state), do: {:reply, state.size, state}

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state)
      when is_map_key(state.holders, monitor),
      do: {:noreply, let_go(state, monitor)}

  def handle_info(_message, state), do: {:noreply, state}

  defp let_go(state, monitor) do
    {{_pid, hash}, holders} = Map.pop!(state.holders, monitor)

    held =
      case state.held do
        %{^hash => 1} -> Map.delete(state.held, hash)
        held -> Map.update!(held, hash, &(&1 - 1))
      end

    tidy(%{state | holders: holders, held: held}, nil)
  end

  # Except the newest, which is about to be used.
  defp tidy(state, newest) do
    if state.size <= Application.get_env(:wasmex, :code_bytes, @most) do
      state
    else
      rows = :ets.select(__MODULE__, [{{:"$1", :_, :"$2"}, [], [{{:"$2", :"$1"}}]}])

      rows =
        for {used, hash} <- rows,
            hash != newest,
            not is_map_key(state.held, hash),
            do: {used, hash}

      rows |> Enum.sort() |> drop(state)
    end
  end

  defp drop([], state), do: state

  defp drop([{_used, hash} | rows], state) do
    [{_hash, bytes, _used}] = :ets.take(__MODULE__, hash)
    state = %{state | size: state.size - byte_size(bytes)}
    most = Application.get_env(:wasmex, :code_bytes, @most)
    if state.size <= most, do: state, else: drop(rows, state)
  end
end
