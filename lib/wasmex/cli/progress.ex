defmodule Wasmex.CLI.Progress do
  @moduledoc false
  # A line on the terminal while something takes longer than a second; none where nobody looks.

  @patience 1_000
  @every 200

  @doc "Runs the function here, and returns what it does."
  @spec run(String.t(), (() -> result)) :: result when result: term()
  def run(what, function) do
    watcher = if terminal?(), do: spawn(fn -> wait(what) end)

    try do
      function.()
    after
      if watcher, do: stop(watcher)
    end
  end

  # Of the two streams only this one may be written to; `:io.columns` knows whether it is a terminal.
  defp terminal?, do: match?({:ok, _}, :io.columns(:standard_error))

  defp wait(what) do
    receive do
      {:stop, from} -> send(from, {:stopped, self()})
    after
      @patience -> show(what, System.monotonic_time(:millisecond) - @patience)
    end
  end

  defp show(what, start) do
    seconds = Float.round((System.monotonic_time(:millisecond) - start) / 1_000, 1)
    IO.write(:stderr, "\r#{what} … #{seconds} s")

    receive do
      {:stop, from} ->
        IO.write(:stderr, "\r\e[K")
        send(from, {:stopped, self()})
    after
      @every -> show(what, start)
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
