defmodule @Name@ do
  @moduledoc """
  The component in `guests/@name@`, as a process, with the functions of its WIT.

      {:ok, pid} = @Name@.start_link()
      @Name@.Greetings.greet(pid, "Ada")
      #=> {:ok, "Hello, Ada!"}
  """

  # The docs of functions come from the WIT.
  use Wasmex.Component, path: "priv/guests/@name@.wasm", wit: "guests/@name@/wit"
end
