defmodule Wasmex.Layouts do
  @moduledoc false
  # For tests of both ways of making and reading terms: as the VM has them in memory, and through its interface.

  alias Wasmex.Native

  @doc "Calls the function with the VM's layouts used, and not."
  @spec both((() -> result)) :: [result] when result: term()
  def both(function) do
    alone(fn ->
      for used <- [true, false] do
        Native.vm_layout_use(used)
        function.()
      end
    end)
  end

  @doc "Calls the function, which may choose with `Native.vm_layout_use/1`, while no other test does."
  @spec alone((() -> result)) :: result when result: term()
  def alone(function) do
    :global.trans({__MODULE__, self()}, fn ->
      try do
        function.()
      after
        Native.vm_layout_use(true)
      end
    end)
  end
end
