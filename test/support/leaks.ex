defmodule Wasmex.Leaks do
  @moduledoc "What tests that nothing else runs beside count in the whole VM."

  import ExUnit.Assertions

  @doc "So many, `WASMEX_STRESS` times as many where that is set."
  def times(n), do: n * String.to_integer(System.get_env("WASMEX_STRESS", "1"))

  @doc "Runs it in a process of its own, so that its handles are garbage at the end; why the process ended."
  def isolated(function) do
    {pid, monitor} = spawn_monitor(function)
    receive do: ({:DOWN, ^monitor, :process, ^pid, reason} -> reason)
  end

  @doc "Waits until no more native objects are alive than `before`, which `Wasmex.live_objects/0` said then."
  def assert_none(before, tries \\ 300) do
    collect_garbage()
    now = Wasmex.live_objects()

    cond do
      Enum.all?(now, fn {kind, count} -> count <= before[kind] end) -> :ok
      tries == 0 -> flunk("leaked: #{inspect(before)} before, #{inspect(now)} after")
      true -> Process.sleep(20) && assert_none(before, tries - 1)
    end
  end

  @doc "Objects, descriptors, processes and ports, once nothing is running."
  def alive do
    for _ <- 1..20, do: collect_garbage() && Process.sleep(10)
    objects = Keyword.take(Wasmex.live_objects(), [:store, :instance, :execution, :pipe, :memory])
    {objects, length(File.ls!("/proc/self/fd")), length(Process.list()), length(Port.list())}
  end

  defp collect_garbage, do: Enum.each(Process.list(), &:erlang.garbage_collect/1)
end
