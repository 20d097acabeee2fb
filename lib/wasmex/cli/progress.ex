defmodule Wasmex.CLI.Progress do
  @moduledoc false
  # Shows a line on the terminal during operations longer than a second. Prints nothing without a terminal.

  @patience 1_000
  @every 200

  @doc "Runs the function in this process and returns its result."
  @spec run(String.t(), (() -> result)) :: result when result: term()
  def run(label, function) do
    watcher = if terminal?(), do: spawn(fn -> wait(label) end)
    Process.put(__MODULE__, true)

    try do
      function.()
    after
      Process.delete(__MODULE__)
      if watcher, do: stop(watcher)
    end
  end

  @doc "Whether this process is in a function that `run/2` runs."
  @spec shown?() :: boolean()
  def shown?, do: Process.get(__MODULE__, false)

  # Standard output belongs to the task. `:io.columns` returns an error if the device is not a terminal.
  defp terminal?, do: match?({:ok, _}, :io.columns(:standard_error))

  defp wait(label) do
    receive do
      {:stop, from} -> send(from, {:stopped, self()})
    after
      @patience -> show(label, System.monotonic_time(:millisecond) - @patience)
    end
  end

  defp show(label, start) do
    seconds = Float.round((System.monotonic_time(:millisecond) - start) / 1_000, 1)
    IO.write(:stderr, "\r#{label} … #{seconds} s")

    receive do
      {:stop, from} ->
        IO.write(:stderr, "\r\e[K")
        send(from, {:stopped, self()})
    after
      @every -> show(label, start)
    end
  end

  defp stop(watcher) do
    ref = Process.monitor(watcher)
    send(watcher, {:stop, self()})

    receive do
      {:stopped, ^watcher} -> Process.demonitor(ref, [:flush])
      {:DOWN, ^ref, :process, _, _} -> :ok
    end
  end
end
