defmodule Wasmex.Socket.Listener do
  @moduledoc """
  A listener for guests, see `Wasmex.Socket.listen/1`.

  It stays open while this handle is in use, also between two guests: connections that arrive in between wait. Guests
  that have it at the same time share the connections.
  """

  @enforce_keys [:resource]
  defstruct [:resource]

  @type t :: %__MODULE__{resource: reference()}
end
