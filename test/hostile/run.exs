# Feeds the library hostile bytes in a VM of its own, and watches that from outside: whether it lives, its memory, how
# long an input takes and how long schedulers are held. See script/hostile.
defmodule Wasmex.Hostile.Run do
  @moduledoc false

  alias Wasmex.Hostile.Generator

  # Of one VM, in KiB; and of one input, in ms.
  @memory 2 * 1024 * 1024
  @time 60_000

  defstruct [
    :ebin,
    :until,
    :seed,
    kinds: [],
    count: 0,
    failures: [],
    memory: 0,
    held: nil,
    again: 0,
    slowest: {0, nil},
    slow: %{}
  ]

  def run(seconds, seed, kinds) do
    until = System.monotonic_time(:millisecond) + seconds * 1000
    ebin = :wasmex |> :code.lib_dir() |> to_string() |> Path.join("ebin")
    state = %__MODULE__{ebin: ebin, until: until, seed: seed, kinds: kinds}
    state |> loop(nil) |> report(seconds)
  end

  def replay(kind, seed) do
    ebin = :wasmex |> :code.lib_dir() |> to_string() |> Path.join("ebin")
    state = %__MODULE__{ebin: ebin, until: 0, seed: seed}
    {state, port} = feed(state, start(state), {kind, seed})
    port && Port.close(port)
    report(state, 0)
  end

  defp loop(state, port) do
    if System.monotonic_time(:millisecond) > state.until do
      port && Port.close(port)
      state
    else
      kind = Enum.at(state.kinds, rem(state.count, length(state.kinds)))
      {state, port} = feed(state, port || start(state), {kind, state.seed + state.count})
      loop(state, port)
    end
  end

  defp start(state) do
    sources =
      for name <-
            ~w(texts values functions composed sources running interfaces lifting doors generator feed),
          part <- ["-r", "test/hostile/#{name}.ex"],
          do: part

    files = ["-pa", state.ebin] ++ sources ++ ["test/hostile/child.exs"]

    Port.open({:spawn_executable, System.find_executable("elixir")}, [
      :binary,
      :exit_status,
      line: 10_000,
      args: files
    ])
  end

  defp feed(state, port, {kind, seed} = input) do
    Port.command(port, "#{kind} #{seed}\n")
    {:os_pid, pid} = Port.info(port, :os_pid)
    started = System.monotonic_time(:millisecond)
    wait(%{state | count: state.count + 1}, port, pid, input, started)
  end

  defp wait(state, port, pid, {kind, seed} = input, started) do
    receive do
      {^port, {:data, {_, "end " <> rest}}} ->
        [_kind, _seed, ms] = String.split(rest)
        state |> ended(pid, input, String.to_integer(ms)) |> again(port, input)

      {^port, {:data, {_, "long " <> info}}} ->
        wait(%{state | held: info}, port, pid, input, started)

      {^port, {:data, {_, "raised " <> reason}}} ->
        wait(fail(state, input, "raised #{reason}"), port, pid, input, started)

      {^port, {:data, _}} ->
        wait(state, port, pid, input, started)

      {^port, {:exit_status, status}} ->
        {fail(state, input, "the VM ended with status #{status}"), nil}
    after
      50 ->
        memory = memory(pid)
        state = %{state | memory: max(state.memory, memory)}

        cond do
          memory > @memory ->
            kill(port, pid)
            {fail(state, input, "took #{div(memory, 1024)} MiB"), nil}

          System.monotonic_time(:millisecond) - started > @time ->
            kill(port, pid)
            {fail(state, input, "took longer than #{div(@time, 1000)} s"), nil}

          true ->
            wait(state, port, pid, {kind, seed}, started)
        end
    end
  end

  # A scheduler is held now and then where other programs have the cores, or where a VM collects what thousands of inputs
  # have left: only what holds one each time, also in a new VM, is a failure.
  @again 3
  @again_in_a_new_vm 6

  defp again(%{held: nil, again: again} = state, port, {kind, seed}) do
    if again > @again, do: IO.puts("held a scheduler, but not in a new VM: #{kind} #{seed}")
    {%{state | again: 0}, port}
  end

  defp again(%{again: @again_in_a_new_vm} = state, port, input),
    do: {fail(%{state | held: nil, again: 0}, input, "a scheduler was held: #{state.held}"), port}

  defp again(%{again: again} = state, port, input) do
    state = %{state | held: nil, again: again + 1, count: state.count - 1}
    feed(state, if(again == @again, do: restart(state, port), else: port), input)
  end

  defp restart(state, port) do
    Port.close(port)
    start(state)
  end

  defp ended(state, pid, {kind, _} = input, ms) do
    slowest = if ms > elem(state.slowest, 0), do: {ms, input}, else: state.slowest
    slow = Map.update(state.slow, kind, ms, &max(&1, ms))
    %{state | slowest: slowest, slow: slow, memory: max(state.memory, memory(pid))}
  end

  defp kill(port, pid) do
    System.cmd("kill", ["-9", Integer.to_string(pid)])
    Port.close(port)
  end

  defp fail(state, {kind, seed}, what) do
    IO.puts("FAILED #{kind} #{seed}: #{what}")
    %{state | failures: [{kind, seed} | state.failures]}
  end

  defp memory(pid) do
    with {:ok, status} <- File.read("/proc/#{pid}/status"),
         [_, kib] <- Regex.run(~r/VmHWM:\s+(\d+) kB/, status),
         do: String.to_integer(kib),
         else: (_ -> 0)
  end

  defp report(state, seconds) do
    {ms, input} = state.slowest
    rate = if seconds > 0, do: ", #{div(state.count * 60, seconds)} a minute"

    IO.puts(
      "#{state.count} inputs#{rate}; at most #{div(state.memory, 1024)} MiB; slowest #{ms} ms: #{inspect(input)}"
    )

    IO.puts("slowest of each kind in ms: #{inspect(state.slow, limit: :infinity, width: 120)}")

    if state.failures != [] do
      IO.puts("#{length(state.failures)} failed; script/hostile KIND SEED runs one again")
      System.halt(1)
    end
  end

  def main([seconds]), do: main([seconds, Integer.to_string(:rand.uniform(1_000_000_000))])

  def main([first, seed | kinds]) do
    seed = String.to_integer(seed)

    kinds =
      if kinds == [], do: Generator.kinds(), else: Enum.map(kinds, &String.to_existing_atom/1)

    case Integer.parse(first) do
      {seconds, ""} ->
        IO.puts("#{seconds} s from seed #{seed}")
        run(seconds, seed, kinds)

      :error ->
        replay(String.to_existing_atom(first), seed)
    end
  end
end

Wasmex.Hostile.Run.main(System.argv())
