defmodule Wasmex.Cluster.Inlet do
  @moduledoc false
  # A body on another node, read one element at a time: the next one is requested when the guest wants it, so nothing is
  # sent before it is needed. `Wasmex.Cluster.StreamedCall` replies.

  @enforce_keys [:to, :tag]
  defstruct [:to, :tag]

  @typedoc "An alias of the process with the body, and the tag of its messages."
  @type t :: %__MODULE__{to: reference(), tag: reference()}

  @doc false
  # `Wasmex.Cluster.Callers` monitors the process with the body and ends this process with it.
  @spec next(t()) :: {[term()], t()} | {:halt, t()}
  def next(%__MODULE__{to: to, tag: tag} = inlet) do
    send(to, {tag, :more, self()})

    receive do
      {^tag, {:element, element}} -> {[element], inlet}
      {^tag, :ended} -> {:halt, inlet}
    end
  end

  defimpl Enumerable do
    @impl true
    def reduce(inlet, acc, fun) do
      stream = Stream.resource(fn -> inlet end, &@for.next/1, fn _inlet -> :ok end)
      Enumerable.reduce(stream, acc, fun)
    end

    @impl true
    def count(_inlet), do: {:error, __MODULE__}
    @impl true
    def member?(_inlet, _element), do: {:error, __MODULE__}
    @impl true
    def slice(_inlet), do: {:error, __MODULE__}
  end
end
