defmodule Wasmex.Pool.Idle do
  @moduledoc false
  # Instances that wait for their next request. In a table, so that a request takes one without asking a process;
  # the process lets go of those that nobody wanted for a while, also when their program is not served any more.

  use GenServer

  alias Wasmex.{Store, StoreOrCaller}
  alias Wasmex.Program.Sink

  # Of one program: its name in the table, and how many instances may wait.
  @enforce_keys [:key, :most]
  defstruct [:key, :most]

  @type t :: %__MODULE__{key: reference(), most: pos_integer()}

  @typedoc "A store with an instance in it, and where it prints its errors."
  @type instance :: {StoreOrCaller.t(), reference(), Sink.t()}

  # Milliseconds.
  @rest 60_000
  @sweep 10_000

  @spec new(pos_integer()) :: t()
  def new(most), do: %__MODULE__{key: make_ref(), most: most}

  @doc "One of those that wait; it is the caller's then."
  @spec take(t()) :: instance() | nil
  def take(%__MODULE__{key: key}) do
    first(key, 0)
  rescue
    # The application is not started: nothing is remembered.
    ArgumentError -> nil
  end

  defp first(key, place) do
    with {^key, place} = row <- :ets.next(__MODULE__, {key, place}) do
      case :ets.take(__MODULE__, row) do
        [{_row, _since, instance}] -> instance
        # Somebody was faster.
        [] -> first(key, place)
      end
    else
      _another_key_or_the_end -> nil
    end
  end

  @doc "Keeps it; closes its store where there is no room."
  @spec put(t(), instance()) :: :ok
  def put(%__MODULE__{key: key, most: most}, {store, _, _} = instance) do
    now = System.monotonic_time(:millisecond)
    free? = fn place -> :ets.insert_new(__MODULE__, {{key, place}, now, instance}) end
    if Enum.any?(1..most, free?), do: :ok, else: Store.close(store)
  rescue
    ArgumentError -> Store.close(store)
  end

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @impl true
  def init(nil) do
    :ets.new(__MODULE__, [:named_table, :public, :ordered_set, write_concurrency: true])
    Process.send_after(self(), :sweep, @sweep)
    {:ok, nil}
  end

  @impl true
  def handle_info(:sweep, state) do
    sweep(System.monotonic_time(:millisecond) - @rest)
    Process.send_after(self(), :sweep, @sweep)
    {:noreply, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  @doc "Closes those, of one program or all, that have waited since before this time (of the monotonic clock, in ms)."
  @spec sweep(integer(), t() | :all) :: :ok
  def sweep(before, idle \\ :all) do
    key = if idle == :all, do: :_, else: idle.key
    waiting = [{{{key, :_}, :"$1", :_}, [{:<, :"$1", before}], [{:element, 1, :"$_"}]}]

    for row <- :ets.select(__MODULE__, waiting),
        # Somebody may have taken it meanwhile.
        {_row, _since, {store, _, _}} <- :ets.take(__MODULE__, row),
        do: Store.close(store)

    :ok
  end
end
