defmodule Wasmex.Pool.SlotsTest do
  use ExUnit.Case, async: true

  alias Wasmex.Pool.{Limits, Owner, Slots}

  defp slots(size), do: Slots.new(server: self(), size: size, module: nil, policy: :fresh)

  test "an owner is its process" do
    pids = for _ <- 1..1_000, do: spawn(fn -> nil end)
    for pid <- [self() | pids], do: assert(pid |> Owner.of() |> Owner.pid() == pid)
    assert Owner.me() == Owner.of(self())
    words = Enum.map(pids, &Owner.of/1)
    assert words == Enum.uniq(words)
    assert Enum.all?(words, &(&1 > 1))
  end

  test "each place is one owner's at a time, whoever wants it" do
    slots = slots(7)
    claims = for _ <- 1..8, do: Slots.claim(slots, Owner.me())
    assert Enum.sort(claims) == Enum.to_list(0..6) ++ [nil]
    refute Slots.claim_at(slots, 3, 5)
    Slots.release(slots, 3)
    assert Slots.claim(slots, 5) == 3
    refute Slots.inherit(slots, 3, 6, 7)
    assert Slots.inherit(slots, 3, 5, 7)
    assert {3, 7} in Slots.owned(slots)
  end

  # 16 processes take and give back; nobody ever has a place with somebody else.
  test "many at once" do
    slots = slots(3)
    inside = :atomics.new(3, [])

    work = fn _ ->
      for _ <- 1..2_000, slot = Slots.claim(slots, Owner.me()) do
        assert :atomics.add_get(inside, slot + 1, 1) == 1
        :atomics.sub(inside, slot + 1, 1)
        Slots.release(slots, slot)
      end
    end

    1..16 |> Enum.map(&Task.async(fn -> work.(&1) end)) |> Task.await_many(60_000)
    assert Slots.owned(slots) == []
  end

  test "a bucket holds what a second brings, and debts are paid" do
    limits = Limits.new!(calls: 2, fuel: 1_000)
    assert Limits.admit(limits, :a) == :ok
    assert Limits.admit(limits, :a) == :ok
    assert {:error, %{details: %{limit: :calls}}} = Limits.admit(limits, :a)
    assert Limits.admit(limits, :b) == :ok

    Limits.used(limits, :b, %{fuel: 500_000})
    assert {:error, %{details: %{limit: :fuel, retry_after: ms}}} = Limits.admit(limits, :b)
    assert ms in 400_000..500_000
    assert Limits.sweep(limits) == 0
    assert Limits.hash(limits, :a) != Limits.hash(limits, :b)
  end
end
