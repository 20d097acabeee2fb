defmodule Wasmex.HTTP.Folder do
  @moduledoc false
  # Compiles the functions of a folder, and compiles them again when their files change. If a changed file does not compile,
  # the previous version stays active. Requests read a table. This process fills it and scans the folder every half
  # second.

  use GenServer

  require Logger

  alias Wasmex.{Bytes, Deploy}
  alias Wasmex.HTTP.{Function, Resident, Stats, Versions}

  @extensions [".wasm", ".wat", ".cwasm"]
  @every 500

  # How many files are compiled at the same time: far fewer than may wait for the compiler, which others use too.
  @loads 16

  # `only` restricts the scan to one file of the folder; may be nil.
  # `scope` and `owner` are those of `Wasmex.HTTP.Versions`.
  defstruct [
    :dir,
    :only,
    :table,
    :settings,
    :stats,
    :scope,
    :owner,
    files: %{},
    loading: %{},
    waiting: %{}
  ]

  @doc """
  Options: `:dir` or `:file`, `:functions` (settings by name), `:defaults` (settings for all), `:stats`. Raises for
  invalid settings. Functions are deployed in the `:scope`, by default of this folder alone, and end with the `:owner`,
  by default the folder.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    settings = check!(opts)
    {dir, only} = place(opts)

    unless File.dir?(dir),
      do: raise(ArgumentError, "dir: #{inspect(dir)} is not a directory")

    start = {dir, only, settings, Keyword.take(opts, [:stats, :table, :scope, :owner])}
    GenServer.start_link(__MODULE__, start, Keyword.take(opts, [:name]))
  end

  defp place(opts) do
    case opts[:file] do
      nil -> {Path.expand(Keyword.fetch!(opts, :dir)), nil}
      file -> {file |> Path.expand() |> Path.dirname(), Path.basename(file)}
    end
  end

  @doc "Creates a table for the functions of a folder."
  @spec new() :: :ets.table()
  def new, do: :ets.new(__MODULE__, [:public, read_concurrency: true])

  @doc "Validates the settings: those of all functions, those of each, and how changed files take over."
  @spec check!(keyword() | map()) :: %{
          defaults: Function.settings(),
          deploy: keyword(),
          functions: %{String.t() => {Function.settings(), keyword()}}
        }
  def check!(opts) do
    defaults = Function.settings!(opts[:defaults] || [], "defaults")
    deploy = Deploy.folder!(opts[:deploy] || [])

    functions =
      Map.new(opts[:functions] || %{}, fn {name, settings} ->
        {own, settings} = settings |> Wasmex.Options.listed() |> Keyword.pop(:deploy, [])
        settings = Function.settings!(settings, "functions.#{name}")
        {Wasmex.Utils.stringify(name), {settings, Deploy.folder!(own)}}
      end)

    %{defaults: defaults, deploy: deploy, functions: functions}
  end

  @doc "The tables that requests use: functions and statistics."
  @spec tables(GenServer.server()) :: {:ets.table(), :ets.table()}
  def tables(folder), do: GenServer.call(folder, :tables, :infinity)

  @doc "The scope of its functions, see `Wasmex.HTTP.Versions`."
  @spec scope(GenServer.server()) :: term()
  def scope(folder), do: GenServer.call(folder, :scope, :infinity)

  @doc "Scans the folder and waits until all changed files are compiled."
  @spec refresh(GenServer.server()) :: :ok
  def refresh(folder), do: GenServer.call(folder, :refresh, :infinity)

  @doc "Returns `{:ok, function}`, `:refused` (a link that leaves the folder), `{:broken, error}` or `:unknown`."
  @spec find(:ets.table(), String.t()) ::
          {:ok, Wasmex.HTTP.Function.t()} | :refused | {:broken, Exception.t()} | :unknown
  def find(table, name) do
    case :ets.lookup(table, name) do
      [{_, {:ok, function}, _}] -> {:ok, function}
      [{_, other, _}] -> other
      [] -> :unknown
    end
  end

  @doc "A sorted list of `{name, found, error}`. The error is that of a newer version that does not compile."
  @spec list(:ets.table()) :: [tuple()]
  def list(table), do: table |> :ets.tab2list() |> Enum.sort()

  @impl true
  def init({dir, only, settings, tables}) do
    own = [dir: dir, only: only, settings: settings, scope: make_ref(), owner: self()]
    state = struct!(__MODULE__, Keyword.merge(own, tables))
    await_before(state.table)
    # Functions that exist at the start are available from the first request on.
    state = state |> scan() |> wait_all()
    warn_of_missing(state)
    {:ok, state, @every}
  end

  # After a crash: processes of the previous one may hold files and ports that this one needs.
  defp await_before(table) do
    for {_name, {:ok, function}, _error} <- list(table), do: Resident.await_end(function)
  end

  defp warn_of_missing(state) do
    for {name, _} <- state.settings.functions,
        not Enum.any?(state.files, fn {_, f} -> f.name == name end) do
      Logger.warning("functions.#{name}: the function does not exist in #{state.dir}")
    end
  end

  @impl true
  def handle_call(:tables, _from, state),
    do: {:reply, {state.table, state.stats}, state, @every}

  def handle_call(:scope, _from, state), do: {:reply, state.scope, state, @every}

  def handle_call(:refresh, _from, state),
    do: {:reply, :ok, state |> scan() |> wait_all(), @every}

  @impl true
  def handle_info(:timeout, state), do: {:noreply, scan(state), @every}

  def handle_info({:DOWN, ref, :process, _, reason}, state) when is_map_key(state.loading, ref),
    do: {:noreply, loaded(state, ref, reason), @every}

  def handle_info(_message, state), do: {:noreply, state, @every}

  defp wait_all(%{loading: loading} = state) when loading == %{}, do: state

  defp wait_all(state) do
    receive do
      {:DOWN, ref, :process, _, reason} when is_map_key(state.loading, ref) ->
        state |> loaded(ref, reason) |> wait_all()
    end
  end

  # Compiles new and changed files, each in a separate process, and removes deleted ones.
  defp scan(state) do
    found = state |> files() |> Map.new(&{&1, look(state, &1)})
    state = Enum.reduce(state.files, state, &forget(&2, &1, found))
    Enum.reduce(found, state, fn {file, now}, state -> update(state, file, now) end)
  end

  defp files(%{dir: dir, only: only}) do
    case File.ls(dir) do
      {:ok, names} -> Enum.filter(names, &(function?(&1) and (only == nil or &1 == only)))
      {:error, _} -> []
    end
  end

  defp function?(file), do: Path.extname(file) in @extensions and name?(Path.rootname(file))

  @doc "Whether the name is valid for a function."
  @spec name?(String.t()) :: boolean()
  def name?(name), do: String.match?(name, ~r/\A[A-Za-z0-9_][A-Za-z0-9_.\-]*\z/)

  # Links are only followed within the folder.
  defp look(state, file) do
    path = Path.join(state.dir, file)
    name = Path.rootname(file)

    with {:ok, %{type: type} = info} <- File.lstat(path, time: :posix),
         true <- type != :symlink or inside?(path, state.dir),
         {:ok, info} <- if(type == :symlink, do: File.stat(path, time: :posix), else: {:ok, info}) do
      %{name: name, path: path, stamp: {info.mtime, info.ctime, info.size, info.inode}, at: now()}
    else
      _ -> %{name: name, path: path, stamp: :refused, at: now()}
    end
  end

  defp now, do: System.os_time(:second)

  defp inside?(path, dir) do
    case :file.read_link_all(path) do
      {:ok, target} ->
        target = target |> IO.chardata_to_string() |> Path.expand(dir)
        String.starts_with?(target, dir <> "/") and not link?(target)

      _ ->
        false
    end
  end

  # Only one step is followed: a link to a link is refused.
  defp link?(path), do: match?({:ok, _}, :file.read_link_all(path))

  defp forget(state, {file, %{name: name}}, found) do
    if is_map_key(found, file) do
      state
    else
      unless Enum.any?(found, fn {_, now} -> now.name == name end) do
        before = find(state.table, name)
        :ets.delete(state.table, name)
        retire(before)
        Versions.undeploy(state.scope, name)
      end

      %{state | files: Map.delete(state.files, file)}
    end
  end

  defp update(state, file, %{stamp: :refused} = now) do
    :ets.insert(state.table, {now.name, :refused, nil})
    put_in(state.files[file], now)
  end

  defp update(state, file, now) do
    known = state.files[file]

    cond do
      loading?(state, file) -> state
      known == nil or known.stamp != now.stamp -> load(state, file, now)
      # Times have a resolution of one second, so a file that had just changed is read again.
      fresh?(known) and digest(now.path) != known[:digest] -> load(state, file, now)
      true -> state
    end
  end

  defp loading?(state, file) do
    is_map_key(state.waiting, file) or
      Enum.any?(state.loading, fn {_ref, {other, _}} -> other == file end)
  end

  defp fresh?(%{stamp: {mtime, ctime, _, _}, at: at}), do: max(mtime, ctime) + 2 >= at

  defp digest(path) do
    with {:ok, bytes} <- Bytes.read(path), do: :crypto.hash(:sha256, bytes)
  end

  defp load(%{loading: loading} = state, file, now) when map_size(loading) >= @loads,
    do: put_in(state.waiting[file], now)

  defp load(state, file, now) do
    # Monitored and not linked, so that a failure does not end this process.
    {_pid, ref} = spawn_monitor(fn -> exit({:loaded, read(state, now)}) end)
    %{state | loading: Map.put(state.loading, ref, {file, now})}
  end

  defp read(state, now) do
    {own, deploy} = Map.get(state.settings.functions, now.name, {%{}, []})
    settings = Map.merge(state.settings.defaults, own)
    deploy = Keyword.merge(state.settings.deploy, deploy)

    case Bytes.read(now.path) do
      {:ok, bytes} ->
        {:crypto.hash(:sha256, bytes), deploy(state, now.name, bytes, settings, deploy)}

      {:error, posix} ->
        {nil, {:error, %File.Error{reason: posix, path: now.path, action: "read"}}}
    end
  end

  # A resident server takes over in its own way.
  defp deploy(state, name, bytes, settings, opts) do
    with {:ok, %{convention: convention} = function} when convention != :resident <-
           Function.load(name, bytes, settings),
         changed? = Enum.any?(state.files, fn {_file, known} -> known.name == name end),
         :ok <- Versions.deploy(state, function, bytes, settings, opts, changed?),
         do: {:ok, function}
  end

  defp load_next(%{waiting: waiting} = state) do
    case Enum.take(waiting, 1) do
      [{file, now}] -> load(%{state | waiting: Map.delete(waiting, file)}, file, now)
      [] -> state
    end
  end

  defp loaded(state, ref, reason) do
    {{file, now}, loading} = Map.pop(state.loading, ref)

    {digest, result} =
      case reason do
        {:loaded, loaded} -> loaded
        other -> {nil, {:error, %ErlangError{original: other}}}
      end

    put(state, now.name, result)
    files = Map.put(state.files, file, Map.put(now, :digest, digest))
    load_next(%{state | loading: loading, files: files})
  end

  # The new resident server is running now; the previous one ends.
  defp put(state, name, {:ok, %{convention: :resident, resident: nil} = function}),
    do: put(state, name, Resident.start(function, self()))

  defp put(state, name, {:ok, function}) do
    # The previous one ends once it can no longer be found.
    before = find(state.table, name)
    :ets.insert(state.table, {name, {:ok, function}, nil})
    retire(before)
    if function.resident, do: Versions.undeploy(state.scope, name)
    if state.stats, do: Stats.open(state.stats, name)
    Logger.info("function #{name}: loaded, #{function.convention}", wasm: name)
  end

  # The previous version stays active.
  defp put(state, name, {:error, error}) do
    text = Exception.message(error)
    Logger.error("function #{name}: #{text}", wasm: name)

    case :ets.lookup(state.table, name) do
      [{_, {:ok, _} = before, _}] -> :ets.insert(state.table, {name, before, text})
      _ -> :ets.insert(state.table, {name, {:broken, text}, text})
    end
  end

  defp retire({:ok, before}), do: Resident.retire(before)
  defp retire(_none), do: :ok
end
