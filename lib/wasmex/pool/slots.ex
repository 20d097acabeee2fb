defmodule Wasmex.Pool.Slots do
  @moduledoc false
  # The places of a pool, in shared memory: their owners, the number of uses of each worker, and their keys. Taking and
  # freeing are one atomic operation each, without asking a process.
  #
  # Each place has its own 64 bytes, so that schedulers do not contend for a cache line. The first 64 bytes belong to
  # the pool: flags of waiting processes, and the generation of workers.

  import Bitwise

  alias Wasmex.Pool.Owner

  @enforce_keys [:server, :atomics, :table, :size, :partitions, :module, :policy]
  defstruct [
    # The pool's process.
    :server,
    :atomics,
    # Rows: `{slot, generation, worker}`, and `{:worker, generation, {module, argument}}`, which creates workers.
    :table,
    :size,
    # The number of schedulers with a part of the places.
    :partitions,
    # The `Wasmex.Pool.Worker`.
    :module,
    :policy,
    # `Wasmex.Pool.Limits` of each key, or nil.
    :limits
  ]

  @type t :: %__MODULE__{}
  @type slot :: non_neg_integer()

  # Words of the pool, and of each place.
  @stride 8
  @waiting 1
  @generation 2
  @owner 1
  @uses 2
  @key 3
  @stamp 4

  # The caller's last worker, with its stamp.
  @cached :"$wasmex_worker"

  @parked 32

  @compile {:inline,
            word: 2, claim_at: 3, release: 2, crowded?: 1, awaited?: 1, generation: 1, used: 2}

  @doc "Creates free places; the fields are those of the struct."
  @spec new(keyword()) :: t()
  def new(fields) do
    size = Keyword.fetch!(fields, :size)

    struct!(
      __MODULE__,
      [
        atomics: :atomics.new((size + 1) * @stride, signed: false),
        table: :ets.new(__MODULE__, [:public, read_concurrency: true, write_concurrency: true]),
        partitions: min(size, System.schedulers())
      ] ++ fields
    )
  end

  defp word(slot, field), do: (slot + 1) * @stride + field

  @doc "Takes a free place for this owner, starting with this scheduler's part; nil if there is none."
  @spec claim(t(), Owner.t()) :: slot() | nil
  def claim(%__MODULE__{size: size, partitions: partitions} = slots, owner) do
    part = rem(:erlang.system_info(:scheduler_id), partitions)
    first = div(part * size, partitions)

    if claim_at(slots, first, owner),
      do: first,
      else: claim(slots, owner, first + 1, first + size)
  end

  defp claim(_slots, _owner, last, last), do: nil

  defp claim(%{size: size, atomics: atomics} = slots, owner, at, last) do
    slot = if at >= size, do: at - size, else: at

    # Read first: a failed exchange moves the cache line away from its owner.
    if :atomics.get(atomics, word(slot, @owner)) == 0 and claim_at(slots, slot, owner),
      do: slot,
      else: claim(slots, owner, at + 1, last)
  end

  @doc "Takes this place for the owner; false if it is not free."
  @spec claim_at(t(), slot(), Owner.t()) :: boolean()
  def claim_at(%__MODULE__{atomics: atomics}, slot, owner),
    do: :atomics.compare_exchange(atomics, word(slot, @owner), 0, owner) == :ok

  @doc "Whether a place is free and no process waits."
  @spec room?(t()) :: boolean()
  def room?(%__MODULE__{size: size} = slots),
    do: not crowded?(slots) and Enum.any?(0..(size - 1), &(owner(slots, &1) == 0))

  @doc "Takes a place from a dead owner; false if it did not have it any more."
  @spec inherit(t(), slot(), Owner.t(), Owner.t()) :: boolean()
  def inherit(%__MODULE__{atomics: atomics}, slot, dead, owner),
    do: :atomics.compare_exchange(atomics, word(slot, @owner), dead, owner) == :ok

  @doc "Frees the place."
  @spec release(t(), slot()) :: :ok
  def release(%__MODULE__{atomics: atomics, limits: nil}, slot),
    do: :atomics.put(atomics, word(slot, @owner), 0)

  def release(%__MODULE__{atomics: atomics}, slot) do
    :atomics.put(atomics, word(slot, @key), 0)
    :atomics.put(atomics, word(slot, @owner), 0)
  end

  @spec owner(t(), slot()) :: Owner.t() | 0
  def owner(%__MODULE__{atomics: atomics}, slot), do: :atomics.get(atomics, word(slot, @owner))

  @doc "The places in use, with their owners."
  @spec owned(t()) :: [{slot(), Owner.t()}]
  def owned(%__MODULE__{size: size} = slots),
    do: for(slot <- 0..(size - 1), owner = owner(slots, slot), owner != 0, do: {slot, owner})

  @doc "Counts a use of the worker and returns their number."
  @spec used(t(), slot()) :: pos_integer()
  def used(%__MODULE__{atomics: atomics}, slot),
    do: :atomics.add_get(atomics, word(slot, @uses), 1)

  @spec uses(t(), slot()) :: non_neg_integer()
  def uses(%__MODULE__{atomics: atomics}, slot), do: :atomics.get(atomics, word(slot, @uses))

  @doc "Sets the key of a place: a number from `Wasmex.Pool.Limits.hash/2`."
  @spec put_key(t(), slot(), pos_integer()) :: :ok
  def put_key(%__MODULE__{atomics: atomics}, slot, key),
    do: :atomics.put(atomics, word(slot, @key), key)

  @spec key(t(), slot()) :: non_neg_integer()
  def key(%__MODULE__{atomics: atomics}, slot), do: :atomics.get(atomics, word(slot, @key))

  @doc "The number of places in use for a key. Counted each time, so dead processes cannot corrupt it."
  @spec count_key(t(), pos_integer()) :: non_neg_integer()
  def count_key(%__MODULE__{size: size} = slots, key) do
    Enum.count(0..(size - 1), fn slot -> key(slots, slot) == key and owner(slots, slot) != 0 end)
  end

  @doc "Sets the number of processes waiting for a place, and for a place of their key."
  @spec put_waiting(t(), non_neg_integer(), non_neg_integer()) :: :ok
  def put_waiting(%__MODULE__{atomics: atomics}, waiting, parked),
    do: :atomics.put(atomics, @waiting, parked <<< @parked ||| waiting)

  @doc "Whether a process waits for any place; it has priority."
  @spec crowded?(t()) :: boolean()
  def crowded?(%__MODULE__{atomics: atomics}),
    do: (:atomics.get(atomics, @waiting) &&& (1 <<< @parked) - 1) != 0

  @doc "Whether the pool must be notified of a free place."
  @spec awaited?(t()) :: boolean()
  def awaited?(%__MODULE__{atomics: atomics}), do: :atomics.get(atomics, @waiting) != 0

  @spec generation(t()) :: non_neg_integer()
  def generation(%__MODULE__{atomics: atomics}), do: :atomics.get(atomics, @generation)

  @doc "Sets the worker module and argument for new workers."
  @spec put_argument(t(), term()) :: :ok
  def put_argument(%__MODULE__{atomics: atomics, table: table} = slots, argument) do
    generation = generation(slots) + 1
    :ets.insert(table, {:worker, generation, argument})
    :atomics.put(atomics, @generation, generation)
  end

  @spec argument(t()) :: {non_neg_integer(), term()}
  def argument(%__MODULE__{table: table}) do
    [{:worker, generation, argument}] = :ets.lookup(table, :worker)
    {generation, argument}
  end

  @doc """
  The worker of a place held by this process, with its generation.

  Reading the table copies the worker, which takes as long as the rest of a checkout. So the last one stays in the
  caller's process dictionary, for as long as the place has the same stamp: each worker's is different, in all pools.
  """
  @spec worker(t(), slot()) :: {non_neg_integer(), term()} | nil
  def worker(%__MODULE__{atomics: atomics} = slots, slot) do
    case :atomics.get(atomics, word(slot, @stamp)) do
      0 ->
        nil

      stamp ->
        case Process.get(@cached) do
          {^stamp, found} -> found
          _ -> read_worker(slots, slot, stamp)
        end
    end
  end

  defp read_worker(%{table: table}, slot, stamp) do
    case :ets.lookup(table, slot) do
      [{_slot, generation, worker}] ->
        found = {generation, worker}
        Process.put(@cached, {stamp, found})
        found

      [] ->
        nil
    end
  end

  @spec put_worker(t(), slot(), non_neg_integer(), term()) :: true
  def put_worker(%__MODULE__{atomics: atomics} = slots, slot, generation, worker) do
    :atomics.put(atomics, word(slot, @uses), 0)
    change_worker(slots, slot, generation, worker)
  end

  @doc "Replaces the worker of a place, keeping its number of uses."
  @spec change_worker(t(), slot(), non_neg_integer(), term()) :: true
  def change_worker(%__MODULE__{table: table, atomics: atomics}, slot, generation, worker) do
    :ets.insert(table, {slot, generation, worker})
    :atomics.put(atomics, word(slot, @stamp), :erlang.unique_integer([:positive]))
    true
  end

  @doc "Removes the worker of a place; the caller must close it."
  @spec take_worker(t(), slot()) :: {:ok, term()} | nil
  def take_worker(%__MODULE__{table: table, atomics: atomics}, slot) do
    :atomics.put(atomics, word(slot, @stamp), 0)

    case :ets.take(table, slot) do
      [{_slot, _generation, worker}] -> {:ok, worker}
      [] -> nil
    end
  end

  @doc "Statistics, read from the places without asking a process."
  @spec stats(t()) :: %{
          in_use: non_neg_integer(),
          idle: non_neg_integer(),
          waiting: non_neg_integer()
        }
  def stats(%__MODULE__{atomics: atomics, size: size} = slots) do
    in_use = Enum.count(0..(size - 1), &(owner(slots, &1) != 0))
    idle = slots |> with_workers() |> Enum.count(&(owner(slots, &1) == 0))
    word = :atomics.get(atomics, @waiting)

    %{
      in_use: in_use,
      idle: idle,
      waiting: (word &&& (1 <<< @parked) - 1) + (word >>> @parked)
    }
  end

  @doc "Whether the pool has ended, and its table with it."
  @spec gone?(t()) :: boolean()
  def gone?(%__MODULE__{table: table}), do: :ets.info(table, :id) == :undefined

  @doc "The places with a worker."
  @spec with_workers(t()) :: [slot()]
  def with_workers(%__MODULE__{table: table}),
    do: :ets.select(table, [{{:"$1", :_, :_}, [{:is_integer, :"$1"}], [:"$1"]}])
end
