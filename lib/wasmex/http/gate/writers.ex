defmodule Wasmex.HTTP.Gate.Writers do
  @moduledoc false
  # Requests that are writing to their client, and need no place for that: a client that does not read must not keep
  # others out. A guest that waits for its client still holds memory, so there are limits to how many do: four for each
  # place, and for one address as many as there are places.
  #
  # Rows: `{pid, address}` for a guest that waits, `{pid, :ended}` for one that has ended, `{pid, :back}` for one that has
  # its place again, and the counters `{:waiting, n}` and `{{:address, address}, n}`. A request that was here once keeps
  # its row until it is over: who looks at the places first and here then misses nobody.

  @enforce_keys [:table, :places]
  defstruct [:table, :places]

  @type t :: %__MODULE__{table: :ets.table(), places: pos_integer()}

  @factor 4

  @spec new(pos_integer()) :: t()
  def new(places),
    do: %__MODULE__{
      table: :ets.new(__MODULE__, [:public, write_concurrency: true]),
      places: places
    }

  @doc "Adds this process; whether there is room. For one whose guest has ended (`:ended`) there always is."
  @spec add(t(), String.t() | :ended) :: boolean()
  def add(%__MODULE__{table: table}, :ended), do: :ets.insert(table, {self(), :ended})

  def add(%__MODULE__{table: table, places: places}, address) do
    waiting = count(table, :waiting, 1)

    if count(table, {:address, address}, 1) <= places and waiting <= places * @factor do
      :ets.insert(table, {self(), address})
    else
      uncount(table, address)
      false
    end
  end

  @doc "This process has its place again."
  @spec back(t()) :: :ok
  def back(%__MODULE__{table: table}) do
    row = :ets.lookup(table, self())
    :ets.insert(table, {self(), :back})
    uncounted(row, table)
  end

  @doc "The request of a process is over."
  @spec remove(t(), pid()) :: :ok
  def remove(%__MODULE__{table: table}, pid), do: table |> :ets.take(pid) |> uncounted(table)

  defp uncounted([{_pid, address}], table) when is_binary(address), do: uncount(table, address)
  defp uncounted(_row, _table), do: :ok

  @doc "Whether nobody is here."
  @spec none?(t()) :: boolean()
  def none?(%__MODULE__{table: table}),
    do: :ets.select_count(table, [{{:"$1", :_}, [{:is_pid, :"$1"}], [true]}]) == 0

  defp count(table, key, n), do: :ets.update_counter(table, key, n, {key, 0})

  defp uncount(table, address) do
    count(table, :waiting, -1)
    key = {:address, address}
    if count(table, key, -1) <= 0, do: :ets.select_delete(table, [{{key, 0}, [], [true]}])
    :ok
  end
end
