defmodule Wasmex.Pool.Queue do
  @moduledoc false
  # The queue of waiting processes, as a value: first in, first out, or last in, first out when more than half full,
  # since the oldest have then most likely missed their deadlines. A process whose key is at its limit is parked until
  # another one with that key frees a place.

  @enforce_keys [:most]
  defstruct [
    :most,
    # By reference: `{from, owner, key}`; key is 0 for none.
    waiters: %{},
    # References in order of arrival, including some that have left.
    order: :queue.new(),
    # Parked references by key, in order of arrival.
    parked: %{},
    parked_count: 0
  ]

  @type waiter :: {from :: GenServer.from(), owner :: pos_integer(), key :: non_neg_integer()}
  @type t :: %__MODULE__{}

  @spec new(non_neg_integer()) :: t()
  def new(most), do: %__MODULE__{most: most}

  @spec size(t()) :: non_neg_integer()
  def size(%__MODULE__{waiters: waiters}), do: map_size(waiters)

  @doc "The number of processes waiting for any place."
  @spec waiting(t()) :: non_neg_integer()
  def waiting(queue), do: size(queue) - queue.parked_count

  @spec full?(t()) :: boolean()
  def full?(queue), do: size(queue) >= queue.most

  @spec put(t(), reference(), waiter()) :: t()
  def put(queue, ref, waiter) do
    order = :queue.in(ref, queue.order)
    %{queue | waiters: Map.put(queue.waiters, ref, waiter), order: order}
  end

  @doc "Removes a process; returns whether it was still waiting."
  @spec delete(t(), reference()) :: {boolean(), t()}
  def delete(queue, ref) do
    case Map.pop(queue.waiters, ref) do
      {nil, _} ->
        {false, queue}

      {{_from, _owner, key}, waiters} ->
        {true, tidy(%{queue | waiters: waiters} |> unparked(key, ref))}
    end
  end

  defp unparked(queue, key, ref) do
    with %{^key => refs} <- queue.parked, true <- :queue.member(ref, refs) do
      refs = :queue.filter(&(&1 != ref), refs)
      %{queue | parked: put_parked(queue.parked, key, refs), parked_count: queue.parked_count - 1}
    else
      _ -> queue
    end
  end

  # References of processes that left are removed once they outnumber the others.
  defp tidy(queue) do
    if :queue.len(queue.order) > 2 * size(queue) + 16,
      do: %{queue | order: :queue.filter(&is_map_key(queue.waiters, &1), queue.order)},
      else: queue
  end

  @doc """
  The next process that may have a place. `room?` says whether a key may have one more; processes of other keys are
  parked.
  """
  @spec pop(t(), (pos_integer() -> boolean())) :: {reference(), waiter(), t()} | {nil, t()}
  def pop(queue, room?) do
    out = if 2 * size(queue) > queue.most, do: &:queue.out_r/1, else: &:queue.out/1
    pop(queue, room?, out)
  end

  defp pop(queue, room?, out) do
    case out.(queue.order) do
      {:empty, _} ->
        {nil, queue}

      {{:value, ref}, order} ->
        queue = %{queue | order: order}

        case queue.waiters do
          %{^ref => {_from, _owner, key} = waiter} ->
            if key == 0 or room?.(key),
              do: {ref, waiter, %{queue | waiters: Map.delete(queue.waiters, ref)}},
              else: queue |> park(key, ref) |> pop(room?, out)

          _left ->
            pop(queue, room?, out)
        end
    end
  end

  defp park(queue, key, ref) do
    refs = :queue.in(ref, Map.get(queue.parked, key, :queue.new()))
    %{queue | parked: Map.put(queue.parked, key, refs), parked_count: queue.parked_count + 1}
  end

  @doc "A place of this key became free: its first parked process moves to the front. 0 means all keys."
  @spec unpark(t(), non_neg_integer()) :: t()
  def unpark(queue, 0), do: queue.parked |> Map.keys() |> Enum.reduce(queue, &unpark(&2, &1))

  def unpark(queue, key) do
    case queue.parked do
      %{^key => refs} ->
        {{:value, ref}, refs} = :queue.out(refs)
        parked = put_parked(queue.parked, key, refs)
        order = :queue.in_r(ref, queue.order)
        %{queue | parked: parked, parked_count: queue.parked_count - 1, order: order}

      _ ->
        queue
    end
  end

  defp put_parked(parked, key, refs) do
    if :queue.is_empty(refs), do: Map.delete(parked, key), else: Map.put(parked, key, refs)
  end

  @doc "All waiting processes."
  @spec waiters(t()) :: [waiter()]
  def waiters(queue), do: Map.values(queue.waiters)
end
