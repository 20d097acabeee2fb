defmodule Wasmex.Pool.Owner do
  @moduledoc false
  # A local process as a number, so that one atomic operation takes a place and records its owner, whatever happens to
  # the process afterwards. 0 means free.
  #
  # A pid consists of two numbers (`<0.id.serial>`), which are at the end of its external term format.

  import Bitwise

  # Bits of the id: a local pid has 60 bits, 28 of them for the id.
  @id 28
  @word :"$wasmex_owner"

  @type t :: pos_integer()

  @doc "The calling process's number, cached in its dictionary because it takes half a microsecond."
  @spec me() :: t()
  def me do
    case Process.get(@word) do
      nil -> tap(of(self()), &Process.put(@word, &1))
      word -> word
    end
  end

  @doc "The number of a local process."
  @spec of(pid()) :: t()
  def of(pid) do
    {_head, <<id::32, serial::32, _creation::32>>} = split(pid)
    (serial <<< @id ||| id) + 1
  end

  @doc "The process with a number."
  @spec pid(t()) :: pid()
  def pid(word) do
    {head, <<_::64, creation::32>>} = split(self())
    {id, serial} = {word - 1 &&& (1 <<< @id) - 1, (word - 1) >>> @id}
    :erlang.binary_to_term(<<head::binary, id::32, serial::32, creation::32>>)
  end

  defp split(pid) do
    external = :erlang.term_to_binary(pid)
    :erlang.split_binary(external, byte_size(external) - 12)
  end
end
