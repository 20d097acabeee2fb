defmodule Wasmex.Socket.Listener do
  @moduledoc """
  A listener that guests accept connections from, see `Wasmex.Socket.listen/1`.

  It stays open while this handle is in use, also between two guests that get it one after the other: connections that come in
  between wait. Guests that have it at the same time share the connections.
  """

  @enforce_keys [:resource]
  defstruct [:resource]

  @type t :: %__MODULE__{resource: reference()}
end
