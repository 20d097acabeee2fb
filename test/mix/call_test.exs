defmodule Mix.Tasks.Wasmex.CallTest do
  # The task as a user has it: from a shell, with its streams and exit statuses.
  use ExUnit.Case, async: true

  @moduletag :mix
  @moduletag timeout: :infinity
  @moduletag :tmp_dir
  @kits "test/guests/plugins"

  # As the command `wasmex call`, which runs the same module and starts in a third of the time that Mix takes.
  @main "System.halt(Wasmex.CLI.Main.status(System.argv()))"

  defp sh(command, dir, stdin \\ ""),
    do: shell("elixir -pa #{ebin()} -e '#{@main}' -- call #{command}", dir, stdin)

  defp mix(command, dir, stdin), do: shell("mix wasmex.call #{command}", dir, stdin)

  defp shell(command, dir, stdin) do
    [input, err] =
      for name <- ["in", "err"],
          do: Path.join(dir, "#{name}-#{System.unique_integer([:positive])}")

    File.write!(input, stdin)
    opts = [env: [{"MIX_ENV", "test"}], stderr_to_stdout: false]
    {out, status} = System.cmd("sh", ["-c", "#{command} <#{input} 2>#{err}"], opts)
    {out, File.read!(err), status}
  end

  defp ebin, do: :wasmex |> :code.lib_dir() |> Path.join("ebin")

  test "input and output are bytes", %{tmp_dir: dir} do
    bytes = :rand.bytes(100_000) <> "ü\r\n"
    assert {^bytes, "", 0} = mix("--stdin #{@kits}/echo.wasm echo", dir, bytes)
    assert {"hello", "", 0} = sh("#{@kits}/echo.wasm echo -i hello", dir)
    assert {"1\n2\n3\n", "", 0} = sh("--loop 3 #{@kits}/stop.wasm count", dir)
  end

  test "configuration, directories, links, logs", %{tmp_dir: dir} do
    assert {"red", "", 0} =
             sh(
               ~s|--set-config '{"colour": "blue"}' --config colour=red #{@kits}/c-kit.wasm setting -i colour|,
               dir
             )

    File.write!(Path.join(dir, "a.txt"), "from a file")

    assert {"from a file", "", 0} =
             sh(
               "--wasi --allow-path ro:#{dir}:/data #{@kits}/rust-files.wasm read_file -i /data/a.txt",
               dir
             )

    assert {"1", "", 0} = sh("--link lib=#{@kits}/lib.wasm #{@kits}/main.wasm take", dir)

    assert {"", "warning: careful\n", 0} =
             sh("--log-level warn #{@kits}/c-kit.wasm warns -i careful", dir)
  end

  test "a manifest, to which flags are added", %{tmp_dir: dir} do
    manifest = Path.join(dir, "m.json")

    File.write!(
      manifest,
      Wasmex.JSON.encode(%{
        wasm: [%{path: Path.expand("#{@kits}/c-kit.wasm")}],
        config: %{colour: "blue"}
      })
    )

    assert {"blue", "", 0} = sh("-m #{manifest} setting -i colour", dir)
    assert {"red", "", 0} = sh("-m --config colour=red #{manifest} setting -i colour", dir)
  end

  test "errors are printed on standard error, with exit status 1", %{tmp_dir: dir} do
    for {command, why} <- [
          {"#{@kits}/c-kit.wasm setting -i none", "Error: no such setting (code 1)\n"},
          {"#{@kits}/stop.wasm trap", "unreachable"},
          {"--timeout 50 #{@kits}/stop.wasm forever", "50 ms"},
          {"--memory-max 5 #{@kits}/stop.wasm hog_own", "max_pages is 5"},
          {"#{@kits}/echo.wasm ecko", ~s|did you mean "echo"|},
          {"--sha256 00 #{@kits}/echo.wasm echo", "hash mismatch"},
          {"no/such.wasm echo", "no such file"}
        ] do
      assert {"", err, 1} = sh(command, dir)
      assert err =~ why
    end
  end

  test "a command line that makes no sense, with 2", %{tmp_dir: dir} do
    assert {"", err, 2} = sh("--timout 5 a b", dir)
    assert err =~ "did you mean --timeout?"
    assert {"", _, 2} = sh("a", dir)
    assert {"", _, 2} = sh("--set-config nonsense a b", dir)
    assert {"", _, 2} = sh("--input a --stdin a b", dir)
  end
end
