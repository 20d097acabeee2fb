defmodule Wasmex.Compiler.FramesTest do
  use ExUnit.Case, async: true

  alias Wasmex.Compiler.Frames

  defp frame(bytes), do: <<byte_size(bytes)::32, bytes::binary>>

  test "frames are the same however they are cut" do
    bytes = frame("one") <> frame("") <> frame("three")

    for size <- 1..byte_size(bytes) do
      chunks =
        for n <- 0..(div(byte_size(bytes), size) - 1), do: binary_part(bytes, n * size, size)

      rest = binary_part(bytes, length(chunks) * size, rem(byte_size(bytes), size))

      {found, frames} =
        Enum.reduce(chunks ++ [rest], {[], %Frames{}}, fn chunk, {found, frames} ->
          {:ok, whole, frames} = Frames.push(frames, chunk, 10)
          {found ++ whole, frames}
        end)

      assert found == ["one", "", "three"]
      assert frames.size == 0
    end
  end

  test "one that is too long is refused before it has come" do
    assert Frames.push(%Frames{}, <<0xFFFFFFFF::32>>, 1_000_000) == :error
    assert {:ok, [], _} = Frames.push(%Frames{}, <<11::32, 1, 2>>, 11)
    assert Frames.push(%Frames{}, <<11::32, 1, 2>>, 10) == :error
  end

  test "invalid hello and reply frames are errors" do
    assert {:ok, true, "build"} = Frames.hello(<<2, 1, "build">>)

    for bytes <- ["", <<2>>, <<9, 1, "build">>, <<2, 7>>],
        do: assert(Frames.hello(bytes) == :error)

    assert Frames.reply(<<0, "artefact">>) == {:ok, "artefact"}
    assert Frames.reply(<<1, "no">>) == {:error, :compile, "no"}
    for bytes <- ["", <<5>>, <<1, 0xFF>>], do: assert(Frames.reply(bytes) == :error)
  end
end
