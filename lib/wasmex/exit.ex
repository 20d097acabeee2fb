defmodule Wasmex.Exit do
  @moduledoc """
  The guest called WASI's `proc_exit`. `status` is its exit status, 0 for success.

  Calls return it as an error because the called function did not return. Go programs always end this
  way.

  ## Example

      iex> Exception.message(%Wasmex.Exit{status: 3})
      "the guest exited with status 3"
  """

  defexception status: 0, run: nil

  @type t :: %__MODULE__{status: 0..255 | integer(), run: Wasmex.Run.t() | nil}

  @impl true
  def message(%__MODULE__{status: status}), do: "the guest exited with status #{status}"
end
