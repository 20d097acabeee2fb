defmodule Wasmex.HTTP.Stats do
  @moduledoc false
  # Requests, errors and times per function, in a public table, so that counting needs no process.

  # Times are counted in buckets. They start at 10 µs, and each is 20 % longer than the previous one.
  @factor :math.log(1.2)
  @buckets 90

  @spec new() :: :ets.table()
  def new, do: :ets.new(__MODULE__, [:public, write_concurrency: true])

  @doc "Adds a function. Keeps existing counts."
  @spec open(:ets.table(), String.t()) :: boolean()
  def open(stats, name), do: :ets.insert_new(stats, {name, 0, 0, nil})

  @doc "Counts a response."
  @spec count(:ets.table(), String.t(), Wasmex.HTTP.Response.t()) :: term()
  def count(stats, name, response) do
    failed = if response.status >= 500, do: 1, else: 0
    :ets.update_counter(stats, name, [{2, 1}, {3, failed}], {name, 0, 0, nil})

    :ets.update_counter(
      stats,
      {name, bucket(response.duration)},
      1,
      {{name, bucket(response.duration)}, 0}
    )

    if response.error,
      do: :ets.update_element(stats, name, {4, first_line(response.error)})

    :ok
  end

  defp bucket(us),
    do:
      us
      |> max(10)
      |> Kernel./(10)
      |> :math.log()
      |> Kernel./(@factor)
      |> floor()
      |> min(@buckets)

  # What follows is for the log.
  defp first_line(error),
    do: error |> Exception.message() |> String.split("\n", parts: 2) |> hd()

  # The upper end of a bucket.
  defp time(bucket), do: round(10 * :math.exp(@factor * (bucket + 1)))

  @doc "`%{requests, errors, last_error, p50, p99}`, times in microseconds, nil before the first."
  @spec read(:ets.table(), String.t()) :: map()
  def read(stats, name) do
    {requests, errors, last} =
      case :ets.lookup(stats, name) do
        [{_, requests, errors, last}] -> {requests, errors, last}
        [] -> {0, 0, nil}
      end

    counts =
      for bucket <- 0..@buckets, [{_, n}] <- [:ets.lookup(stats, {name, bucket})], do: {bucket, n}

    total = counts |> Enum.map(&elem(&1, 1)) |> Enum.sum()

    %{
      requests: requests,
      errors: errors,
      last_error: last,
      p50: percentile(counts, total * 0.5),
      p99: percentile(counts, total * 0.99)
    }
  end

  defp percentile([], _wanted), do: nil
  defp percentile([{bucket, n} | _], wanted) when n >= wanted, do: time(bucket)
  defp percentile([{_bucket, n} | counts], wanted), do: percentile(counts, wanted - n)
end
