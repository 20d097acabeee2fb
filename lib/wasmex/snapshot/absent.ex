defmodule Wasmex.Snapshot.Absent do
  @moduledoc false
  # Functions that only raise, for each number of arguments of an import.

  @most 64

  @doc "The most parameters of such a function."
  @spec most() :: pos_integer()
  def most, do: @most

  @doc "A function with this number of parameters and a context."
  @spec function(0..64, String.t()) :: fun()
  for count <- 0..@most do
    args = for _ <- 0..count, do: {:_, [], nil}

    def function(unquote(count), message) do
      fn unquote_splicing(args) -> raise ArgumentError, message end
    end
  end
end
