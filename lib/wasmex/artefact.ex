defmodule Wasmex.Artefact do
  @moduledoc false
  # Compiled modules as bytes. wasmtime runs an artefact's machine code unchecked, so each carries a digest
  # of its contents and the fingerprint of its engine, and is refused unless both match. With a key the
  # digest is an HMAC, so that only holders of the key can make an accepted artefact.

  alias Wasmex.{Error, Native}

  @magic "wasmex artefact 1"

  @doc "Whether the bytes have the header of an artefact."
  @spec artefact?(binary()) :: boolean()
  def artefact?(bytes), do: match?(@magic <> _, bytes)

  @doc "wasmtime's artefact with its digest, as parts: it is large, and copying it in one go would hold a scheduler."
  @spec pack(reference(), binary(), binary() | nil) :: [binary()]
  def pack(engine, artefact, key \\ nil) do
    body = [<<Native.engine_fingerprint(engine)::64>>, artefact]
    [@magic, digest(body, key) | body]
  end

  @spec unpack(reference(), binary(), binary() | nil) :: {:ok, binary()} | {:error, Error.t()}
  def unpack(engine, @magic <> <<digest::binary-32, body::binary>>, key) do
    <<fingerprint::64, artefact::binary>> = pad(body)

    cond do
      not equal?(digest, digest([body], key), key) ->
        refuse("the artefact was modified or damaged, or was made with another key")

      fingerprint != Native.engine_fingerprint(engine) ->
        refuse("the artefact was made with other engine settings or another version")

      true ->
        {:ok, artefact}
    end
  end

  def unpack(_engine, _bytes, _key),
    do:
      refuse("these bytes are not an artefact of Wasmex.Module.serialize/2 or a similar function")

  @doc "The options of functions that create or load artefacts."
  @spec options() :: keyword(keyword())
  def options do
    [
      key: [
        type: {:or, [nil], :secret},
        doc: "signs the artefact (HMAC), so that it is only accepted with the same key",
        example: ~s|"a secret"|
      ]
    ]
  end

  @doc "The payload, unverified. Also accepts artefacts of wasmtime itself."
  @spec payload(binary()) :: binary()
  def payload(@magic <> <<_digest::binary-32, _fingerprint::64, artefact::binary>>), do: artefact
  def payload(bytes), do: bytes

  defp pad(<<_::64, _::binary>> = body), do: body
  defp pad(_short), do: <<0::64>>

  defp digest(body, nil), do: Native.digest_sha256([@magic | body])

  # One by one: of several parts, `:crypto.mac/4` makes one binary, on this scheduler.
  defp digest(body, key) do
    [@magic | body]
    |> Enum.reduce(:crypto.mac_init(:hmac, :sha256, key), &:crypto.mac_update(&2, &1))
    |> :crypto.mac_final()
  end

  # In constant time, so that timing does not reveal how much of a forged HMAC is right.
  defp equal?(left, right, nil), do: left == right
  defp equal?(left, right, _key), do: :crypto.exor(left, right) == <<0::256>>

  defp refuse(message), do: {:error, %Error{reason: :artefact, details: %{message: message}}}
end
