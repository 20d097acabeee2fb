defmodule Wasmex.LiveDashboard.Overview do
  @moduledoc false
  # The guests of this VM, for people who look at it: `Wasmex.LiveDashboard`. It waits for no store and calls no process.

  alias Wasmex.{Components, Instance, Native, Plugin, Pool, Program}
  alias Wasmex.Call.{Slices, Turn}

  # What a process around a guest is, by the module of its `init/1`.
  @servers %{
    Wasmex => "module",
    Components => "component",
    Program.Server => "program",
    Plugin.Server => "plug-in"
  }

  # A process that runs a guest is in one of these modules, unless it is in an imported function.
  @calling [Native, Wasmex.Call, Slices, Turn, Wasmex.Call.Timeout]

  @items [
    :current_function,
    :dictionary,
    :message_queue_len,
    :reductions,
    :registered_name,
    :status
  ]

  @type guest :: %{
          pid: pid(),
          name: String.t(),
          kind: String.t(),
          state: String.t(),
          tags: map(),
          memory: non_neg_integer() | nil,
          queue: non_neg_integer(),
          reductions: non_neg_integer()
        }
  @type pool :: %{
          pid: pid(),
          name: String.t(),
          size: pos_integer(),
          in_use: non_neg_integer(),
          idle: non_neg_integer(),
          waiting: non_neg_integer()
        }

  @doc "Native objects by kind, and the slices that guests have used."
  @spec totals() :: %{objects: keyword(non_neg_integer()), slices: non_neg_integer()}
  def totals, do: %{objects: Native.live_objects(), slices: Slices.total()}

  @doc "The pools, by name."
  @spec pools() :: [pool()]
  def pools do
    pools = for {pid, slots} <- Pool.Handles.all(), pool = pool(pid, slots), do: pool
    Enum.sort_by(pools, & &1.name)
  end

  defp pool(pid, slots) do
    Map.merge(Pool.Slots.stats(slots), %{pid: pid, name: name(pid), size: slots.size})
  rescue
    # It has just ended, and its table with it.
    ArgumentError -> nil
  end

  defp name(pid) do
    case Process.info(pid, :registered_name) do
      {:registered_name, name} when is_atom(name) -> inspect(name)
      _ -> inspect(pid)
    end
  end

  @doc "Processes around a guest, and processes that run one now."
  @spec guests() :: [guest()]
  def guests do
    for pid <- Process.list(),
        info = Process.info(pid, @items),
        guest = guest(pid, info),
        do: guest
  end

  defp guest(pid, info) do
    dictionary = info[:dictionary]
    handle = dictionary[:"$wasmex_instance"] || dictionary[:"$wasmex_component_instance"]
    store = store(handle)
    calling? = calling?(store, info[:current_function])
    kind = @servers[module(dictionary)] || if calling?, do: "call"

    if kind do
      %{
        pid: pid,
        name: if(is_atom(info[:registered_name]), do: inspect(info[:registered_name]), else: ""),
        kind: kind,
        state: state(calling?, info[:status]),
        tags: if(handle, do: handle.tags, else: %{}),
        memory: if(store && not calling?, do: peak(store)),
        queue: info[:message_queue_len],
        reductions: info[:reductions]
      }
    end
  end

  defp store(%Instance{resource: resource}), do: Native.instance_store(resource)
  defp store(%Components.Instance{store_resource: store}), do: store
  defp store(nil), do: nil

  defp calling?(nil, {module, _function, _arity}), do: module in @calling
  defp calling?(nil, :undefined), do: false
  defp calling?(store, _function), do: Native.store_driver(store) != nil

  defp state(false, _status), do: "idle"
  defp state(true, :waiting), do: "waiting"
  defp state(true, _runnable), do: "running"

  defp module(dictionary) do
    with {module, :init, 1} <- dictionary[:"$initial_call"], do: module
  end

  # nil: unknown, or the store is in use.
  defp peak(store) do
    case Native.store_memory_peak(store, nil) do
      {:ok, bytes} ->
        bytes

      {:busy, ref} ->
        Turn.leave(store, ref)
        nil

      {:error, _closed} ->
        nil
    end
  end
end
