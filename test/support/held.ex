defmodule Wasmex.Held do
  @moduledoc false
  # Whether a function holds a scheduler.

  import ExUnit.Assertions

  # Other programs have the cores, too: what is held is compared with a process of plain Elixir at the same time. In ms.
  @most 10
  @times 3
  @tries 6

  @doc "The result, and the longest time in ms that this and a process of plain Elixir held a scheduler."
  @spec held((() -> result)) :: {result, non_neg_integer(), non_neg_integer()} when result: term()
  def held(fun) do
    {result, worker, longest} = watched(fun)
    {result, Map.get(longest, worker, 0), Map.get(longest, :plain, 0)}
  end

  @doc """
  How often, of so many times, a scheduler was held by any process while this ran. For what happens now and then, such as
  a call that ends in a certain state: then it must be rare that another program causes it.
  """
  @spec times_held(pos_integer(), (pos_integer() -> term())) :: non_neg_integer()
  def times_held(times, fun) do
    Enum.count(1..times, fn time ->
      {_result, _worker, longest} = watched(fn -> fun.(time) end)
      {plain, longest} = Map.pop(longest, :plain, 0)
      Enum.any?(longest, fn {_pid, ms} -> long?(ms, plain) end)
    end)
  end

  # The longest time in ms of each process, and of the one of plain Elixir.
  defp watched(fun) do
    me = self()
    {watch, ref} = spawn_monitor(fn -> watch(%{}) end)
    :erlang.system_monitor(watch, [{:long_schedule, 1}])
    plain = spawn_link(fn -> plain(0) end)
    worker = Task.async(fun)
    result = Task.await(worker, :infinity)
    Process.unlink(plain)
    Process.exit(plain, :kill)
    :erlang.system_monitor(:undefined)
    send(watch, {:tell, me})
    longest = receive do: ({:longest, longest} -> longest)
    Process.demonitor(ref, [:flush])
    {plain, longest} = Map.pop(longest, plain, 0)
    {result, worker.pid, Map.put(longest, :plain, plain)}
  end

  defp watch(longest) do
    receive do
      {:monitor, pid, :long_schedule, info} when is_pid(pid) ->
        watch(Map.update(longest, pid, info[:timeout], &max(&1, info[:timeout])))

      {:tell, pid} ->
        send(pid, {:longest, longest})

      _port ->
        watch(longest)
    end
  end

  defp plain(n), do: plain(rem(n * 7 + 1, 1_000_003))

  defp long?(ours, plain), do: ours > @times * plain + @most

  @doc "Fails if the function holds a scheduler for longer than plain Elixir: each time, not now and then."
  @spec assert_not_held((() -> result), non_neg_integer(), list()) :: result when result: term()
  def assert_not_held(fun, tries \\ @tries, seen \\ [])

  def assert_not_held(_fun, 0, seen),
    do: flunk("a scheduler was held each time, {ours, plain Elixir} in ms: #{inspect(seen)}")

  def assert_not_held(fun, tries, seen) do
    {result, ours, plain} = held(fun)

    if long?(ours, plain),
      do: assert_not_held(fun, tries - 1, [{ours, plain} | seen]),
      else: result
  end
end
