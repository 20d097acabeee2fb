defmodule @Name@Test do
  use ExUnit.Case, async: true

  test "calls the guest" do
    pid = start_supervised!({@Name@, wasi: true})
    assert @Name@.Greetings.greet(pid, "Ada", timeout: :infinity) == {:ok, "Hello, Ada!"}
  end
end
