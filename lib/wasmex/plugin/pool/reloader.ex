defmodule Wasmex.Plugin.Pool.Reloader do
  @moduledoc false
  # Looks at the files of a pool's plug-in and gives the pool what they became. It lives and dies with the pool.

  use GenServer

  alias Wasmex.{Plugin, Pool}
  alias Wasmex.Plugin.Manifest

  require Logger

  # ms.
  @every 1_000

  @enforce_keys [:pool, :source, :compile, :new, :seen]
  defstruct [:pool, :source, :compile, :new, :seen]

  @spec start(pid(), Plugin.source(), keyword(), keyword()) :: GenServer.on_start()
  def start(pool, source, compile, new) do
    state = %__MODULE__{pool: pool, source: source, compile: compile, new: new, seen: nil}
    GenServer.start(__MODULE__, %{state | seen: stamps(source)})
  end

  @doc "Looks now; for tests, which need not wait."
  @spec look(pid()) :: :ok
  def look(reloader), do: GenServer.call(reloader, :look, :infinity)

  @impl true
  def init(%{pool: pool} = state) do
    Process.link(pool)
    Process.monitor(pool)
    Process.send_after(self(), :look, @every)
    {:ok, state}
  end

  @impl true
  def handle_call(:look, _from, state), do: {:reply, :ok, reload(state)}

  @impl true
  def handle_info(:look, state) do
    Process.send_after(self(), :look, @every)
    {:noreply, reload(state)}
  end

  def handle_info({:DOWN, _ref, :process, pool, _reason}, %{pool: pool} = state),
    do: {:stop, :normal, state}

  def handle_info(_message, state), do: {:noreply, state}

  defp reload(state) do
    case stamps(state.source) do
      seen when seen == state.seen ->
        state

      seen ->
        compile(state)
        %{state | seen: seen}
    end
  end

  defp compile(state) do
    with {:ok, compiled} <- Plugin.compile(state.source, state.compile),
         # One that can't be made is no better than one that can't be compiled.
         {:ok, plugin} <- Plugin.new(compiled, state.new) do
      Plugin.close(plugin)
      Pool.replace(state.pool, {compiled, state.new})
    else
      {:error, error} ->
        Logger.error(
          "the plug-in of #{inspect(state.pool)} stays as it is: #{Exception.message(error)}"
        )
    end
  end

  # Size, times and inode of each file, or why there are none.
  defp stamps(source) do
    for path <- paths(source) do
      with {:ok, stat} <- File.stat(path, time: :posix),
           do: {path, stat.size, stat.mtime, stat.ctime, stat.inode}
    end
  end

  defp paths({:manifest, path}) do
    case Plugin.Source.manifest({:manifest, path}, false) do
      {:ok, manifest} -> [path | paths(manifest)]
      {:error, _} -> [path]
    end
  end

  defp paths(%Manifest{wasm: wasm}), do: for(%{source: {:path, path}} <- wasm, do: path)

  defp paths(source) do
    case Plugin.Source.manifest(source, false) do
      {:ok, manifest} -> paths(manifest)
      {:error, _} -> []
    end
  end
end
