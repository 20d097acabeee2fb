defmodule Wasmex.Call.Deadlock do
  @moduledoc false
  # Detects that a wait for a store can never end, because the process that holds the store waits for the waiting one. An
  # example is an imported function that awaits a task which calls into the same store.
  #
  # The NIF detects cycles between stores. This module follows processes: `Task.await/2` and `GenServer.call/3` monitor
  # the process that they wait for. Which of a process's monitors that is cannot be determined, so the wait is only certain never
  # to end if all monitored processes wait for this one. Waits that end by themselves, such as `Task.yield/2`, do not count.
  # It is only used once a wait has become long.

  alias Wasmex.Native

  # The maximum length of a chain of waiting processes.
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
      pids -> Enum.all?(pids, &(&1 == target or waits_for?(&1, target, depth - 1)))
    end
  end

  # The processes of which a blocked process waits for one.
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
    do: function in [:await, :await_receive, :await_many]

  defp awaits?({:gen, :do_call, _arity, _location}), do: true
  defp awaits?(_frame), do: false
end
