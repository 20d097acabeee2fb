defmodule Wasmex.Call.Context do
  @moduledoc false
  # The parts of the first argument of imported functions of core modules. A call creates them once, when the guest first
  # calls an import, and `Wasmex.Call` makes the map of them and of what each import adds. It receives a function for
  # that, so that it does not depend on resources.

  alias Wasmex.{Instance, Memory, StoreOrCaller}

  @typedoc "The memory; the module, reference and tags of the caller's struct; the process; the instance."
  @type t ::
          {Memory.t() | nil, StoreOrCaller, reference(), map(), pid(), Instance.t() | nil}

  @doc "A function that creates the parts, for calls of this instance."
  @spec of(Instance.t()) :: (reference() | nil -> t())
  def of(instance \\ %Instance{}), do: &new(&1, instance)

  defp new(memory, instance),
    do: {Memory.__wrap_resource__(memory), StoreOrCaller, make_ref(), %{}, self(), instance}
end
