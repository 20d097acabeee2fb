defmodule Wasmex.Call.Deadlock do
  @moduledoc false
  # Finds out that a wait for a store can't end, because the process that holds the store waits for
  # the one that wants it: an imported function that starts a task which calls into the same store and
  # then awaits it.
  #
  # The NIF knows the cycles that run over stores only. These run over processes, so they are looked
  # for where processes show what they wait for: `Task.await/2` and `GenServer.call/3` monitor the
  # process that is to answer. That is looked at only once a wait has become long.

  alias Wasmex.Native

  # How far a chain of waiting processes is followed.
  @depth 16

  @doc "Whether the holder of the store waits, directly or through others, for this process."
  @spec certain?(reference()) :: boolean()
  def certain?(store) do
    case Native.store_driver(store) do
      driver when is_pid(driver) and driver != self() -> waits_for?(driver, self(), @depth)
      _ -> false
    end
  end

  defp waits_for?(_pid, _target, 0), do: false

  defp waits_for?(pid, target, depth) do
    case awaited(pid) do
      [] -> false
      pids -> target in pids or Enum.any?(pids, &waits_for?(&1, target, depth - 1))
    end
  end

  # The processes that a blocked process has an answer to get from.
  defp awaited(pid) do
    with [status: :waiting, current_stacktrace: stack, monitors: monitors] <-
           Process.info(pid, [:status, :current_stacktrace, :monitors]),
         true <- Enum.any?(stack, &awaits?/1) do
      for {:process, monitored} when is_pid(monitored) <- monitors, do: monitored
    else
      _ -> []
    end
  end

  defp awaits?({Task, function, _arity, _location}),
    do: function in [:await, :await_receive, :await_many, :yield, :yield_many]

  defp awaits?({:gen, :do_call, _arity, _location}), do: true
  defp awaits?(_frame), do: false
end
