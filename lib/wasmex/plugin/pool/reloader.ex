defmodule Wasmex.Plugin.Pool.Reloader do
  @moduledoc false
  # Checks the files of a pool's plug-in and passes new versions to the pool. It ends with the pool.

  use GenServer

  alias Wasmex.{Plugin, Pool}
  alias Wasmex.Plugin.Manifest

  require Logger

  # ms.
  @every 1_000

  @enforce_keys [:pool, :source, :compile, :new, :stamps]
  defstruct [:pool, :source, :compile, :new, :stamps]

  @spec start(pid(), Plugin.source(), keyword(), keyword()) :: GenServer.on_start()
  def start(pool, source, compile, new) do
    state = %__MODULE__{pool: pool, source: source, compile: compile, new: new, stamps: nil}
    GenServer.start(__MODULE__, %{state | stamps: stamps(source)})
  end

  @doc "Checks the files now, for tests."
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
      stamps when stamps == state.stamps ->
        state

      stamps ->
        compile(state)
        %{state | stamps: stamps}
    end
  end

  defp compile(state) do
    with {:ok, compiled} <- Plugin.compile(state.source, state.compile),
         # Create one plug-in, to find errors in the initialization.
         {:ok, plugin} <- Plugin.new(compiled, state.new) do
      Plugin.close(plugin)
      Pool.replace(state.pool, {compiled, state.new})
    else
      {:error, error} ->
        Logger.error(
          "the plug-in of #{inspect(state.pool)} was not reloaded: #{Exception.message(error)}"
        )
    end
  end

  # The size, times and inode of each file, or an error.
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
