defmodule Mix.Tasks.WasmexTest do
  # The tasks as a user has them: from a shell, with its streams and exit statuses.
  use ExUnit.Case, async: true

  @moduletag :mix
  @moduletag timeout: :infinity
  @moduletag :tmp_dir
  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  setup %{tmp_dir: dir}, do: {:ok, dir: dir}

  # Standard output, standard error, exit status.
  defp sh(command, dir, stdin \\ "") do
    [input, err] =
      for name <- ["in", "err"],
          do: Path.join(dir, "#{name}-#{System.unique_integer([:positive])}")

    File.write!(input, stdin)
    opts = [env: [{"MIX_ENV", "test"}], stderr_to_stdout: false]
    {out, status} = System.cmd("sh", ["-c", "mix #{command} <#{input} 2>#{err}"], opts)
    {out, File.read!(err), status}
  end

  test "run: streams, binary safe, and the exit status", %{dir: dir} do
    bytes = :rand.bytes(300_000) <> "ü\r\n"
    assert {^bytes, "", 0} = sh("wasmex.run #{@rust} echo", dir, bytes)
    assert {"", "", 42} = sh("wasmex.run #{@rust} exit 42", dir)

    assert {"args: [go_main.wasm 3 --stats]\n", "a line on stderr\n", 0} =
             sh("wasmex.run test/guests/go_main/go_main.wasm 3 --stats", dir)
  end

  test "run: a program on standard input, or in a pipe", %{dir: dir} do
    for file <- ["-", "/dev/stdin"] do
      assert {"", "", 42} = sh("wasmex.run #{file} exit 42", dir, File.read!(@rust))
      # The rest of standard input is the program's, and empty.
      assert {"", "", 0} = sh("wasmex.run #{file} echo", dir, File.read!(@rust))
    end

    command = "mix wasmex.run <(cat #{@rust}) echo <<< hello"
    assert {"hello\n", 0} = System.cmd("bash", ["-c", command], env: [{"MIX_ENV", "test"}])
    assert {"", err, 1} = sh("wasmex.run -", dir, "no code")
    assert err =~ "no code" or err =~ "expected"
    assert {out, "", 0} = sh("wasmex.inspect -", dir, File.read!(@rust))
    assert out =~ "_start"
  end

  test "run: traps, timeouts, other trouble", %{dir: dir} do
    assert {"", err, 134} = sh("wasmex.run #{@rust} panic", dir)
    assert err =~ "wasm backtrace" and err =~ "unreachable"
    assert {"", err, 124} = sh("wasmex.run --timeout 100ms #{@rust} spin", dir)
    assert err =~ "100 ms"
    assert {"", err, 1} = sh("wasmex.run no/such.wasm", dir)
    assert err =~ "no such file"
    assert {"", err, 1} = sh("wasmex.run test/guests/rust_reactor/rust_reactor.wasm", dir)
    assert err =~ "upcase"
    assert {"", err, 2} = sh("wasmex.run --timout 1s #{@rust}", dir)
    assert err =~ "did you mean --timeout?" and err =~ "mix help wasmex.run"
    assert {"", _, 2} = sh("wasmex.run", dir)
  end

  test "run: an interrupt stops the guest" do
    # That it answers shows that it runs; before that the interrupt would be the VM's own.
    port = shell("mix wasmex.run #{@rust} echo")
    Port.command(port, "here")
    assert until(port, "here") == "here"
    interrupt(port)
    assert_receive {^port, {:exit_status, 130}}, 30_000
  end

  # A command in the background, its process that of the port.
  defp shell(command) do
    opts = [
      :binary,
      :exit_status,
      args: ["-c", "exec #{command} 2>/dev/null"],
      env: [{~c"MIX_ENV", ~c"test"}]
    ]

    Port.open({:spawn_executable, System.find_executable("sh")}, opts)
  end

  defp interrupt(port) do
    {:os_pid, pid} = Port.info(port, :os_pid)
    System.cmd("sh", ["-c", "kill -INT #{pid}"])
  end

  defp until(port, text, said \\ "") do
    if said =~ text do
      said
    else
      receive do
        {^port, {:data, more}} -> until(port, text, said <> more)
      after
        60_000 -> flunk("it said only: #{said}")
      end
    end
  end

  # Writes, and does not look at what became of it.
  @careless ~S"""
  (module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\03\00\00\00hi\0a")
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))
  """

  test "run: output that cannot be written is no success", %{dir: dir} do
    wat = Path.join(dir, "careless.wat")
    File.write!(wat, @careless)
    assert {"hi\n", "", 0} = sh("wasmex.run #{wat}", dir)
    assert {"", err, 1} = sh("wasmex.run #{wat} >/dev/full", dir)
    assert err =~ "No space left"
    # This one looks.
    assert {"", err, status} = sh("wasmex.run #{@rust} args x >/dev/full", dir)
    assert status != 0 and err != ""
    refute err =~ "IO device"
  end

  test "what a task itself prints and cannot be written is no success either", %{dir: dir} do
    add = Path.join(dir, "two.wat")
    File.write!(add, ~S|(module (func (export "two") (result i32) (i32.const 2)))|)
    echo = Path.expand("test/guests/plugins/echo.wasm")
    assert {"2\n", "", 0} = sh("wasmex.run --invoke 'two()' #{add}", dir)

    for command <- [
          "run --invoke 'two()' #{add}",
          "inspect #{add}",
          "inspect --json #{add}",
          "call #{echo} echo --input x",
          "compile #{add} -o #{dir}/two.cwasm"
        ] do
      assert {_, err, 1} = sh("wasmex.#{command} >/dev/full", dir)
      assert err =~ "standard output: No space left"
    end
  end

  test "run: a reader that leaves ends it quietly", %{dir: dir} do
    status = Path.join(dir, "status")
    command = "(mix wasmex.run #{@rust} flood; echo $? >#{status}) 2>#{dir}/err | head -c 3"
    assert {"xxx", 0} = System.cmd("sh", ["-c", command], env: [{"MIX_ENV", "test"}])
    assert String.trim(File.read!(status)) != "0"
    refute File.read!(Path.join(dir, "err")) =~ ~r/IO device|backtrace/
  end

  test "run: exit statuses, as a shell has them", %{dir: dir} do
    wat = Path.join(dir, "exit.wat")

    for {status, shell} <- [{255, 255}, {126, 126}, {256, 1}, {-1, 255}] do
      File.write!(
        wat,
        ~s|(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const #{status}))))|
      )

      assert {"", "", ^shell} = sh("wasmex.run #{wat}", dir)
    end
  end

  test "run: a hint for a Go program that does not see its directory", %{dir: dir} do
    File.write!(Path.join(dir, "file"), "a b\n")
    go = Path.expand("test/guests/programs/go/program.wasm")
    assert {_, err, status} = sh("wasmex.run --dir #{dir}::. #{go} copy file copied", dir)
    assert status != 0 and err =~ "--dir #{dir}::/"
    assert {_, err, _} = sh("wasmex.run --dir #{dir}::/ #{go} copy file copied", dir)
    refute err =~ "hint"
  end

  test "run: grants and limits", %{dir: dir} do
    File.write!(Path.join(dir, "file"), "content")
    assert {"content", "", 0} = sh("wasmex.run --dir #{dir}::/d:ro #{@rust} cat /d/file", dir)
    assert {_, _, 1} = sh("wasmex.run --dir #{dir}::/d:ro #{@rust} write /d/file x", dir)
    assert {"", err, 1} = sh("wasmex.run --dir /no/such #{@rust} args", dir)
    assert err =~ "/no/such"
    assert {"A=1\nB=2\n", "", 0} = sh("wasmex.run --env A=1 --env B=2 #{@rust} env", dir)
    assert {out, "", 0} = sh("wasmex.run --env-inherit #{@rust} env", dir)
    assert out =~ "MIX_ENV=test"
    assert {"", err, 134} = sh("wasmex.run --fuel 100000 #{@rust} spin", dir)
    assert err =~ "fuel"
    assert {_, err, 0} = sh("wasmex.run --stats --max-memory 4MiB #{@rust} grow", dir)
    assert err =~ "MB of memory"
  end

  test "run: a function, a preloaded module", %{dir: dir} do
    lib = Path.join(dir, "lib.wat")
    main = Path.join(dir, "main.wat")

    File.write!(
      lib,
      ~s|(module (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2))))|
    )

    File.write!(
      main,
      ~s|(module (import "lib" "half" (func $h (param f64) (result f64))) (export "half" (func $h)))|
    )

    assert {"2.5\n", "", 0} = sh("wasmex.run --preload lib=#{lib} --invoke half #{main} 5", dir)
    assert {"", err, 2} = sh("wasmex.run --preload lib=#{lib} --invoke half #{main}", dir)
    assert err =~ "takes 1 parameters (f64), got 0"
    assert {"", err, 1} = sh("wasmex.run --invoke halve #{lib}", dir)
    assert err =~ ~s|did you mean "half"|
  end

  test "run: --invoke takes a call in WAVE, and prints WAVE", %{dir: dir} do
    wat = Path.join(dir, "add.wat")

    File.write!(wat, ~S"""
    (module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
      (func (export "two") (result i64 f32) (i64.const -1) (f32.const 0.1)))
    """)

    assert {"5\n", "", 0} = sh("wasmex.run --invoke 'add(2, 3)' #{wat}", dir)
    assert {"-1\n", "", 0} = sh("wasmex.run --invoke add #{wat} 2 -3", dir)
    assert {"-1\n0.1\n", "", 0} = sh("wasmex.run --invoke 'two()' #{wat}", dir)
    assert {"", err, 2} = sh("wasmex.run --invoke 'add(2, x)' #{wat}", dir)
    assert err =~ "argument 2: expected i32"
    assert {"", err, 2} = sh("wasmex.run --invoke 'add(2, 3)' #{wat} 4", dir)
    assert err =~ "also got 4"
  end

  test "run: --invoke finds a function of a component by a short name", %{dir: dir} do
    wat = Path.join(dir, "calc.wat")

    File.write!(wat, ~S"""
    (component
      (core module $m (func (export "add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1))))
      (core instance $i (instantiate $m))
      (func $add (param "a" u32) (param "b" s8) (result u32) (canon lift (core func $i "add")))
      (instance $calc (export "add" (func $add)))
      (export "ns:pkg/calc@1.0.0" (instance $calc)))
    """)

    for name <- ["add", "calc.add", "ns:pkg/calc@1.0.0.add"],
        do: assert({"5\n", "", 0} = sh("wasmex.run --invoke '#{name}(6, -1)' #{wat}", dir))

    assert {"", err, 2} = sh("wasmex.run --invoke 'add(6, -129)' #{wat}", dir)
    assert err =~ "argument 2: expected s8"
  end

  test "run: trace, profile, core dump", %{dir: dir} do
    assert {"hi", err, 0} = sh("wasmex.run --trace #{@rust} echo", dir, "hi")
    assert err =~ ~r/^fd_write\(1, 2 bytes "hi"\) = ok <.*>$/m
    profile = Path.join(dir, "p.json")
    assert {"", _, 124} = sh("wasmex.run --profile #{profile} --timeout 100ms #{@rust} spin", dir)
    assert File.read!(profile) =~ "samples"
    assert File.read!(Path.join(dir, "p.svg")) =~ "<svg"
    assert File.read!(Path.join(dir, "p.folded")) =~ ~r/ \d+$/m
    dump = Path.join(dir, "dump")
    assert {"", err, 134} = sh("wasmex.run --coredump #{dump} #{@rust} panic", dir)
    assert err =~ "wrote #{dump}"
    assert <<0, "asm", _::binary>> = File.read!(dump)
  end

  test "compile, then run what it made", %{dir: dir} do
    artefact = Path.join(dir, "rust.cwasm")
    assert {out, "", 0} = sh("wasmex.compile #{@rust} -o #{artefact}", dir)
    assert out =~ artefact
    assert {"hi", "", 0} = sh("wasmex.run #{artefact} echo", dir, "hi")
    assert {"", err, 1} = sh("wasmex.run --fuel 10 #{artefact} echo", dir)
    assert err =~ "other engine settings"

    File.write!(
      artefact,
      File.read!(artefact) |> String.replace_suffix(<<0>>, <<1>>) |> Kernel.<>("x")
    )

    assert {"", err, 1} = sh("wasmex.run #{artefact} echo", dir)
    assert err =~ "modified or damaged"
    assert {"", err, 1} = sh("wasmex.compile README.md", dir)
    assert err =~ "parsing"
    assert {"", err, 1} = sh("wasmex.compile #{@rust} -o /no/such/place.cwasm", dir)
    assert err =~ "cannot write"
    assert {"", err, 2} = sh("wasmex.compile #{artefact} -o #{artefact}", dir)
    assert err =~ "overwrite its input"
    assert {_, _, 0} = sh("wasmex.compile #{@rust} -o #{artefact}", dir)
    assert {"", err, 1} = sh("wasmex.compile #{artefact} -o #{artefact}2", dir)
    assert err =~ "already compiled"
    assert {"", _, 2} = sh("wasmex.compile --opt-level fast #{@rust}", dir)
  end

  test "inspect, as text and as JSON", %{dir: dir} do
    assert {out, "", 0} = sh("wasmex.inspect #{@rust}", dir)

    assert out =~ "a command" and out =~ "language:  Rust" and
             out =~ "fd_write: func (i32, i32, i32, i32) -> i32"

    assert {"{\n" <> _, "", 0} = sh("wasmex.inspect --json #{@rust}", dir)
    assert {"", err, 1} = sh("wasmex.inspect README.md", dir)
    assert err =~ "README.md:"
    assert {"", _, 2} = sh("wasmex.inspect", dir)
  end

  test "serve: says what it serves, answers, and stops at an interrupt", %{dir: dir} do
    File.write!(Path.join(dir, "hi.wat"), Wasmex.Answers.prints("hi"))
    File.write!(Path.join(dir, "functions.exs"), ~s|%{"hi" => [methods: ["GET"]]}|)

    port = shell("mix wasmex.serve --port 0 --quiet #{dir}")
    said = until(port, "(env)")
    assert [_, number] = Regex.run(~r|http://localhost:(\d+)/hi|, said)
    number = String.to_integer(number)
    assert {200, _, "hi"} = Wasmex.Client.get(number, "/hi")
    assert {405, _, _} = Wasmex.Client.request(number, "POST", "/hi", [], "x")
    interrupt(port)
    assert until(port, "stopping") =~ "stopping"
    assert_receive {^port, {:exit_status, 0}}, 30_000

    assert {_, err, 1} = sh("wasmex.serve --cluster #{dir}", dir)
    assert err =~ "--sname"
    assert {_, err, 1} = sh("wasmex.serve /no/such", dir)
    assert err =~ "/no/such is not a folder"
    File.write!(Path.join(dir, "bad.exs"), ~s|%{"hi" => [timout: 5]}|)
    assert {_, err, 1} = sh("wasmex.serve --config #{dir}/bad.exs #{dir}", dir)
    assert err =~ "unknown option :timout in functions.hi"
    assert {_, _, 2} = sh("wasmex.serve --prt 1 #{dir}", dir)
    assert {_, err, 2} = sh("wasmex.serve --certfile mix.exs #{dir}", dir)
    assert err =~ "must be used together"
    assert {_, err, 1} = sh("wasmex.serve --certfile mix.exs --keyfile mix.exs #{dir}", dir)
    assert err =~ "web_server: :bandit requires the dependency"
  end

  test "every task has help", %{dir: dir} do
    for task <- ["wasmex.run", "wasmex.inspect", "wasmex.compile", "wasmex.serve"] do
      assert {help, _, 0} = sh("help #{task}", dir)
      assert help =~ "mix #{task}"
      assert {^help, _, 0} = sh("#{task} --help", dir)
      assert {"wasmex " <> _, "", 0} = sh("#{task} --version", dir)
    end
  end
end
