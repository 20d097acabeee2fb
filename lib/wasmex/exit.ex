defmodule Wasmex.Exit do
  @moduledoc """
  The guest called WASI's `proc_exit`. `status` is the exit status, an unsigned 32-bit integer; 0 means success. A shell
  only sees the low eight bits.

  Calls return it as an error because the called function did not return. Go programs always end this
  way.

  ## Example

      iex> Exception.message(%Wasmex.Exit{status: 3})
      "the guest exited with status 3"
  """

  defexception status: 0, run: nil

  @type t :: %__MODULE__{status: 0..0xFFFFFFFF, run: Wasmex.Run.t() | nil}

  @impl true
  def message(%__MODULE__{status: status}), do: "the guest exited with status #{status}"
end
