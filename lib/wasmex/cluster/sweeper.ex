defmodule Wasmex.Cluster.Sweeper do
  @moduledoc false
  # Moves keys to their new nodes after the cluster has changed, also those that are not called, and ends guests that this
  # node may not serve any more.

  use GenServer

  alias Wasmex.Cluster.{Keyed, Nodes, Uses}

  # Changes are handled once in this many heartbeats.
  @beats 5

  # `interval` in ms. `seen`: the last change of the cluster that was handled, nil if some keys could not be moved.
  @enforce_keys [:interval]
  defstruct [:interval, :seen]

  @spec start_link(map()) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: __MODULE__)

  @impl true
  def init(opts) do
    Uses.open()
    {:ok, look_later(%__MODULE__{interval: @beats * opts.heartbeat})}
  end

  @impl true
  def handle_info(:look, state) do
    Uses.tidy()
    {:noreply, state |> swept(Nodes.changes()) |> look_later()}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp swept(%{seen: changes} = state, changes), do: state
  defp swept(state, changes), do: %{state | seen: if(Keyed.sweep() == :ok, do: changes)}

  defp look_later(state) do
    Process.send_after(self(), :look, state.interval)
    state
  end
end
