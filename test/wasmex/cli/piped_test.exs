defmodule Wasmex.CLI.PipedTest do
  # What a command line may name besides files.
  use ExUnit.Case, async: true

  alias Wasmex.{Bytes, CLI}

  import ExUnit.CaptureIO

  @bytes <<0, "asm", 1, 0, 0, 0, 255, 128>> <> "é"

  @moduletag :tmp_dir

  setup %{tmp_dir: dir} do
    fifo = Path.join(dir, "fifo")
    {_, 0} = System.cmd("mkfifo", [fifo])
    {:ok, fifo: fifo}
  end

  # The shell opens it, since that waits for the other end.
  defp fill(fifo, file),
    do: Task.async(fn -> System.cmd("sh", ["-c", "cat #{file} > #{fifo}"]) end)

  test "a pipe is read to its end", %{tmp_dir: dir, fifo: fifo} do
    file = Path.join(dir, "file")
    large = String.duplicate(@bytes, 100_000)
    File.write!(file, large)

    for read <- [&CLI.piped/1, &CLI.read/1] do
      writing = fill(fifo, file)
      assert read.(fifo) == {:ok, large}
      assert {"", 0} = Task.await(writing)
    end

    assert CLI.piped(file) == :file
    assert CLI.read(file) == {:ok, large}
    assert CLI.piped(Path.join(dir, "none")) == :file
    assert {:error, "cannot read " <> _} = CLI.read(Path.join(dir, "none"))
    assert CLI.piped("/dev/null") == {:ok, ""}
  end

  test "standard input" do
    for name <- ["-", "/dev/stdin"] do
      text = "(module)\n"
      opts = [input: text, capture_prompt: false]

      assert capture_io(opts, fn -> IO.inspect(CLI.piped(name)) end) ==
               inspect({:ok, text}) <> "\n"
    end
  end

  test "pipes are not read for others", %{fifo: fifo} do
    assert Bytes.read(fifo) == {:error, :enotsup}
    assert {:error, error} = Wasmex.run(fifo)
    assert Exception.message(error) =~ "pass the bytes"
    assert {:error, error} = Wasmex.Inspection.read(fifo)
    assert Exception.message(error) =~ "pass the bytes"
  end
end
