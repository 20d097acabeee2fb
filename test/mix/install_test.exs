defmodule Mix.Tasks.Wasmex.InstallTest do
  # The command as a user has it, in a folder that was moved after the installation.
  use ExUnit.Case, async: true

  @moduletag :mix
  @moduletag :package
  @moduletag timeout: :infinity

  @rust Path.expand("test/guests/rust_wasi/rust_wasi.wasm")

  setup_all do
    dir = Path.join(System.tmp_dir!(), "wasmex-install-#{System.pid()}")
    on_exit(fn -> File.rm_rf!(dir) end)
    env = [{"MIX_ENV", "test"}]
    task = ["wasmex.install", "--prefix", Path.join(dir, "first")]
    assert {installed, 0} = System.cmd("mix", task, env: env)
    assert installed =~ "installed #{dir}/first/bin/wasmex\n"
    # Again, over the first one.
    assert {_, 0} = System.cmd("mix", task, env: env)
    File.rename!(Path.join(dir, "first"), Path.join(dir, "moved"))
    {:ok, dir: dir, command: Path.join(dir, "moved/bin/wasmex")}
  end

  # Standard output, standard error, exit status; without Elixir in PATH.
  defp sh(%{dir: dir, command: command}, args, stdin \\ "", env \\ %{}) do
    [input, err] =
      for name <- ["in", "err"],
          do: Path.join(dir, "#{name}-#{System.unique_integer([:positive])}")

    File.write!(input, stdin)
    erl = Path.dirname(System.find_executable("erl"))
    path = "#{tools(dir, erl)}:/bin"
    env = [{"WASMEX_NIF_PATH", nil}, {"PATH", path}, {"LC_ALL", "C"} | Map.to_list(env)]
    line = "exec #{command} #{args} <#{input} 2>#{err}"
    {out, status} = System.cmd("/bin/sh", ["-c", line], cd: dir, env: env)
    {out, File.read!(err), status}
  end

  # A folder with erl only.
  defp tools(dir, erl) do
    tools = Path.join(dir, "tools")
    File.mkdir_p!(tools)
    File.ln_s(Path.join(erl, "erl"), Path.join(tools, "erl"))
    tools
  end

  test "run: streams, exit statuses, errors", context do
    bytes = :rand.bytes(100_000) <> "ü\r\n"
    assert {^bytes, "", 0} = sh(context, "run #{@rust} echo", bytes)
    assert {"", "", 42} = sh(context, "run #{@rust} exit 42")
    assert {"", err, 134} = sh(context, "run #{@rust} panic")
    assert err =~ "unreachable"
    assert {"", err, 1} = sh(context, "run nö.wasm")
    assert err =~ "nö.wasm"
    assert {"", err, 2} = sh(context, "run --timout 1s #{@rust}")
    assert err =~ "did you mean --timeout?" and err =~ "See wasmex help run."
  end

  test "run: an event of the log is not part of the program's output", context do
    env = %{"ERL_AFLAGS" => "-eval logger:warning(\#{reason=>careful})."}
    assert {"only this", err, 0} = sh(context, "run #{@rust} echo", "only this", env)
    assert err =~ "reason: careful"
  end

  test "with settings of the VM in the environment", context do
    for flags <- ["-kernel shell_history enabled", "-eval 'ok.'", "+S 1:1"] do
      env = %{"ERL_AFLAGS" => flags}
      assert {"here", "", 0} = sh(context, "run #{@rust} echo", "here", env)
    end
  end

  test "run: a program that is not in the disk cache", context do
    path = Path.join(context.dir, "exit.wat")

    File.write!(path, """
    (module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start") (call $exit (i32.const 7))))
    """)

    assert {"", "", 7} = sh(context, "run #{path}")
    assert {"", "", 7} = sh(context, "run --compile in_process #{path}")
  end

  test "without its boot script, which is for one version of Erlang/OTP", context do
    boot = Path.join(context.dir, "moved/lib/wasmex/wasmex.boot")
    assert File.exists?(boot)
    other = Path.join(context.dir, "other")
    File.cp_r!(Path.join(context.dir, "moved"), other)
    File.rm!(Path.join(other, "lib/wasmex/wasmex.boot"))

    assert {"ok", "", 0} =
             sh(%{context | command: Path.join(other, "bin/wasmex")}, "run #{@rust} echo", "ok")

    link = Path.join(context.dir, "link")
    File.ln_s!(context.command, link)
    assert {"ok", "", 0} = sh(%{context | command: link}, "run #{@rust} echo", "ok")
  end

  test "inspect, compile, and running the artefact", context do
    assert {json, "", 0} = sh(context, "inspect --json #{@rust}")
    assert json =~ "wasi_snapshot_preview1"
    assert {_, _, 0} = sh(context, "compile #{@rust} -o echo.cwasm")
    assert {"ok", "", 0} = sh(context, "run echo.cwasm echo", "ok")
  end

  test "help, version, completion, unknown commands", context do
    assert {usage, "", 0} = sh(context, "--help")
    assert usage =~ "run         Runs a WASI program\n"
    assert {help, "", 0} = sh(context, "help run")
    assert help =~ "wasmex run [OPTIONS] FILE [ARGS…]"
    refute help =~ "mix wasmex.run"
    assert {"wasmex 0.1.0\n", "", 0} = sh(context, "--version")
    assert {script, "", 0} = sh(context, "completion bash")
    assert script =~ "complete -o default -F _wasmex_wasmex wasmex"
    refute script =~ " new)"
    assert {"", err, 2} = sh(context, "new")
    assert err =~ "unknown command new"
    assert {"", _, 2} = sh(context, "")
  end

  test "serve answers requests, and stops at an interrupt", context do
    File.mkdir_p!(Path.join(context.dir, "functions"))
    File.cp!("examples/faas/watenv.wat", Path.join(context.dir, "functions/watenv.wat"))
    folder = Path.join(context.dir, "functions")

    port =
      Port.open({:spawn_executable, context.command}, [
        :binary,
        :exit_status,
        args: ["serve", "--port", "0", folder]
      ])

    [_, url] = until(port, ~r"(http://localhost:\d+/watenv)")
    assert {:ok, {{_, 200, _}, _, _}} = :httpc.request(to_charlist(url))
    {:os_pid, pid} = Port.info(port, :os_pid)
    System.cmd("/bin/sh", ["-c", "kill -INT #{pid}"])
    assert_receive {^port, {:exit_status, 0}}, 30_000
  end

  defp until(port, pattern, said \\ "") do
    if found = Regex.run(pattern, said) do
      found
    else
      receive do
        {^port, {:data, more}} -> until(port, pattern, said <> more)
      after
        60_000 -> flunk("it said only: #{said}")
      end
    end
  end
end
