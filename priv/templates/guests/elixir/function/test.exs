defmodule @Name@Test do
  use ExUnit.Case, async: true

  test "calls the guest" do
    pid = start_supervised!(@Name@)
    assert @Name@.greet(pid, "Ada") == {:ok, "Hello, Ada!"}
    assert @Name@.greet(pid, "Grüße 👋") == {:ok, "Hello, Grüße 👋!"}
    assert @Name@.add(pid, 1300, 37) == {:ok, [1337]}
  end
end
