defmodule Wasmex.Components.KeyValue.ETSTest do
  use ExUnit.Case, async: true

  alias Wasmex.Components.KeyValue.ETS

  defp bucket(opts \\ []) do
    {ETS, backend} = ETS.new(["a", "b"], opts)
    {:ok, bucket} = ETS.open(backend, "a")
    {backend, bucket}
  end

  defp used({table, _, _}), do: :ets.lookup(table, :used)

  test "keys come in pages, whatever is set and deleted between them" do
    {backend, bucket} = bucket()
    {:ok, other} = ETS.open(backend, "b")
    for n <- 1..2_500, do: :ok = ETS.set(bucket, "k#{n}", "")
    :ok = ETS.set(other, "x", "")

    assert {:ok, first, cursor} = ETS.keys(bucket, nil)
    assert first == for(n <- 1..1_000, do: "k#{n}")

    # Neither a key before the cursor nor one after it moves the others.
    :ok = ETS.delete(bucket, "k1")
    :ok = ETS.delete(bucket, "k1001")
    :ok = ETS.set(bucket, "k2", "again")
    :ok = ETS.set(bucket, "new", "")
    assert {:ok, second, cursor} = ETS.keys(bucket, cursor)
    assert second == for(n <- 1_002..2_001, do: "k#{n}")
    assert {:ok, third, nil} = ETS.keys(bucket, cursor)
    assert third == for(n <- 2_002..2_500, do: "k#{n}") ++ ["new"]

    assert ETS.keys(bucket, 0xFFFF_FFFF_FFFF_FFFF) == {:ok, [], nil}
    assert ETS.keys(other, nil) == {:ok, ["x"], nil}
  end

  test "limits: nothing changes beyond them, and what is deleted makes room" do
    {_, bucket} = bucket(max_keys: 2, max_bytes: 20, max_value: 12, max_key: 4)
    assert {:error, "the key is too long" <> _} = ETS.set(bucket, "12345", "")
    assert {:error, "the key is too long" <> _} = ETS.increment(bucket, "12345", 1)

    assert {:error, "the value is too long" <> _} =
             ETS.set(bucket, "k", String.duplicate("x", 13))

    assert ETS.set(bucket, "k", "1234567890") == :ok

    assert {:error, "the store is full: it holds at most 20" <> _} =
             ETS.set(bucket, "l", "1234567890")

    assert ETS.increment(bucket, "n", 1) == {:ok, 1}
    assert {:error, "the store is full: it holds at most 2 keys" <> _} = ETS.set(bucket, "o", "")

    assert {:error, "the store is full: it holds at most 20" <> _} =
             ETS.set(bucket, "k", "123456789012")

    assert used(bucket) == [{:used, 2, 20}]
    assert ETS.get(bucket, "k") == {:ok, "1234567890"}

    assert ETS.set(bucket, "k", "") == :ok
    assert ETS.delete(bucket, "k") == :ok
    assert ETS.delete(bucket, "k") == :ok
    assert used(bucket) == [{:used, 1, 9}]
    assert ETS.set(bucket, "o", "") == :ok
    assert_raise ArgumentError, ~r/max_keys/, fn -> ETS.new([], max_keys: 0) end
    assert_raise ArgumentError, fn -> ETS.new([], max: 1) end
  end

  test "many at once: every byte is counted once" do
    {_, bucket} = bucket()

    1..8
    |> Task.async_stream(
      fn worker ->
        for n <- 1..300 do
          :ok = ETS.set(bucket, "k#{rem(n, 7)}", String.duplicate("x", rem(n * worker, 50)))
          if rem(n, 5) == 0, do: :ok = ETS.delete(bucket, "k#{rem(n, 7)}")
          {:ok, _} = ETS.increment(bucket, "n", 1)
        end
      end,
      timeout: :infinity
    )
    |> Stream.run()

    assert ETS.get(bucket, "n") == {:ok, <<2_400::little-64>>}
    {:ok, keys, nil} = ETS.keys(bucket, nil)
    assert keys == Enum.uniq(keys)
    values = for key <- keys, {:ok, value} = ETS.get(bucket, key), do: key <> value
    assert used(bucket) == [{:used, length(keys), IO.iodata_length(values)}]
    # The rows of numbers are those of keys.
    {table, _, _} = bucket
    assert :ets.info(table, :size) == 2 * length(keys) + 2
  end
end
