defmodule Wasmex.Pool.Slots do
  @moduledoc false
  # The places of a pool, in memory that all processes share: who has each, how often its worker was used, for which key.
  # Taking and giving back is one atomic operation each, and asks no process.
  #
  # Each place has 64 bytes of its own, so that schedulers do not fight for a cache line. The first 64 bytes are the
  # pool's: who waits, and the generation of workers.

  import Bitwise

  alias Wasmex.Pool.Owner

  @enforce_keys [:server, :atomics, :table, :size, :partitions, :module, :policy]
  defstruct [
    # The pool's process.
    :server,
    :atomics,
    # Rows: `{slot, generation, worker}`, and `{:worker, generation, {module, argument}}`, of which workers are made.
    :table,
    :size,
    # How many schedulers begin at places of their own.
    :partitions,
    # The `Wasmex.Pool.Worker`.
    :module,
    :policy,
    # `Wasmex.Pool.Limits` for each key, or nil.
    :limits
  ]

  @type t :: %__MODULE__{}
  @type slot :: non_neg_integer()

  # Words: of the pool, and of each place.
  @stride 8
  @waiting 1
  @generation 2
  @owner 1
  @uses 2
  @key 3

  @parked 32

  @compile {:inline,
            word: 2, claim_at: 3, release: 2, crowded?: 1, awaited?: 1, generation: 1, used: 2}

  @doc "Places that are free; the fields are those of the struct."
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

  @doc "A free place for this owner, the first ones of this scheduler's own part first; nil where there is none."
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

    # Read first: a failed exchange takes the cache line away from its owner.
    if :atomics.get(atomics, word(slot, @owner)) == 0 and claim_at(slots, slot, owner),
      do: slot,
      else: claim(slots, owner, at + 1, last)
  end

  @doc "Whether this place was free, and now is this owner's."
  @spec claim_at(t(), slot(), Owner.t()) :: boolean()
  def claim_at(%__MODULE__{atomics: atomics}, slot, owner),
    do: :atomics.compare_exchange(atomics, word(slot, @owner), 0, owner) == :ok

  @doc "Whether one is free and nobody waits for it."
  @spec room?(t()) :: boolean()
  def room?(%__MODULE__{size: size} = slots),
    do: not crowded?(slots) and Enum.any?(0..(size - 1), &(owner(slots, &1) == 0))

  @doc "Takes a place from a dead owner; whether it still had it."
  @spec inherit(t(), slot(), Owner.t(), Owner.t()) :: boolean()
  def inherit(%__MODULE__{atomics: atomics}, slot, dead, owner),
    do: :atomics.compare_exchange(atomics, word(slot, @owner), dead, owner) == :ok

  @doc "The place is free from now on."
  @spec release(t(), slot()) :: :ok
  def release(%__MODULE__{atomics: atomics, limits: nil}, slot),
    do: :atomics.put(atomics, word(slot, @owner), 0)

  def release(%__MODULE__{atomics: atomics}, slot) do
    :atomics.put(atomics, word(slot, @key), 0)
    :atomics.put(atomics, word(slot, @owner), 0)
  end

  @spec owner(t(), slot()) :: Owner.t() | 0
  def owner(%__MODULE__{atomics: atomics}, slot), do: :atomics.get(atomics, word(slot, @owner))

  @doc "Those that somebody has, with their owners."
  @spec owned(t()) :: [{slot(), Owner.t()}]
  def owned(%__MODULE__{size: size} = slots),
    do: for(slot <- 0..(size - 1), owner = owner(slots, slot), owner != 0, do: {slot, owner})

  @doc "Counts a use of the worker; how many there were."
  @spec used(t(), slot()) :: pos_integer()
  def used(%__MODULE__{atomics: atomics}, slot),
    do: :atomics.add_get(atomics, word(slot, @uses), 1)

  @spec uses(t(), slot()) :: non_neg_integer()
  def uses(%__MODULE__{atomics: atomics}, slot), do: :atomics.get(atomics, word(slot, @uses))

  @doc "Says for whom a place is used: a number of `Wasmex.Pool.Limits.hash/2`."
  @spec put_key(t(), slot(), pos_integer()) :: :ok
  def put_key(%__MODULE__{atomics: atomics}, slot, key),
    do: :atomics.put(atomics, word(slot, @key), key)

  @spec key(t(), slot()) :: non_neg_integer()
  def key(%__MODULE__{atomics: atomics}, slot), do: :atomics.get(atomics, word(slot, @key))

  @doc "How many places are used for a key. Counted anew each time, so nothing that dies can spoil it."
  @spec count_key(t(), pos_integer()) :: non_neg_integer()
  def count_key(%__MODULE__{size: size} = slots, key) do
    Enum.count(0..(size - 1), fn slot -> key(slots, slot) == key and owner(slots, slot) != 0 end)
  end

  @doc "How many wait for a place, and how many for a place of their key."
  @spec put_waiting(t(), non_neg_integer(), non_neg_integer()) :: :ok
  def put_waiting(%__MODULE__{atomics: atomics}, waiting, parked),
    do: :atomics.put(atomics, @waiting, parked <<< @parked ||| waiting)

  @doc "Whether somebody waits for any place: nobody may pass them."
  @spec crowded?(t()) :: boolean()
  def crowded?(%__MODULE__{atomics: atomics}),
    do: (:atomics.get(atomics, @waiting) &&& (1 <<< @parked) - 1) != 0

  @doc "Whether somebody wants to hear of a place that came free."
  @spec awaited?(t()) :: boolean()
  def awaited?(%__MODULE__{atomics: atomics}), do: :atomics.get(atomics, @waiting) != 0

  @spec generation(t()) :: non_neg_integer()
  def generation(%__MODULE__{atomics: atomics}), do: :atomics.get(atomics, @generation)

  @doc "From now on workers are made of this."
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

  @doc "The worker of a place that this process has, with its generation."
  @spec worker(t(), slot()) :: {non_neg_integer(), term()} | nil
  def worker(%__MODULE__{table: table}, slot) do
    case :ets.lookup(table, slot) do
      [{_slot, generation, worker}] -> {generation, worker}
      [] -> nil
    end
  end

  @spec put_worker(t(), slot(), non_neg_integer(), term()) :: true
  def put_worker(%__MODULE__{table: table, atomics: atomics}, slot, generation, worker) do
    :atomics.put(atomics, word(slot, @uses), 0)
    :ets.insert(table, {slot, generation, worker})
  end

  @doc "Another worker in the same place, which was used as often."
  @spec change_worker(t(), slot(), non_neg_integer(), term()) :: true
  def change_worker(%__MODULE__{table: table}, slot, generation, worker),
    do: :ets.insert(table, {slot, generation, worker})

  @doc "Forgets the worker of a place, which is the caller's to close."
  @spec take_worker(t(), slot()) :: {:ok, term()} | nil
  def take_worker(%__MODULE__{table: table}, slot) do
    case :ets.take(table, slot) do
      [{_slot, _generation, worker}] -> {:ok, worker}
      [] -> nil
    end
  end

  @doc "Counts: who has places is told by the places themselves, so this asks no process."
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

  @doc "Those that have a worker."
  @spec with_workers(t()) :: [slot()]
  def with_workers(%__MODULE__{table: table}),
    do: :ets.select(table, [{{:"$1", :_, :_}, [{:is_integer, :"$1"}], [:"$1"]}])
end
