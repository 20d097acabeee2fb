# Shows what the library is for, on real guests. Run it with script/demo.
#
# The guests are under test/guests, each beside its source and the command that built it.

defmodule Demo do
  @moduledoc "The six parts of the demo."

  alias Wasmex.{Engine, Exit, Instance, Linker, Memory, Module, Pipe, Store, Template}
  alias Wasmex.Wasi.WasiOptions

  def run do
    title(
      1,
      "A Go program answers over pipes",
      "go_greet: Go's //go:wasmexport, called like a function"
    )

    greet()

    title(
      2,
      "A Go main with arguments, environment and an exit status",
      "go_main: an ordinary program"
    )

    main()

    title(
      3,
      "Go calls Elixir",
      "go_import: //go:wasmimport, a string passed by pointer and length"
    )

    import_elixir()

    title(4, "An endless loop meets its timeout", "the guest is stopped, its instance goes on")
    spin()

    title(5, "10,000 guests asleep at once", "each in a process of its own, none with a thread")
    sleep(10_000)

    title(
      6,
      "Go's net/http answers curl",
      "go/program: a server in a guest, at a port of the host"
    )

    serve()
  end

  defp title(number, text, explanation) do
    IO.puts("\n#{number}. #{text}\n   (#{explanation})\n")
  end

  # The article's own code, to the letter; it wants to be run where ./native/main.wasm is.
  defp greet do
    File.cd!(__DIR__, fn ->
      binary = File.read!("./native/main.wasm")
      {:ok, stdout_pipe} = Wasmex.Pipe.new()
      {:ok, stdin_pipe} = Wasmex.Pipe.new()
      wasi = %Wasmex.Wasi.WasiOptions{args: [], stdout: stdout_pipe, stdin: stdin_pipe}
      {:ok, pid} = Wasmex.start_link(%{bytes: binary, wasi: wasi})
      Wasmex.Pipe.write(stdin_pipe, "Yasoob here!")
      Wasmex.Pipe.seek(stdin_pipe, 0)
      {:ok, []} = Wasmex.call_function(pid, :greet, [])
      Wasmex.Pipe.seek(stdout_pipe, 0)
      IO.puts(Wasmex.Pipe.read(stdout_pipe))
    end)
  end

  defp main do
    {:ok, stdout} = Pipe.new()

    wasi = %WasiOptions{
      args: ["go_main", "--verbose", "3"],
      env: %{"LANG" => "C", "WHO" => "Elixir"},
      stdout: stdout,
      stderr: stdout
    }

    {:ok, store} = Store.new_wasi(wasi)
    {:ok, module} = Module.compile(store, guest("go_main"))
    {:ok, instance} = Instance.new(store, module, %{})
    {:error, %Exit{status: status}} = Instance.call(instance, "_start", [])

    Pipe.seek(stdout, 0)
    IO.write(Pipe.read(stdout))
    IO.puts("exit status: #{status}")
  end

  defp import_elixir do
    log = fn context, pointer, length ->
      text = Memory.read_string(context.caller, context.memory, pointer, length)
      IO.puts("Elixir #{inspect(self())} got: #{text}")
    end

    add = fn _context, a, b -> a + b end

    imports = %{
      env: %{log_string: {:fn, [:i32, :i32], [], log}, add: {:fn, [:i32, :i32], [:i32], add}}
    }

    {:ok, store} = Store.new_wasi(%WasiOptions{})
    {:ok, module} = Module.compile(store, guest("go_import"))
    {:ok, instance} = Instance.new(store, module, imports)
    {:ok, []} = Instance.call(instance, "hello", [])
    IO.puts("(the call was made by #{inspect(self())}, the same process)")
  end

  defp spin do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, guest("zig_compute"))
    {:ok, instance} = Instance.new(store, module, %{})

    {microseconds, {:error, error}} =
      :timer.tc(fn -> Instance.call(instance, "spin", [], timeout: 100) end)

    IO.puts("after #{div(microseconds, 1000)} ms: #{Exception.message(error)}")
    IO.puts("the same instance: fib(20) = #{inspect(Instance.call!(instance, "fib", [20]))}")
  end

  @sleeper """
  (module
    (import "wasi_snapshot_preview1" "poll_oneoff"
      (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "nap") (param $nanoseconds i64) (result i32)
      (i32.store (i32.const 16) (i32.const 1))
      (i64.store (i32.const 24) (local.get $nanoseconds))
      (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
  """

  defp sleep(count) do
    {:ok, module} = Module.compile(Engine.default(), @sleeper)
    {:ok, template} = Linker.new() |> Linker.allow_wasi() |> Linker.instantiate_pre(module)
    parent = self()
    before = {threads(), rss()}
    started = now()

    processes =
      for _ <- 1..count do
        spawn_monitor(fn ->
          {:ok, store} = Store.new_wasi(%WasiOptions{})
          {:ok, instance} = Template.instantiate(template, store)
          send(parent, :ready)

          receive do
            :sleep -> {:ok, [0]} = Instance.call(instance, "nap", [2_000_000_000])
          end
        end)
      end

    for _ <- processes, do: receive(do: (:ready -> :ok))
    made = now()
    for {pid, _} <- processes, do: send(pid, :sleep)
    Process.sleep(1000)
    {threads_before, rss_before} = before

    IO.puts("made in #{made - started} ms; asleep now:")
    IO.puts("  threads of the VM: #{threads()} (before: #{threads_before})")
    IO.puts("  memory: #{div(rss() - rss_before, count)} KiB each")

    for {_, monitor} <- processes do
      receive do
        {:DOWN, ^monitor, :process, _, :normal} -> :ok
      end
    end

    IO.puts("all awake after #{now() - made} ms (each slept 2000 ms)")
  end

  defp serve do
    packed = File.read!(Path.join(__DIR__, "../test/guests/sockets/go/program.wasm.gz"))

    {:ok, server} =
      Wasmex.Program.start_link(
        program: :zlib.gunzip(packed),
        args: ["serve", "tcp", "127.0.0.1:0"],
        bind: ["127.0.0.1"]
      )

    line = receive(do: ({^server, {:data, line}} -> String.trim(line)))
    IO.puts(line)
    url = "http://" <> List.last(String.split(line)) <> "/hi"
    IO.puts("curl #{url}")
    {answer, 0} = System.cmd("curl", ["-s", url])
    IO.write(answer)
    Wasmex.Program.stop(server)
  end

  defp guest(name), do: File.read!(Path.join([__DIR__, "../test/guests", name, "#{name}.wasm"]))

  defp now, do: System.monotonic_time(:millisecond)

  # Linux tells both here; elsewhere the demo says 0.
  defp threads, do: status("Threads:")
  defp rss, do: status("VmRSS:")

  defp status(key) do
    with {:ok, text} <- File.read("/proc/self/status"),
         line when line != nil <-
           text |> String.split("\n") |> Enum.find(&String.starts_with?(&1, key)) do
      line |> String.split() |> Enum.at(1) |> String.to_integer()
    else
      _ -> 0
    end
  end
end

Demo.run()
