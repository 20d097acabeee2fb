defmodule Mix.Tasks.TerminalTest do
  # What every task has: help, a version, a quiet end when nobody reads on, colours on a terminal alone.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  @moduletag :mix
  @moduletag timeout: :infinity
  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  tasks =
    for path <- Path.wildcard("lib/mix/tasks/wasmex.*.ex"),
        do: path |> Path.basename(".ex") |> String.replace_prefix("wasmex.", "")

  # In this VM: a VM for each would take a minute.
  for task <- tasks do
    test "mix wasmex.#{task}: --help, -h, --version" do
      task = Mix.Task.get!("wasmex.#{unquote(task)}")

      for flag <- ["--help", "-h"] do
        help = capture_io(fn -> assert catch_exit(task.run([flag])) == {:shutdown, 0} end)
        assert help =~ "mix wasmex.#{unquote(task)}"
      end

      version = capture_io(fn -> assert catch_exit(task.run(["--version"])) == {:shutdown, 0} end)
      assert version =~ ~r/\Awasmex \d+\.\d+\.\d+/
    end
  end

  defp sh(command) do
    env = [{"MIX_ENV", "test"}, {"NO_COLOR", nil}, {"TERM", "xterm"}]
    System.cmd("sh", ["-c", command], env: env)
  end

  @tag :package
  @tag :tmp_dir
  test "a reader that leaves after a line ends each quietly", %{tmp_dir: dir} do
    for command <- [
          "inspect #{@rust}",
          "inspect --json #{@rust}",
          "completion bash",
          "run --help",
          "run #{@rust} env"
        ] do
      err = Path.join(dir, "err")
      assert {_line, 0} = sh("mix wasmex.#{command} 2>#{err} | head -1")
      assert {command, File.read!(err)} == {command, ""}
    end
  end

  # util-linux's script runs a command on a terminal of its own.
  @tag skip: if(System.find_executable("script") == nil, do: "there is no script")
  @tag :package
  test "colours on a terminal, and none in a pipe" do
    assert {piped, 0} = sh("mix wasmex.inspect #{@rust}")
    refute piped =~ "\e["
    terminal = "script -qec 'stty cols 100; mix wasmex.inspect #{@rust}' /dev/null </dev/null"
    assert {coloured, 0} = sh(terminal)
    assert coloured =~ "\e["
    assert {plain, 0} = sh("NO_COLOR=1 " <> terminal)
    refute plain =~ "\e["
  end

  @tag skip: if(System.find_executable("bash") == nil, do: "there is no bash")
  @tag :tmp_dir
  test "completion in bash: tasks, flags, values", %{tmp_dir: dir} do
    script = Path.join(dir, "completion")
    {text, 0} = sh("mix wasmex.completion bash")
    File.write!(script, text)

    complete = fn words ->
      line = Enum.join(words, " ")

      {out, 0} =
        System.cmd("bash", [
          "-c",
          """
          . #{script}
          COMP_WORDS=(#{line}); COMP_CWORD=#{length(words) - 1}
          COMP_LINE="#{line}"; COMP_POINT=${#COMP_LINE}
          _mix_wasmex mix; printf '%s\\n' "${COMPREPLY[@]}"
          """
        ])

      String.split(out)
    end

    assert "wasmex.run" in complete.(["mix", "wasmex.r"])
    assert "--timeout" in complete.(["mix", "wasmex.run", "--time"])
    assert "--lang" in complete.(["mix", "wasmex.new", "--l"])
  end
end
