defmodule Wasmex.Pool.Limits do
  @moduledoc false
  # Limits of each key of a pool: concurrent places, and calls, fuel and memory per second, as token buckets that hold
  # one second's worth.
  #
  # A bucket is one number, the time at which it will be full (in ns of the monotonic clock): it is full if that is in
  # the past, and empty if it is a second ahead. Taking is one atomic operation on the table. The use of a call is known
  # when it ends, so a bucket may be in debt: the next call waits until it has recovered.

  alias Wasmex.{Error, Options}

  @rows [
    places: [
      type: {:or, [nil], {:integer, 1..1_000_000}},
      default_doc: "all",
      doc: "concurrent places of one key; its further calls wait for one of these"
    ],
    calls: [
      type: {:or, [nil], {:integer, 1..1_000_000_000}},
      default_doc: "any number",
      doc: "calls per second"
    ],
    fuel: [
      type: {:or, [nil], {:integer, 1..1_000_000_000_000_000}},
      default_doc: "any amount",
      doc: "fuel per second, about one instruction each"
    ],
    memory: [
      type: {:or, [nil], {:integer, 1..1_000_000_000_000_000}},
      default_doc: "any amount",
      doc: "bytes of memory per second: all of a fresh instance, and the growth of a reused one"
    ]
  ]
  @options Options.table(@rows, "per_key: of Wasmex.Pool.start_link/1")

  @enforce_keys [:table, :salt, :places, :rates, :metered?]
  defstruct [:table, :salt, :places, :rates, :metered?]

  @type t :: %__MODULE__{}
  @type meter :: %{optional(:fuel) => non_neg_integer(), optional(:memory) => non_neg_integer()}

  @second 1_000_000_000

  # The columns of a key's row.
  @columns %{calls: 2, fuel: 3, memory: 4}

  @doc "The options as a Markdown table."
  @spec docs() :: String.t()
  def docs, do: Options.Docs.table(@options)

  @doc "Validates the option `:per_key`; nil if there are no limits."
  @spec new!(keyword() | nil) :: t() | nil
  def new!(nil), do: nil

  def new!(opts) do
    {places, rates} = opts |> Options.new!(@options) |> Map.pop(:places)
    rates = for {name, rate} <- rates, rate != nil, into: %{}, do: {name, rate}

    %__MODULE__{
      table: :ets.new(__MODULE__, [:public, write_concurrency: true]),
      # Seeded, so that users cannot choose colliding keys.
      salt: :crypto.strong_rand_bytes(16),
      places: places,
      rates: rates,
      metered?: is_map_key(rates, :fuel) or is_map_key(rates, :memory)
    }
  end

  @doc "A key as a number above 0, for the places."
  @spec hash(t(), term()) :: pos_integer()
  def hash(%__MODULE__{salt: salt}, key),
    do: Bitwise.bsl(:erlang.phash2({salt, key}), 27) + :erlang.phash2({key, salt}) + 1

  @doc "Whether a key with this number of places may have one more."
  @spec room?(t(), non_neg_integer()) :: boolean()
  def room?(%__MODULE__{places: nil}, _count), do: true
  def room?(%__MODULE__{places: places}, count), do: count < places

  @doc "Takes one call; the error says when the key may call again."
  @spec admit(t(), term()) :: :ok | {:error, Error.t()}
  def admit(%__MODULE__{rates: rates}, _key) when rates == %{}, do: :ok

  def admit(%__MODULE__{} = limits, key) do
    now = now()

    with :ok <- paid(limits, key, :fuel, now), :ok <- paid(limits, key, :memory, now) do
      call(limits, key, now)
    end
  end

  @doc "The fuel left for a key; nil if unlimited."
  @spec fuel(t(), term()) :: pos_integer() | nil
  def fuel(%__MODULE__{rates: %{fuel: rate}} = limits, key) do
    case :ets.lookup(limits.table, key) do
      [row] ->
        ahead = max(elem(row, @columns.fuel - 1) - now(), 0)
        max(div((@second - ahead) * rate, @second), 1)

      [] ->
        rate
    end
  end

  def fuel(_limits, _key), do: nil

  defp paid(%{rates: rates} = limits, key, name, now) when is_map_key(rates, name) do
    case :ets.lookup(limits.table, key) do
      [row] -> enough(elem(row, @columns[name] - 1) - now - @second, name, key)
      [] -> :ok
    end
  end

  defp paid(_limits, _key, _name, _now), do: :ok

  defp enough(over, _name, _key) when over <= 0, do: :ok

  defp enough(over, name, key) do
    ms = div(over, 1_000_000) + 1
    message = "the key #{inspect(key)} has used up its #{name} per second; try again in #{ms} ms"

    details = %{key: key, limit: name, retry_after: ms, message: message}
    {:error, %Error{reason: :rate_limited, details: details}}
  end

  defp call(%{rates: %{calls: _}} = limits, key, now) do
    over = charge(limits, key, :calls, 1, now) - now - @second

    with {:error, _} = error <- enough(over, :calls, key) do
      :ets.update_counter(limits.table, key, {@columns.calls, -cost(limits, :calls, 1)})
      error
    end
  end

  defp call(_limits, _key, _now), do: :ok

  @doc "Takes the use of a call."
  @spec used(t(), term(), meter()) :: :ok
  def used(%__MODULE__{rates: rates} = limits, key, used) do
    now = now()

    for {name, amount} <- used,
        is_map_key(rates, name) and amount > 0,
        do: charge(limits, key, name, amount, now)

    :ok
  end

  # A full bucket stays full: it starts now at the earliest.
  defp charge(limits, key, name, amount, now) do
    column = @columns[name]
    operations = [{column, -1, now, now}, {column, cost(limits, name, amount)}]
    limits.table |> :ets.update_counter(key, operations, {key, now, now, now}) |> List.last()
  end

  defp cost(limits, name, amount), do: div(amount * @second, limits.rates[name])

  @doc "Forgets keys whose buckets are full."
  @spec sweep(t()) :: non_neg_integer()
  def sweep(%__MODULE__{table: table}) do
    now = now()
    full = for column <- [:"$1", :"$2", :"$3"], do: {:<, column, now}
    :ets.select_delete(table, [{{:_, :"$1", :"$2", :"$3"}, full, [true]}])
  end

  defp now, do: System.monotonic_time(:nanosecond)
end
