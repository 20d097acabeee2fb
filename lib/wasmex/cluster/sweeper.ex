defmodule Wasmex.Cluster.Sweeper do
  @moduledoc false
  # Moves keys to their new nodes after the cluster has changed, also those that are not called, and ends guests that this
  # node may not serve any more.

  use GenServer

  alias Wasmex.Cluster.{Keyed, Nodes, Uses}

  @interval 1_000

  # The last change of the cluster that was handled; `:again` if some keys could not be moved.
  defstruct seen: nil

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @impl true
  def init(nil) do
    Uses.open()
    {:ok, look_later(%__MODULE__{})}
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
    Process.send_after(self(), :look, @interval)
    state
  end
end
