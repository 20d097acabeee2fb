defmodule Wasmex.Program.StreamsTest do
  # Streams of the host that fail: never the end of the input, never a success.
  use ExUnit.Case, async: true

  alias Wasmex.Error

  @moduletag :tmp_dir
  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  defp echo(device), do: Wasmex.run(@rust, ["echo"], stdin: device)

  defp file(dir, bytes) do
    path = Path.join(dir, "input")
    File.write!(path, bytes)
    path
  end

  test "input that is not in the device's encoding", %{tmp_dir: dir} do
    path = file(dir, "caf\xE9\n")
    {:ok, device} = File.open(path, [:read, :utf8])
    assert {:error, %Error{reason: :input} = error} = echo(device)
    assert Exception.message(error) =~ "stdin: the IO device"
    # As bytes it is what it is.
    {:ok, device} = File.open(path, [:read])
    assert {:ok, %{stdout: "caf\xE9\n"}} = echo(device)
  end

  test "characters of a device are UTF-8 in the guest", %{tmp_dir: dir} do
    text = "ü € 😀\n" <> String.duplicate("ß", 100_000)
    {:ok, device} = File.open(file(dir, text), [:read, :utf8])
    assert {:ok, %{stdout: ^text}} = echo(device)
    {:ok, device} = StringIO.open(text)
    assert {:ok, %{stdout: ^text}} = echo(device)
  end

  test "a device that can't be read", %{tmp_dir: dir} do
    {:ok, device} = File.open(Path.join(dir, "output"), [:write])
    assert {:error, %Error{reason: :input}} = echo(device)
    # A program that reads nothing does not care.
    assert {:ok, %{status: 0}} = Wasmex.run(@rust, ["args"], stdin: device)
  end

  test "a device that is gone, or never was" do
    {:ok, device} = StringIO.open("text")
    StringIO.close(device)
    assert {:error, %Error{reason: :input}} = echo(device)
    assert {:error, %Error{reason: :input}} = echo(:no_such_device)
  end

  # Answers once, then as it is told.
  defp device(answer) do
    spawn_link(fn -> serve(["first\n", answer]) end)
  end

  defp serve(answers) do
    receive do
      {:io_request, from, ref, :getopts} ->
        send(from, {:io_reply, ref, [encoding: :latin1]})
        serve(answers)

      {:io_request, from, ref, _read} ->
        [answer | rest] = answers
        send(from, {:io_reply, ref, answer})
        serve(if rest == [], do: answers, else: rest)
    end
  end

  test "a device that fails later" do
    for reason <- [:eio, :terminated, {:no_translation, :unicode, :latin1}] do
      assert {:error, %Error{reason: :input} = error} = echo(device({:error, reason}))
      assert Exception.message(error) =~ inspect(reason)
    end

    assert {:ok, %{stdout: "first\n"}} = echo(device(:eof))
  end

  test "a stream of a program's output, and a program as a process, say so too", %{tmp_dir: dir} do
    {:ok, device} = File.open(Path.join(dir, "output"), [:write])

    assert_raise Error, ~r/stdin/, fn ->
      @rust |> Wasmex.stream!(["echo"], stdin: device) |> Enum.to_list()
    end

    assert {:messages, messages} = Process.info(self(), :messages)
    refute Enum.any?(messages, &match?({:wasmex_feeder, _, _}, &1))
  end

  test "output to a device that is full, or gone", %{tmp_dir: dir} do
    {:ok, device} = File.open(Path.join(dir, "read"), [:read, :write])
    File.close(device)
    assert {:error, %Error{reason: :output}} = Wasmex.run(@rust, ["args", "x"], stdout: device)
    {:ok, device} = File.open("/dev/full", [:write])
    assert {:error, %Error{reason: :output}} = Wasmex.run(@rust, ["args", "x"], stdout: device)

    assert {:error, %Error{reason: :output}} =
             Wasmex.run(@rust, ["args", "x"], stdout: :no_such_device)
  end
end
