defmodule Wasmex.Program.LogSinkTest do
  # Logger is the whole VM's.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  @go "test/guests/programs/go/program.wasm"

  test "standard error goes to Logger line by line, with the program's name" do
    log =
      capture_log([metadata: [:wasm, :stream], format: "[$level] $metadata$message\n"], fn ->
        assert {:ok, %{status: 0, stderr: nil}} =
                 Wasmex.run(@go, ["stderr", "one\ntwo"], stderr: {:logger, :warning}, name: "prog")
      end)

    assert log =~ ~r/\[warn(ing)?\] wasm=prog stream=stderr one\n/
    assert log =~ ~r/wasm=prog stream=stderr two\n/
  end

  test "incomplete, long and non-UTF-8 lines are logged, too" do
    log =
      capture_log(fn ->
        Wasmex.run(Wasmex.Cat.template(), [], stdin: "no end", stdout: :logger)
      end)

    assert log =~ "no end"
    long = String.duplicate("x", 20_000)

    log =
      capture_log(fn -> Wasmex.run(Wasmex.Cat.template(), [], stdin: long, stdout: :logger) end)

    assert length(String.split(log, "[info]")) == 4

    log =
      capture_log(fn ->
        Wasmex.run(Wasmex.Cat.template(), [], stdin: long <> "\nend\n", stdout: :logger)
      end)

    assert length(String.split(log, "[info]")) == 5

    log =
      capture_log(fn ->
        Wasmex.run(Wasmex.Cat.template(), [], stdin: <<255, 10>>, stdout: :logger)
      end)

    assert log =~ ~S|"\xFF"|
  end
end
