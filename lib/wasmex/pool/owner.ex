defmodule Wasmex.Pool.Owner do
  @moduledoc false
  # A local process as a number, so that one atomic operation takes a place and says whose it is: whatever happens to the
  # process afterwards, the place tells who has it. 0 is nobody.
  #
  # A pid is two numbers (`<0.id.serial>`), which the external term format has at its end.

  import Bitwise

  # Bits of an id: a local pid is 60 bits in all, the id 28 of them.
  @id 28
  @word :"$wasmex_owner"

  @type t :: pos_integer()

  @doc "This process. Kept in its dictionary, for it takes half a microsecond."
  @spec me() :: t()
  def me do
    case Process.get(@word) do
      nil -> tap(of(self()), &Process.put(@word, &1))
      word -> word
    end
  end

  @doc "A process of this node."
  @spec of(pid()) :: t()
  def of(pid) do
    {_head, <<id::32, serial::32, _creation::32>>} = split(pid)
    (serial <<< @id ||| id) + 1
  end

  @doc "The process of a number."
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
