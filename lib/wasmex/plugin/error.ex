defmodule Wasmex.Plugin.Error do
  @moduledoc """
  An error reported by the plug-in itself.

  `code` is the return value of the function or its exit status, or -1 if it trapped after setting the error. `message` is
  the text from `error_set`, which may be any bytes, or a text with the code if the plug-in set none.
  """

  defexception code: nil, message: nil

  @type t :: %__MODULE__{code: integer(), message: binary()}

  @doc false
  @spec new(integer(), binary() | nil) :: t()
  def new(code, nil),
    do: %__MODULE__{code: code, message: "the plug-in returned the error code #{code}"}

  def new(code, text), do: %__MODULE__{code: code, message: text}

  @impl true
  def message(%__MODULE__{message: message}), do: message
end
