# HTTP functions; started by bench/http.
Code.require_file("support.exs", __DIR__)

defmodule Bench.HTTP do
  alias Wasmex.HTTP
  alias Wasmex.HTTP.{Request, Server}

  @functions [{"watenv", "watenv.wat"}, {"rustenv", "rustenv.wasm"}, {"goenv", "goenv.wasm"}]

  def run(quick?) do
    Logger.configure(level: :none)
    pure(quick?)
    component(quick?)

    if System.find_executable("wrk") do
      served(quick?)
      beside_go(quick?)
    else
      IO.puts("no wrk here: no load test")
    end
  end

  # Without a socket, compared with the guest's own run with the same imports on the same engine.
  defp pure(quick?) do
    IO.puts(
      "\n| call without a socket | Wasmex.HTTP.call | the guest's own run | ratio |\n| --- | --: | --: | --: |"
    )

    for {name, file} <- @functions do
      {:ok, function} = HTTP.load("examples/faas/#{file}")
      request = Request.new("GET", "/#{name}?foo=bar&id=1234", [{"Host", "localhost"}])
      n = if name == "goenv", do: 200, else: 2000
      n = if quick?, do: div(n, 10), else: n
      own = Bench.per_op(n, &own(function, request, &1))
      call = Bench.per_op(n, &calls(function, request, &1))

      IO.puts(
        "| #{name} | #{round1(call)} µs | #{round1(own)} µs | #{Float.round(call / own, 2)}x |"
      )
    end
  end

  # A component's handler, in a new instance and in a reused one.
  defp component(quick?) do
    IO.puts("\n| a component's handler | µs |\n| --- | --: |")

    for {name, reuse} <- [{"a fresh instance", 0}, {"used again", 1}] do
      {:ok, function} = HTTP.load("test/guests/component_http/component_http.wasm", reuse: reuse)
      request = Request.new("GET", "/hello", [{"Host", "localhost"}])
      n = if quick?, do: 200, else: 2000
      IO.puts("| #{name} | #{round1(Bench.per_op(n, &calls(function, request, &1)))} |")
    end
  end

  defp calls(_function, _request, 0), do: :ok

  defp calls(function, request, n) do
    %{status: 200} = HTTP.call(function, request)
    calls(function, request, n - 1)
  end

  # The minimum work: a store, an instance, `_start`, with output to a pipe.
  defp own(_function, _request, 0), do: :ok

  defp own(function, request, n) do
    {args, env} = Wasmex.HTTP.Convention.module(function.convention).input(request)
    {:ok, stdout} = Wasmex.Pipe.new()
    wasi = %Wasmex.Wasi.WasiOptions{args: [function.name | args], env: env, stdout: stdout}

    engine = %Wasmex.Engine{
      resource: Wasmex.Native.module_engine(function.source.module.resource)
    }

    {:ok, store} = Wasmex.Store.new_wasi(wasi, nil, engine)
    {:ok, instance} = Wasmex.Template.instantiate(function.source.template, store)
    Wasmex.Instance.call(instance, "_start", [])
    Wasmex.Store.close(store)
    own(function, request, n - 1)
  end

  defp served(quick?) do
    dir = Path.join(System.tmp_dir!(), "wasmex-bench-#{System.pid()}")
    File.cp_r!("examples/faas", dir)

    File.write!(
      Path.join(dir, "spin.wat"),
      ~s|(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))|
    )

    {:ok, server} = Server.start_link(dir: dir, port: 0, functions: %{"spin" => [timeout: 1_000]})
    url = "http://127.0.0.1:#{Server.port(server)}"
    seconds = if quick?, do: 1, else: 8
    IO.puts("\n| server, 4 connections | requests/s | p50 | p99 |\n| --- | --: | --: | --: |")

    for {name, _} <- @functions, do: row(name, wrk("#{url}/#{name}?foo=bar&id=1234", 4, seconds))

    # Other clients call a function that spins until its timeout.
    alone = wrk("#{url}/rustenv?foo=bar", 4, seconds)
    others = Task.async(fn -> wrk("#{url}/spin", 4, seconds + 2) end)
    Process.sleep(500)
    beside = wrk("#{url}/rustenv?foo=bar", 4, seconds)
    Task.await(others, :infinity)
    row("rustenv alone", alone)
    row("rustenv beside 4 clients of a spinning function", beside)
    Server.stop(server)
    File.rm_rf!(dir)
  end

  # ---- a Go server with wazero ----

  # Both serve the same files, compiled once, in turns on the same cores; the medians count. With logs, both write the
  # guests' lines and a line for each request to a file.
  defp beside_go(quick?) do
    go = System.get_env("WAZERO_HOST", "")

    if File.exists?(go) do
      IO.puts("\n| server, 4 connections | Wasmex | Go with wazero | ratio |")
      IO.puts("| --- | --: | --: | --: |")

      for {name, file} <- @functions,
          log? <- [false, true],
          do: beside(go, name, file, log?, quick?)
    else
      IO.puts("no server in Go here: bench/peers builds it")
    end
  end

  defp beside(go, name, file, log?, quick?) do
    path = Path.join(System.tmp_dir!(), "wasmex-bench-#{System.pid()}.log")
    {seconds, rounds} = if quick?, do: {1, 1}, else: {5, 5}
    {ours, stop_ours} = ours(log?, path)
    {theirs, stop_theirs} = theirs(go, name, file, log?, path)

    [ours, theirs] =
      for _ <- 1..rounds, port <- [ours, theirs] do
        url = "http://127.0.0.1:#{port}/#{name}?foo=bar&id=1234"
        [rate, _p50, _p99] = wrk(url, 4, seconds)
        {port, rate |> Float.parse() |> elem(0)}
      end
      |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
      |> then(&for port <- [ours, theirs], do: Bench.median(&1[port]))

    stop_ours.()
    stop_theirs.()
    File.rm(path)
    what = if log?, do: "#{name}, with logs", else: name

    IO.puts(
      "| #{what} | #{round(ours)} requests/s | #{round(theirs)} | #{Float.round(ours / theirs, 2)}x |"
    )
  end

  defp ours(log?, path) do
    if log?, do: log_to(path)
    {:ok, server} = Server.start_link(dir: "examples/faas", port: 0, log: log?)

    {Server.port(server),
     fn ->
       Server.stop(server)
       :logger.set_primary_config(:level, :none)
       :logger.remove_handler(:bench)
     end}
  end

  # In place of Elixir's own handler, which prints.
  defp log_to(path) do
    for handler <- [:default, Logger], do: :logger.remove_handler(handler)
    config = %{file: to_charlist(path)}
    :ok = :logger.add_handler(:bench, :logger_std_h, %{config: config})
    :logger.set_primary_config(:level, :info)
  end

  defp theirs(go, name, file, log?, path) do
    wasm = "#{path}.wasm"
    {:ok, bytes} = Wasmex.Wat.to_wasm(File.read!("examples/faas/#{file}"))
    File.write!(wasm, bytes)
    command = ~s(exec "$0" serve "$1" 2>>"$2")

    port =
      Port.open({:spawn_executable, "/bin/sh"}, [
        :binary,
        args: ["-c", command, go, "#{name}=#{wasm}", path],
        env: if(log?, do: [{~c"LOG", ~c"1"}], else: [])
      ])

    {:os_pid, pid} = Port.info(port, :os_pid)
    number = receive do: ({^port, {:data, line}} -> String.trim(line))

    {number,
     fn ->
       # Before the kill, which closes it.
       Port.close(port)
       System.cmd("/bin/kill", ["#{pid}"])
       File.rm(wasm)
     end}
  end

  defp row(name, [rate, p50, p99]), do: IO.puts("| #{name} | #{rate} | #{p50} | #{p99} |")

  defp wrk(url, connections, seconds) do
    {out, 0} = System.cmd("wrk", ["-t1", "-c#{connections}", "-d#{seconds}s", "--latency", url])
    find = fn regex -> with [_, found] <- Regex.run(regex, out), do: found, else: (_ -> "?") end
    [find.(~r/Requests\/sec:\s+([\d.]+)/), find.(~r/^ +50% +(\S+)/m), find.(~r/^ +99% +(\S+)/m)]
  end

  defp round1(us), do: Float.round(us / 1, 1)
end

Bench.HTTP.run("--quick" in System.argv())
