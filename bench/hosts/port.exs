# A native program behind a port, for bench/peers: NATIVE is the port's program, NATIVE_PROGRAM the one for System.cmd.
Code.require_file("measure.exs", __DIR__)

defmodule Bench.Hosts.Port do
  import Bench.Hosts.Measure

  def run do
    put("version", System.fetch_env!("NATIVE_VERSION"))
    put("memory", memory())
    port = open()
    put("add", measure(fn -> add(port) end))
    put("import", measure(fn -> imports(port, 100) end) / 100)

    for {work, size} <- sizes() do
      text = String.duplicate("abcdefgh", div(size, 8))
      put(work, measure(fn -> ^text = request(port, [?e, text]) end))
    end

    put("instance", measure(fn -> start() |> Port.close() end))
    put("program", program())
    put("compute", once(fn -> request(port, <<?c, rounds()::little-32>>) end))
  end

  defp open, do: Port.open({:spawn_executable, System.fetch_env!("NATIVE")}, [:binary, packet: 4])

  defp start do
    port = open()
    add(port)
    port
  end

  defp add(port), do: <<42::little-32>> = request(port, <<?a, 40::little-32, 2::little-32>>)

  defp request(port, data) do
    Port.command(port, data)
    receive do: ({^port, {:data, answer}} -> answer)
  end

  # The program asks `n` times, and then says that it is done.
  defp imports(port, n) do
    Port.command(port, <<?i, n::little-32>>)
    answer(port)
  end

  defp answer(port) do
    receive do
      {^port, {:data, <<?q, n::little-32>>}} ->
        Port.command(port, <<n::little-32>>)
        answer(port)

      {^port, {:data, "."}} ->
        :ok
    end
  end

  # The memory that only this process uses, and its share of what several use.
  defp memory do
    count = if quick?(), do: 100, else: instances()
    ports = for _ <- 1..count, do: start()

    kib =
      for port <- ports do
        {:os_pid, pid} = Port.info(port, :os_pid)
        kib("/proc/#{pid}/smaps_rollup", "Pss")
      end

    Enum.each(ports, &Port.close/1)
    Enum.sum(kib) / count
  end

  # Neither a port nor System.cmd/3 can close standard input, so the text comes from a file through a shell.
  defp program do
    path = Path.join(System.tmp_dir!(), "wasmex-peers-#{System.pid()}")
    text = input()
    expected = String.upcase(text)
    File.write!(path, text)
    command = [~s(exec "$0" upcase <"$1"), System.fetch_env!("NATIVE_PROGRAM"), path]
    us = measure(fn -> {^expected, 0} = System.cmd("/bin/sh", ["-c" | command]) end)
    File.rm(path)
    us
  end
end

Bench.Hosts.Port.run()
