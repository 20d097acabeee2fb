defmodule @Name@Test do
  use ExUnit.Case, async: true

  test "calls the guest" do
    {:ok, plugin} = @Name@.new()
    assert Wasmex.Plugin.call(plugin, "greet", "Ada") == {:ok, "Hello, Ada!"}
  end
end
