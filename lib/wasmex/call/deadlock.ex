defmodule Wasmex.Call.Deadlock do
  @moduledoc false
  # Detects that a wait for a store can never end, because the process that holds the store waits for the waiting one. An
  # example is an imported function that awaits a task which calls into the same store.
  #
  # The NIF detects cycles between stores. This module follows processes: `Task.await/2` and `GenServer.call/3` monitor
  # the process that they wait for. Which of a process's monitors that is cannot be determined, so the wait is only certain never
  # to end if all monitored processes wait for this one. Waits that end by themselves, such as `Task.yield/2`, do not count;
  # nor do those with a timeout, after which a process may go on. It is in the stack. Only the default of five seconds, which
  # nobody chose, and which usually ends the process, counts as endless once the wait has become very long.
  # It is only used once a wait has become long.

  alias Wasmex.Native

  # The maximum length of a chain of waiting processes.
  @depth 16

  # The default timeout of `GenServer.call/3` and `Task.await/2`, and the ms after which a wait with it counts as endless.
  @default "5000"
  @long 3_000

  @doc """
  Whether the holder of the store waits, directly or through others, for this process, and would for ever. This process has
  waited so many milliseconds.
  """
  @spec certain?(reference(), non_neg_integer()) :: boolean()
  def certain?(store, waited) do
    case Native.store_driver(store) do
      driver when is_pid(driver) and driver != self() ->
        waits_for?(driver, self(), waited >= @long, @depth)

      _ ->
        false
    end
  end

  defp waits_for?(_pid, _target, _long?, 0), do: false

  defp waits_for?(pid, target, long?, depth) do
    case awaited(pid, long?) do
      [] -> false
      pids -> Enum.all?(pids, &(&1 == target or waits_for?(&1, target, long?, depth - 1)))
    end
  end

  # The processes of which a blocked process waits for one.
  defp awaited(pid, long?) do
    with [status: :waiting, current_stacktrace: stack, monitors: monitors] <-
           Process.info(pid, [:status, :current_stacktrace, :monitors]),
         true <- Enum.any?(stack, &awaits?/1),
         true <- endless?(pid, long?) do
      for {:process, monitored} when is_pid(monitored) <- monitors, do: monitored
    else
      _ -> []
    end
  end

  # The timeout of a blocked process is among the values in its innermost frame, that of `GenServer.call/3` in the next.
  # Other values may be numbers, or `:infinity`, too: then it is not certain.
  defp endless?(pid, long?) do
    case Process.info(pid, :backtrace) do
      {:backtrace, text} -> text |> values() |> endless_among?(long?)
      nil -> false
    end
  end

  defp endless_among?(values, long?) do
    numbers = Enum.filter(values, &(&1 =~ ~r/^\d+$/))

    case {"infinity" in values, Enum.uniq(numbers)} do
      {true, []} -> true
      {false, [@default]} -> long?
      _ -> false
    end
  end

  defp values(backtrace) do
    [innermost | outer] = String.split(backtrace, "Return addr", parts: 3)

    frames =
      if innermost =~ "(gen:do_call/", do: [innermost | Enum.take(outer, 1)], else: [innermost]

    for frame <- frames, [_, value] <- Regex.scan(~r/^y\(\d+\) +(\S+)$/m, frame), do: value
  end

  defp awaits?({Task, function, _arity, _location}),
    do: function in [:await, :await_receive, :await_many]

  defp awaits?({:gen, :do_call, _arity, _location}), do: true
  defp awaits?(_frame), do: false
end
