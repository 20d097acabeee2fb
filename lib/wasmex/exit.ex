defmodule Wasmex.Exit do
  @moduledoc """
  A WASI program that ended itself with `proc_exit`; `status` is its exit status, 0 for success.

  It is an error to the function that called the guest, for that function never returned. A Go
  program always ends this way.

  ## Example

      iex> Exception.message(%Wasmex.Exit{status: 3})
      "the guest exited with status 3"
  """

  defexception status: 0, run: nil

  @type t :: %__MODULE__{status: 0..255 | integer(), run: Wasmex.Run.t() | nil}

  @impl true
  def message(%__MODULE__{status: status}), do: "the guest exited with status #{status}"
end
