defmodule Wasmex.Call.Context do
  @moduledoc false
  # What an imported function of a core module is given besides its parameters. A call makes it once, when the guest first
  # calls an import: `Wasmex.Call` is told how, so that it depends on no resource.

  alias Wasmex.{Instance, Memory, StoreOrCaller}

  @type t :: %{
          memory: Memory.t() | nil,
          caller: StoreOrCaller.t() | reference(),
          pid: pid(),
          instance: Instance.t() | nil
        }

  @doc "How to make the context of calls of an instance, or of no instance yet."
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
