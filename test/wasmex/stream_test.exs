defmodule Wasmex.StreamTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Cat, Error, Exit, Trap}

  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  test "programs compose, lazily" do
    lines =
      File.stream!("mix.exs")
      |> Wasmex.stream!(@rust, ["echo"])
      |> Wasmex.stream!(Cat.template())
      |> Wasmex.stream!(@rust, ["echo"], as: :lines)

    assert Enum.take(lines, 1) == ["defmodule Wasmex.MixProject do"]
    assert Enum.to_list(lines) == "mix.exs" |> File.read!() |> String.split("\n") |> Enum.drop(-1)
  end

  test "halting stops the guest and lets its input go" do
    test = self()

    input = Stream.resource(fn -> 1 end, &{["x"], &1}, fn _ -> send(test, :input_closed) end)

    assert ["x"] = input |> Wasmex.stream!(Cat.template()) |> Enum.take(1)
    assert_received :input_closed
    assert [chunk] = Wasmex.stream!(@rust, ["flood"]) |> Enum.take(1)
    assert byte_size(chunk) > 0
  end

  test "the guest is slowed down by its reader" do
    read = :counters.new(1, [])

    input =
      Stream.repeatedly(fn ->
        :counters.add(read, 1, 1)
        :binary.copy("x", 64 * 1024)
      end)

    [_, _] = input |> Wasmex.stream!(Cat.template()) |> Enum.take(2)
    # A pipe's worth ahead and no more.
    assert :counters.get(read, 1) < 20
  end

  test "a reader that raises stops the guest" do
    test = self()
    input = Stream.resource(fn -> 1 end, &{["x"], &1}, fn _ -> send(test, :input_closed) end)

    assert_raise RuntimeError, "reader", fn ->
      input |> Wasmex.stream!(Cat.template()) |> Enum.each(fn _ -> raise "reader" end)
    end

    assert_received :input_closed
  end

  test "an input that raises goes through" do
    input = Stream.map(1..3, fn n -> if n < 3, do: "#{n}", else: raise("writer") end)

    assert_raise RuntimeError, "writer", fn ->
      input |> Wasmex.stream!(Cat.template()) |> Enum.to_list()
    end
  end

  test "an exit status other than 0, a trap and a timeout raise, after what was printed" do
    {:ok, seen} = Agent.start_link(fn -> "" end)
    read = fn stream -> Enum.each(stream, fn bytes -> Agent.update(seen, &(&1 <> bytes)) end) end

    assert %Exit{status: 3, run: run} =
             catch_error(read.(Wasmex.stream!("test/guests/go_main/go_main.wasm", ["3"])))

    assert Agent.get(seen, & &1) =~ "args:"
    assert run.stderr =~ "a line on stderr"
    assert %Trap{} = catch_error(read.(Wasmex.stream!(@rust, ["panic"])))

    assert %Error{reason: :timeout} =
             catch_error(read.(Wasmex.stream!(@rust, ["spin"], timeout: 20)))

    assert %Error{reason: :file} = catch_error(read.(Wasmex.stream!("no/such.wasm")))
  end

  test "lines end where they end" do
    lines = &Enum.to_list(Wasmex.stream!(&1, Cat.template(), [], as: :lines))
    assert lines.(["a\nb", "c\n", "\n", "d"]) == ["a", "bc", "", "d"]
    assert lines.(["\n\n"]) == ["", ""]
    assert lines.([]) == []
  end

  test "mistakes are told when the stream is made" do
    assert_raise ArgumentError, ~r/as/, fn -> Wasmex.stream!(@rust, [], as: :words) end
    assert_raise ArgumentError, ~r/stdout/, fn -> Wasmex.stream!(@rust, [], stdout: :null) end
    assert_raise ArgumentError, ~r/timout/, fn -> Wasmex.stream!(@rust, [], timout: 1) end
  end
end
