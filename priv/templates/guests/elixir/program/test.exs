defmodule @Name@Test do
  use ExUnit.Case, async: true

  test "runs the guest" do
    assert {:ok, %{status: 0, stdout: out}} = @Name@.run(["Ada"], stdin: "12345")
    assert out == "Hello, Ada! (5 bytes of input)\n"
  end
end
