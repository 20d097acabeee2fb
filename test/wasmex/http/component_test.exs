defmodule Wasmex.HTTP.ComponentTest do
  use ExUnit.Case, async: true

  alias Wasmex.HTTP.Component

  test "a component's field named status is a field" do
    printed = "Status: 201\r\nstatus: 500\r\nx: y\r\ncontent-length: 7\r\n\r\nbody"
    assert Component.head(printed) == {:head, 201, [{"status", "500"}, {"x", "y"}], "body"}
    assert Component.head("Status: 201\r\nx: ") == :more
    assert {:error, _} = Component.head("Status: 103\r\n\r\n")
  end
end
