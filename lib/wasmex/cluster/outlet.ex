defmodule Wasmex.Cluster.Outlet do
  @moduledoc false
  # What a guest prints, sent to the node that called it. At most so many bytes are under way: whoever writes waits for the one
  # that reads, and its guest with it.

  # Bytes that may be under way.
  @window 256 * 1024

  @enforce_keys [:to, :tag]
  defstruct [:to, :tag, sent: 0]

  @typedoc "An alias of the process that reads, the tag of its messages, and bytes that it has not said yet that it took."
  @type t :: %__MODULE__{to: reference(), tag: reference(), sent: non_neg_integer()}

  @doc "Sends an element of so many bytes, and waits until there is room for another one."
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
