defmodule Wasmex.Stress.ProgramTest do
  # Programs that end in every way there is, many times: nothing may stay behind.
  use ExUnit.Case, async: false

  alias Wasmex.{Cat, Guest, Leaks, Pipe, Program}

  @moduletag :stress
  @moduletag timeout: 600_000
  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  @rounds Leaks.times(100)

  defp endings do
    [
      fn -> {:ok, _} = Wasmex.run(@rust, ["exit", "3"]) end,
      fn -> {:error, _} = Wasmex.run(@rust, ["panic"], core_dump: true) end,
      fn -> {:error, _} = Wasmex.run(@rust, ["spin"], timeout: 2, profile: true) end,
      fn ->
        {:error, _} = Wasmex.run(@rust, ["sleep", "60000"], timeout: 2, trace: fn _ -> :ok end)
      end,
      fn -> {:error, _} = Wasmex.run(@rust, ["flood"], max_output: 100_000) end,
      fn -> {:ok, _} = Wasmex.run(@rust, ["ls", "/l"], dirs: %{"/l" => {"lib", :ro}}) end,
      fn -> catch_error(Wasmex.run(@rust, ["flood"], stdout: fn _ -> raise "x" end)) end,
      fn ->
        catch_error(Wasmex.run(@rust, ["echo"], stdin: Stream.map(1..9, fn _ -> raise "x" end)))
      end,
      fn -> Wasmex.stream!(@rust, ["flood"]) |> Enum.take(2) end,
      fn -> File.stream!("mix.exs") |> Wasmex.stream!(Cat.template()) |> Enum.take(1) end,
      fn ->
        {:ok, device} = StringIO.open("x")
        {:ok, _} = Wasmex.run(@rust, ["echo"], stdin: device)
        StringIO.close(device)
      end,
      fn ->
        {:ok, pid} = Program.start_link(program: @rust, args: ["echo"])
        Program.write(pid, "x")
        Program.stop(pid)
      end,
      fn ->
        {:ok, pipe} = Pipe.new(mode: :stream)
        args = Enum.random([["spin"], ["sleep", "60000"], ["echo"]])
        before = Wasmex.live_objects()[:execution]
        running? = fn _ -> Wasmex.live_objects()[:execution] > before end
        Guest.kill_while(fn -> Wasmex.run(@rust, args, stdin: pipe) end, running?)
      end
    ]
  end

  test "#{@rounds} of each" do
    for ending <- endings(), do: Leaks.isolated(ending)
    {objects, fds, processes, ports} = Leaks.alive()

    for _ <- 1..@rounds, ending <- endings(), do: assert(Leaks.isolated(ending) == :normal)

    {objects_after, fds_after, processes_after, ports_after} = Leaks.alive()
    assert objects_after == objects
    assert fds_after <= fds + 2
    assert processes_after <= processes + 2
    assert ports_after <= ports
  end
end
