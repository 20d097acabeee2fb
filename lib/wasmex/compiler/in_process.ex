defmodule Wasmex.Compiler.InProcess do
  @moduledoc false
  # Compiles on threads of the VM, see native/wasmex/src/vm/compiling.rs. The result arrives as a message.

  alias Wasmex.Compiler.Queue
  alias Wasmex.Error

  @doc """
  Calls the function, which starts a compile with a reference, the maximum queue length and what may be compiled here, and
  waits for the result. If only `:quick` code may, other code is the error `:expensive`.
  """
  @spec await(
          :any | :quick,
          (reference(), pos_integer(), :any | :quick -> :ok | :full | {:error, term()})
        ) ::
          {:ok, term()} | {:error, Exception.t()}
  def await(which, begin) do
    reference = make_ref()
    most = Queue.most(:compile_queue)

    case begin.(reference, most, which) do
      :ok -> native(receive do: ({:wasmex_compiled, ^reference, result} -> result))
      :full -> {:error, %Error{reason: :compile_queue_full, details: %{limit: most}}}
      error -> native(error)
    end
  end

  defp native({:error, native}), do: {:error, Error.from_native(native)}
  defp native(ok), do: ok
end
