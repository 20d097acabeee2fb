defmodule @Name@Test do
  use ExUnit.Case, async: true

  test "responds to a request" do
    {:ok, function} = @Name@.load()
    request = Wasmex.HTTP.Request.new("GET", "/?name=Ada", [{"host", "localhost"}], "")
    assert %{status: 200, body: "Hello, name=Ada!\n"} = Wasmex.HTTP.call(function, request)
  end
end
