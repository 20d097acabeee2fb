defmodule Wasmex.Call.Context do
  @moduledoc false
  # The first argument of imported functions of core modules. A call creates it once, when the guest first calls an
  # import. `Wasmex.Call` receives a function for that, so that it does not depend on resources.

  alias Wasmex.{Instance, Memory, StoreOrCaller}

  @type t :: %{
          memory: Memory.t() | nil,
          caller: StoreOrCaller.t() | reference(),
          pid: pid(),
          instance: Instance.t() | nil
        }

  @doc "A function that creates the context, for calls of this instance."
  @spec of(Instance.t()) :: (reference() | nil -> t())
  def of(instance \\ %Instance{}), do: &new(&1, instance)

  defp new(memory, instance) do
    %{
      memory: Memory.__wrap_resource__(memory),
      caller: make_ref(),
      pid: self(),
      instance: instance
    }
  end
end
