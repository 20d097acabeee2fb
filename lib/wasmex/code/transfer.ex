defmodule Wasmex.Code.Transfer do
  @moduledoc false
  # Fetches bytes from other nodes: in parts, so that a large code does not block the connection, and accepted only if
  # the hash matches.

  alias Wasmex.{Code, Components, Engine, Error, Native}
  alias Wasmex.Code.Store

  @part 1024 * 1024
  # Timeout of one reply in ms.
  @patience 15_000

  @doc "Fetches from the node where it was created, or any other that has it."
  @spec fetch(binary(), non_neg_integer(), node()) :: {:ok, binary()} | {:error, Error.t()}
  def fetch(hash, size, origin) do
    others = Enum.uniq([origin | Node.list()]) -- [node()]
    fetch_from(others, hash, size, [])
  end

  defp fetch_from([], hash, _size, asked) do
    message =
      "no node has the code #{Code.short(hash)}: asked #{inspect(Enum.reverse(asked))}; create it again from its file, or " <>
        "send it with its bytes (Wasmex.Code.pack/1)"

    {:error, %Error{reason: :code_unavailable, details: %{hash: hash, message: message}}}
  end

  defp fetch_from([node | nodes], hash, size, asked) do
    with {:ok, ^size} <- remote(node, Store, :size, [hash]),
         {:ok, parts} <- parts(node, hash, size, 0, []),
         {:ok, bytes} <- checked(hash, parts) do
      {:ok, bytes}
    else
      {:error, %Error{reason: :code_damaged}} = error -> error
      _not_there -> fetch_from(nodes, hash, size, [node | asked])
    end
  end

  defp parts(_node, _hash, size, size, parts), do: {:ok, Enum.reverse(parts)}

  defp parts(node, hash, size, offset, parts) do
    with {:ok, part} when part != "" <- remote(node, Store, :part, [hash, offset, @part]),
         do: parts(node, hash, size, offset + byte_size(part), [part | parts])
  end

  defp checked(hash, parts) do
    bytes = IO.iodata_to_binary(parts)
    if :crypto.hash(:sha256, bytes) == hash, do: {:ok, bytes}, else: damaged(hash)
  end

  @doc "The error for bytes that do not match the hash."
  @spec damaged(binary()) :: {:error, Error.t()}
  def damaged(hash) do
    message = "the received bytes do not match the code #{Code.short(hash)}"
    {:error, %Error{reason: :code_damaged, details: %{hash: hash, message: message}}}
  end

  @doc "The artefact of the code's node, if it fits this version, these settings and this processor."
  @spec artefact(Code.t(), Engine.t()) :: {:ok, binary()} | :none
  def artefact(%Code{origin: origin} = code, engine) do
    print = Native.engine_fingerprint(Engine.resource(engine))

    with {:ok, hash, size} <- remote(origin, __MODULE__, :offer, [%{code | bytes: nil}, print]),
         {:ok, bytes} <- fetch_from([origin], hash, size, []) do
      {:ok, bytes}
    else
      _ -> :none
    end
  end

  @doc "For other nodes: puts the artefact compiled here into the store, if there is one that fits them."
  @spec offer(Code.t(), non_neg_integer()) :: {:ok, binary(), non_neg_integer()} | :none
  def offer(%Code{} = code, print) do
    engine = Code.engine(code)

    with true <- Native.engine_fingerprint(Engine.resource(engine)) == print,
         {:ok, compiled} <- Code.compiled(code),
         {:ok, artefact} <- serialize(compiled) do
      {:ok, Store.put(artefact), byte_size(artefact)}
    else
      _ -> :none
    end
  end

  defp serialize(%Wasmex.Module{} = module), do: Wasmex.Module.serialize(module)
  defp serialize(component), do: Components.Component.serialize(component)

  # The other node may be gone, slow, or not have this function.
  defp remote(node, module, function, args) do
    :erpc.call(node, module, function, args, @patience)
  catch
    _kind, _reason -> :error
  end
end
