defmodule Wasmex.Plugin.Server do
  @moduledoc false
  # The process of `Wasmex.Plugin.start_link/1`: it owns a plug-in, and frees it when it ends. Calls run in their
  # callers.

  use GenServer

  @type make :: (() -> {:ok, term()} | {:error, Exception.t()})

  @doc "Owns the result of `make` until it ends; then `close` frees it."
  @spec start_link(make(), (term() -> :ok), GenServer.options()) :: GenServer.on_start()
  def start_link(make, close, options),
    do: GenServer.start_link(__MODULE__, {make, close}, options)

  @impl true
  def init({make, close}) do
    Process.flag(:trap_exit, true)

    case make.() do
      {:ok, plugin} -> {:ok, {plugin, close}}
      {:error, error} -> {:stop, error}
    end
  end

  @impl true
  def handle_call(:plugin, _from, {plugin, _close} = state), do: {:reply, plugin, state}

  @impl true
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, {plugin, close}), do: close.(plugin)
end
