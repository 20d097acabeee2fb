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
    assert "wasmex.install" in complete.(["mix", "wasmex.i"])
    assert "--timeout" in complete.(["mix", "wasmex.run", "--time"])
    assert "-h" in complete.(["mix", "wasmex.run", "-"])
    assert "--lang" in complete.(["mix", "wasmex.new", "--l"])
    assert complete.(["mix", "wasmex.new", "--lang", "zi"]) == ["zig"]
    # Files are completed by bash itself.
    assert complete.(["mix", "wasmex.inspect", "READ"]) == []
  end

  @tag skip: if(System.find_executable("fish") == nil, do: "there is no fish")
  @tag :tmp_dir
  test "completion in fish", %{tmp_dir: dir} do
    script = Path.join(dir, "completion.fish")
    {text, 0} = sh("mix wasmex.completion fish")
    File.write!(script, text)

    complete = fn line ->
      args = ["--no-config", "-c", "source #{script}; complete -C '#{line}'"]
      {out, 0} = System.cmd("fish", args)
      for row <- String.split(out, "\n", trim: true), do: row |> String.split("\t") |> hd()
    end

    assert "wasmex.run" in complete.("mix wasmex.r")
    assert complete.("mix wasmex.run --time") == ["--timeout"]
    assert "zig" in complete.("mix wasmex.new --lang ")
    assert complete.("mix wasmex.inspect READ") == ["README.md"]
  end

  @zsh """
  zmodload zsh/zpty
  zpty -b shell 'TERM=dumb zsh -f -i'
  zpty -w shell "PS1='% '; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; source $1; echo rea''dy"
  zpty -r -m shell text '*ready*'
  zpty -n -w shell "$2"$'\t\t'
  zpty -r -m shell text "*$3*" && print found
  zpty -d shell
  """

  # Keys are pressed in a terminal of zsh's own; reading waits until the text appears.
  @tag skip: if(System.find_executable("zsh") == nil, do: "there is no zsh")
  @tag :tmp_dir
  test "completion in zsh", %{tmp_dir: dir} do
    script = Path.join(dir, "completion.zsh")
    {text, 0} = sh("mix wasmex.completion zsh")
    File.write!(script, text)

    for {line, found} <- [
          {"mix wasmex.", "wasmex.snapshot *Initialises"},
          {"mix wasmex.run --di", "--dir"},
          {"mix wasmex.new --lang ", "assemblyscript*zig"},
          {"mix wasmex.inspect READ", "README.md"}
        ] do
      args = ["30", "zsh", "-fc", @zsh, "zsh", script, line, found]
      assert {"found\n", 0} = System.cmd("timeout", args)
    end
  end
end
