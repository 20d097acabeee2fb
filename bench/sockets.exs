# Sockets of preview 1 guests; started by bench/sockets.
Code.require_file("support.exs", __DIR__)

defmodule Bench.Sockets do
  @small "test/guests/sockets/c_script/script_v2.wasm"
  @ip {127, 0, 0, 1}

  def run(quick?) do
    Logger.configure(level: :none)
    wrk? = System.find_executable("wrk") != nil
    if wrk?, do: load(quick?), else: IO.puts("no wrk here: no load test")
    idle(if quick?, do: 500, else: 10_000)
    many(if quick?, do: 50, else: 1_000)
    if wrk?, do: others(if quick?, do: 1, else: 8)
  end

  # ---- requests per second ----

  # Alternately, so that disturbances affect all of them; the best round counts.
  defp load(quick?) do
    {seconds, rounds} = if quick?, do: {1, 1}, else: {5, 3}
    servers = [{"wasmex", &guest/0}, {"native Go", &native/0}, {"wasirun", &wasirun/0}]

    IO.puts(
      "\n| server | connections | requests/s | p50 | p99 | beside wasmex |\n| --- | --: | --: | --: | --: | --: |"
    )

    for connections <- [1, 16, 256] do
      results =
        for _ <- 1..rounds,
            {name, start} <- servers,
            do: {name, measure(start, connections, seconds)}

      best = for {name, _} <- servers, do: {name, best(results, name)}
      [{_, {ours, _, _}} | _] = best
      for {name, result} <- best, result, do: row(name, connections, result, ours)
    end
  end

  defp best(results, name) do
    results
    |> Enum.filter(fn {other, result} -> other == name and result != nil end)
    |> Enum.map(&elem(&1, 1))
    |> Enum.max_by(&elem(&1, 0), fn -> nil end)
  end

  defp row(name, connections, {rate, p50, p99}, ours) do
    IO.puts(
      "| #{name} | #{connections} | #{round(rate)} | #{p50} | #{p99} | #{Float.round(rate / ours, 2)} |"
    )
  end

  defp measure(start, connections, seconds) do
    case start.() do
      nil ->
        nil

      {port, stop} ->
        result = wrk(port, connections, seconds)
        stop.()
        result
    end
  end

  defp guest(opts \\ []) do
    {:ok, pid} =
      Wasmex.Program.start_link(
        [program: server(), args: ["serve", "tcp", "127.0.0.1:0"], bind: ["127.0.0.1:0-65535"]] ++
          opts
      )

    {listening(pid), fn -> Wasmex.Program.stop(pid) end}
  end

  # Unpacked by bench/sockets.
  defp server, do: System.fetch_env!("GUEST")

  defp listening(pid, got \\ "") do
    case Regex.run(~r/listening on \S+:(\d+)\n/, got) do
      [_, port] -> String.to_integer(port)
      nil -> receive do: ({^pid, {:data, bytes}} -> listening(pid, got <> bytes))
    end
  end

  defp native, do: with(path when path != nil <- System.get_env("NATIVE"), do: process(path, []))

  defp wasirun do
    with path when path != nil <- System.get_env("WASIRUN"),
         do: process(path, ["--dir", "/", server()])
  end

  # A native program that listens on a given port, and ends with its process.
  defp process(path, args) do
    {:ok, socket} = :gen_tcp.listen(0, ip: @ip)
    {:ok, number} = :inet.port(socket)
    :gen_tcp.close(socket)
    args = args ++ ["serve", "tcp", "127.0.0.1:#{number}"]
    port = Port.open({:spawn_executable, path}, [:binary, :stderr_to_stdout, args: args])
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    :gen_tcp.close(connect(number))

    {number,
     fn ->
       Port.close(port)
       System.cmd("kill", ["#{os_pid}"])
     end}
  end

  defp connect(port, tries \\ 2_000) do
    case :gen_tcp.connect(@ip, port, [:binary, active: false]) do
      {:ok, socket} -> socket
      {:error, _} when tries > 0 -> Process.sleep(5) && connect(port, tries - 1)
    end
  end

  defp wrk(port, connections, seconds) do
    url = "http://127.0.0.1:#{port}/hello"
    {out, 0} = System.cmd("wrk", ["-t1", "-c#{connections}", "-d#{seconds}s", "--latency", url])
    find = fn regex -> with [_, found] <- Regex.run(regex, out), do: found, else: (_ -> "?") end
    {rate, _} = Float.parse(find.(~r/Requests\/sec:\s+([\d.]+)/))
    {rate, find.(~r/^ +50% +(\S+)/m), find.(~r/^ +99% +(\S+)/m)}
  end

  # ---- connections that do nothing ----

  # The clients are a separate OS process: each has its own limit of descriptors.
  @clients """
  [port, count] = Enum.map(System.argv(), &String.to_integer/1)
  for _ <- 1..count, do: {:ok, _} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
  IO.puts("connected")
  IO.read(:line)
  """

  defp idle(count) do
    {port, stop} = guest(max_sockets: count + 100)
    get(port)
    before = Bench.rss()
    alone = Bench.per_op(200, &gets(port, &1))
    elixir = System.find_executable("elixir")
    started = System.monotonic_time(:millisecond)

    clients =
      Port.open({:spawn_executable, elixir}, [
        :binary,
        args: ["-e", @clients, "--", "#{port}", "#{count}"]
      ])

    receive do: ({^clients, {:data, _}} -> :ok)
    get(port)
    elapsed = System.monotonic_time(:millisecond) - started
    beside = Bench.per_op(200, &gets(port, &1))

    IO.puts("\n| #{count} idle connections to one guest | |\n| --- | --: |")
    IO.puts("| connected, the client's start included | #{elapsed} ms |")

    IO.puts(
      "| resident memory, each (guest and host) | #{Float.round((Bench.rss() - before) / count, 1)} KiB |"
    )

    IO.puts("| threads of the VM | #{Bench.threads()} |")
    IO.puts("| a request with a connection of its own, before | #{round(alone)} µs |")
    IO.puts("| the same beside them | #{round(beside)} µs |")
    Port.command(clients, "\n")
    stop.()
  end

  defp gets(_port, 0), do: :ok
  defp gets(port, n), do: get(port) && gets(port, n - 1)

  defp get(port) do
    socket = connect(port)
    :ok = :gen_tcp.send(socket, "GET /hello HTTP/1.0\r\n\r\n")
    {:ok, _} = :gen_tcp.recv(socket, 0, 60_000)
    :gen_tcp.close(socket)
  end

  # ---- many guests ----

  defp many(count) do
    listeners = for _ <- 1..count, do: elem(Wasmex.Socket.listen("tcp://127.0.0.1:0"), 1)
    lines = ["poll - 3:r", "accept a 3", "recv a 100", "send a hello", "close a"]
    {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), File.read!(@small))
    before = Bench.rss()

    {spawned, guests} =
      :timer.tc(fn ->
        for listener <- listeners do
          {:ok, pid} = Wasmex.Program.start_link(program: module, args: lines, listen: [listener])
          pid
        end
      end)

    settle(guests)
    grown = Bench.rss() - before

    {answered, _} =
      :timer.tc(fn ->
        for listener <- listeners do
          socket = connect(Wasmex.Socket.port(listener))
          :ok = :gen_tcp.send(socket, "hi")
          {:ok, "hello"} = :gen_tcp.recv(socket, 5, 60_000)
          :gen_tcp.close(socket)
        end

        for pid <- guests, do: receive(do: ({^pid, {:exit_status, 0}} -> :ok))
      end)

    IO.puts("\n| #{count} guests with a listener each | |\n| --- | --: |")
    IO.puts("| started, each | #{round(spawned / count)} µs |")
    IO.puts("| resident memory, each | #{round(grown / count)} KiB |")
    IO.puts("| threads of the VM | #{Bench.threads()} |")
    IO.puts("| connected to, answered and ended, each | #{round(answered / count)} µs |")
  end

  # All of them wait for a connection.
  defp settle(guests), do: for(pid <- guests, do: :sys.get_state(pid)) && Process.sleep(200)

  # ---- others ----

  defp others(seconds) do
    {port, stop} = guest()
    count = seconds * 500
    idle = timers(count)
    hammer = Task.async(fn -> wrk(port, 256, seconds + 1) end)
    Process.sleep(300)
    busy = timers(count)
    {rate, _, _} = Task.await(hammer, :infinity)
    stop.()
    p = fn list, p -> Float.round(Bench.percentile(list, p) / 1000, 2) end

    IO.puts("\n| a 1 ms timer of another process | p50 | p99 |\n| --- | --: | --: |")
    IO.puts("| alone | #{p.(idle, 50)} ms | #{p.(idle, 99)} ms |")

    IO.puts(
      "| beside a server with 256 connections, #{round(rate)} requests/s | #{p.(busy, 50)} ms | #{p.(busy, 99)} ms |"
    )
  end

  # Microseconds from setting a 1 ms timer until its message arrives.
  defp timers(count) do
    for _ <- 1..count do
      started = System.monotonic_time(:microsecond)
      Process.send_after(self(), :tick, 1)
      receive(do: (:tick -> :ok))
      System.monotonic_time(:microsecond) - started
    end
  end
end

Bench.Sockets.run("--quick" in System.argv())
