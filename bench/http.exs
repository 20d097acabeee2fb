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

    if System.find_executable("wrk"),
      do: served(quick?),
      else: IO.puts("no wrk here: no load test")
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

  defp row(name, [rate, p50, p99]), do: IO.puts("| #{name} | #{rate} | #{p50} | #{p99} |")

  defp wrk(url, connections, seconds) do
    {out, 0} = System.cmd("wrk", ["-t1", "-c#{connections}", "-d#{seconds}s", "--latency", url])
    find = fn regex -> with [_, found] <- Regex.run(regex, out), do: found, else: (_ -> "?") end
    [find.(~r/Requests\/sec:\s+([\d.]+)/), find.(~r/^ +50% +(\S+)/m), find.(~r/^ +99% +(\S+)/m)]
  end

  defp round1(us), do: Float.round(us / 1, 1)
end

Bench.HTTP.run("--quick" in System.argv())
