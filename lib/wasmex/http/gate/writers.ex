defmodule Wasmex.HTTP.Gate.Writers do
  @moduledoc false
  # Requests that wait for their client, to write or to read. They occupy no place at the gate, so that slow clients do not
  # block others.
  # Their guests still hold memory, so their number is limited to four per place, and for one address to the number of
  # places.
  #
  # Rows: `{pid, address}` for a guest that waits, `{pid, :ended}` for one that has ended, `{pid, :back}` for one that has
  # its place back, and the counters `{:waiting, n}` and `{{:address, address}, n}`. A request keeps its row until it is
  # over, so reading the places first and this table second finds every request.

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

  @doc "Adds this process. Returns whether there was room, which is always true if its guest has ended (`:ended`)."
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

  @doc "This process has its place back."
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

  @doc "Whether no request is writing."
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
