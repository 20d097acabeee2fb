defmodule Wasmex.Plugin.Error do
  @moduledoc """
  An error that the plug-in itself told.

  `code` is what the function returned, or the status it exited with; -1 when it trapped after it had set the error.
  `message` is the text that the plug-in set (`error_set`), any bytes; where there is only a code it says so.
  """

  defexception code: nil, message: nil

  @type t :: %__MODULE__{code: integer(), message: binary()}

  @doc false
  @spec new(integer(), binary() | nil) :: t()
  def new(code, nil),
    do: %__MODULE__{code: code, message: "the plug-in returned the code #{code}"}

  def new(code, text), do: %__MODULE__{code: code, message: text}

  @impl true
  def message(%__MODULE__{message: message}), do: message
end
