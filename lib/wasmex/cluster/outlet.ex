defmodule Wasmex.Cluster.Outlet do
  @moduledoc false
  # Sends a guest's output to the calling node. The number of unacknowledged bytes is limited: the writer waits for the
  # reader, and its guest with it.

  # Maximum number of unacknowledged bytes.
  @window 256 * 1024

  @enforce_keys [:to, :tag]
  defstruct [:to, :tag, sent: 0]

  @typedoc "An alias of the reading process, the tag of its messages, and the number of unacknowledged bytes."
  @type t :: %__MODULE__{to: reference(), tag: reference(), sent: non_neg_integer()}

  @doc "Sends an element with this number of bytes, and waits until there is room for another one."
  @spec put(t(), term(), non_neg_integer()) :: t()
  def put(%__MODULE__{to: to, tag: tag} = outlet, element, size) do
    send(to, {tag, :out, self(), size, element})
    room(%{outlet | sent: outlet.sent + size})
  end

  defp room(%{sent: sent} = outlet) when sent < @window, do: outlet

  defp room(%{tag: tag} = outlet) do
    receive do
      {^tag, {:taken, size}} -> room(%{outlet | sent: outlet.sent - size})
    end
  end

  defimpl Collectable do
    @impl true
    def into(outlet) do
      {outlet,
       fn
         outlet, {:cont, bytes} -> @for.put(outlet, bytes, byte_size(bytes))
         outlet, :done -> outlet
         _outlet, :halt -> :ok
       end}
    end
  end
end
