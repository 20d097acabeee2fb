defmodule Wasmex.Cache do
  @moduledoc false
  # Caches programs compiled from files until the files change, and the components of generated modules. Callers read
  # the table directly. This process owns it and lets one process at a time compile a file.
  #
  # A file counts as unchanged while its size, times and inode are the same. Times have a resolution of one second, so
  # a file that changed shortly before it was read is compared by its digest.

  use GenServer

  alias Wasmex.{Bytes, Error}

  @table __MODULE__
  # The maximum number of entries. The oldest is removed first.
  @most 256
  # A time stamp this many seconds older than the read is reliable.
  @stable_after 3

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc """
  Calls `load` with the bytes of the file and caches an `{:ok, term}` under the path and `key`. Errors are not cached.
  """
  @spec fetch(Path.t(), term(), (binary() -> {:ok, term()} | {:error, term()})) ::
          {:ok, term()} | {:error, term()}
  def fetch(path, key, load) do
    path = Path.expand(path)

    with {:ok, stat} <- stat(path) do
      key = {path, key}

      case known(key, stat, path) do
        {:ok, _} = found -> found
        nil -> exclusively(key, fn -> known(key, stat, path) || make(key, path, load) end)
      end
    end
  end

  @doc "Calls `make` and caches an `{:ok, term}` under the key."
  @spec remember(term(), (() -> {:ok, term()} | {:error, term()})) ::
          {:ok, term()} | {:error, term()}
  def remember(key, make) do
    remembered(key) ||
      exclusively(key, fn ->
        with nil <- remembered(key), {:ok, value} <- make.() do
          if running?(), do: put({key, nil, nil, nil, value})
          {:ok, value}
        end
      end)
  end

  defp remembered(key) do
    with true <- running?(), [{_key, nil, _, _, value, _}] <- :ets.lookup(@table, key) do
      {:ok, value}
    else
      _ -> nil
    end
  end

  @doc "Removes all entries."
  @spec clear() :: true
  def clear, do: if(running?(), do: :ets.delete_all_objects(@table), else: true)

  defp running?, do: :ets.whereis(@table) != :undefined

  defp stat(path) do
    case :file.read_file_info(path, time: :posix) do
      {:ok, info} when elem(info, 2) == :directory -> file_error(path, :eisdir)
      # type, size, mtime, ctime, inode
      {:ok, info} -> {:ok, {elem(info, 1), elem(info, 5), elem(info, 6), elem(info, 11)}}
      {:error, posix} -> file_error(path, posix)
    end
  end

  defp file_error(path, posix) do
    message =
      "cannot read the program #{Wasmex.Printable.line(path)}: #{Bytes.format_error(posix)}"

    {:error, %Error{reason: :file, details: %{path: path, posix: posix, message: message}}}
  end

  defp known(key, stat, path) do
    with true <- running?(),
         [{_key, ^stat, read_at, digest, value, _turn}] <- :ets.lookup(@table, key),
         true <- stable?(stat, read_at) or same?(path, digest) do
      {:ok, value}
    else
      _ -> nil
    end
  end

  defp stable?({_size, mtime, ctime, _inode}, read_at),
    do: max(mtime, ctime) + @stable_after < read_at

  defp same?(path, digest) do
    case File.read(path) do
      {:ok, bytes} -> digest(bytes) == digest
      _ -> false
    end
  end

  defp digest(bytes), do: :crypto.hash(:sha256, bytes)

  # The stamp was taken before reading, so an entry is never newer than its stamp.
  defp make(key, path, load) do
    read_at = System.os_time(:second)

    with {:ok, stat} <- stat(path),
         {:ok, bytes} <- read(path),
         {:ok, value} <- load.(bytes) do
      if running?(), do: put({key, stat, read_at, digest(bytes), value})
      {:ok, value}
    end
  end

  defp put(row), do: GenServer.call(__MODULE__, {:put, row})

  defp read(path) do
    case Bytes.read(path) do
      {:ok, bytes} -> {:ok, bytes}
      {:error, posix} -> file_error(path, posix)
    end
  end

  # Other processes that need the same file wait for the one that compiles it.
  defp exclusively(key, fun) do
    if running?() do
      :ok = GenServer.call(__MODULE__, {:enter, key}, :infinity)

      try do
        fun.()
      after
        GenServer.cast(__MODULE__, {:leave, key, self()})
      end
    else
      fun.()
    end
  end

  @impl true
  def init(nil) do
    :ets.new(@table, [:named_table, :protected, read_concurrency: true])
    {:ok, %{turn: 0, inside: %{}}}
  end

  # `inside` maps a key to the process that compiles, its monitor, and the waiting callers.
  @impl true
  def handle_call({:enter, key}, {pid, _} = from, state) do
    case state.inside do
      %{^key => {holder, monitor, queue}} ->
        {:noreply, put_in(state.inside[key], {holder, monitor, :queue.in(from, queue)})}

      _ ->
        {:reply, :ok, put_in(state.inside[key], {pid, Process.monitor(pid), :queue.new()})}
    end
  end

  def handle_call({:put, {key, stat, read_at, digest, value}}, _from, state) do
    if :ets.info(@table, :size) >= @most and not :ets.member(@table, key), do: drop_oldest()
    :ets.insert(@table, {key, stat, read_at, digest, value, state.turn})
    {:reply, :ok, %{state | turn: state.turn + 1}}
  end

  @impl true
  def handle_cast({:leave, key, pid}, state) do
    case state.inside do
      %{^key => {^pid, monitor, queue}} ->
        Process.demonitor(monitor, [:flush])
        {:noreply, next(state, key, queue)}

      _ ->
        {:noreply, state}
    end
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) do
    case Enum.find(state.inside, &match?({_key, {_pid, ^monitor, _queue}}, &1)) do
      {key, {_pid, _monitor, queue}} -> {:noreply, next(state, key, queue)}
      nil -> {:noreply, state}
    end
  end

  defp next(state, key, queue) do
    case :queue.out(queue) do
      {:empty, _} ->
        %{state | inside: Map.delete(state.inside, key)}

      {{:value, {pid, _} = from}, queue} ->
        GenServer.reply(from, :ok)
        put_in(state.inside[key], {pid, Process.monitor(pid), queue})
    end
  end

  defp drop_oldest do
    {oldest, _turn} =
      :ets.foldl(
        fn {key, _, _, _, _, turn}, {_, least} = known ->
          if turn < least, do: {key, turn}, else: known
        end,
        {nil, :infinity},
        @table
      )

    :ets.delete(@table, oldest)
  end
end
