defmodule Wasmex.HTTP.GuestLog do
  @moduledoc false
  # Log messages of a function during a request. They go to Logger and are kept for the response, in the process
  # dictionary, because imported functions run in the process of the request.
  #
  # An event of Logger costs ten times as much as a call of an import. So the lines of one slice of the guest are one event:
  # they are passed on when the guest pauses or ends.

  require Logger

  @key :"$wasmex_http_log"
  @held :"$wasmex_http_log_held"
  # The maximum number of lines of a response and of an event, and bytes per line.
  @most 100
  @longest 2_000
  # The maximum number of bytes that a request may log, each line with its time stamp and metadata: a loop of log_string
  # would fill the disk.
  @bytes 1024 * 1024
  @overhead 100

  # `pending` lines have not been passed to Logger; all have the same name and level.
  defstruct count: 0, lines: [], left: @bytes, pending: [], waiting: 0, name: nil, level: nil

  @doc "From now on, the last lines of the next request wait for `access/1`."
  @spec hold() :: term()
  def hold, do: Process.put(@held, true)

  @doc "Logs the line of the request, in one event with the last lines of the function."
  @spec access(String.t()) :: :ok
  def access(line) do
    case Process.delete(@held) do
      %{level: :info} = log ->
        flushed(%{log | pending: [line | log.pending]})

      held ->
        if is_map(held), do: flushed(held)
        Logger.info(line)
    end

    :ok
  end

  @doc "Logs the lines that wait for `access/1`, because something else must be logged after them."
  @spec release() :: :ok
  def release do
    with %{} = log <- Process.get(@held) do
      flushed(log)
      Process.put(@held, true)
    end

    :ok
  end

  @spec begin() :: term()
  def begin, do: Process.put(@key, %__MODULE__{})

  @doc "Logs a line at a level of Logger; outside of a request, immediately."
  @spec put(String.t(), binary(), Logger.level()) :: :ok
  def put(name, bytes, level \\ :info) do
    text = bytes |> binary_part(0, min(byte_size(bytes), @longest)) |> Wasmex.Printable.text()
    size = byte_size(text) + @overhead

    case Process.get(@key) do
      # A server that answers many requests.
      nil ->
        Logger.log(level, text, wasm: name)

      %{left: left} = log when left >= size ->
        log = log |> keep(text) |> pend(name, text, level)
        Process.put(@key, %{log | left: left - size})

      %{left: left} = log ->
        log = flushed(log)

        if left > 0,
          do: Logger.warning("the request logs too much: the rest is left out", wasm: name)

        Process.put(@key, %{log | left: 0})
    end

    :ok
  end

  defp keep(%{count: count, lines: lines} = log, text) when count < @most,
    do: %{log | count: count + 1, lines: [text | lines]}

  defp keep(log, _text), do: log

  defp pend(%{name: name, level: level, waiting: waiting} = log, name, text, level)
       when waiting < @most,
       do: %{log | pending: [text | log.pending], waiting: waiting + 1}

  defp pend(log, name, text, level),
    do: %{flushed(log) | name: name, level: level, pending: [text], waiting: 1}

  @doc "Passes the lines so far to Logger, as one event."
  @spec flush() :: :ok
  def flush do
    with %{pending: [_ | _]} = log <- Process.get(@key), do: Process.put(@key, flushed(log))
    :ok
  end

  defp flushed(%{pending: []} = log), do: log

  defp flushed(log) do
    text = log.pending |> Enum.reverse() |> Enum.join("\n")
    Logger.log(log.level, text, wasm: log.name)
    %{log | pending: [], waiting: 0}
  end

  @doc "Ends the request: returns its lines in order."
  @spec take() :: [String.t()]
  def take do
    case Process.delete(@key) do
      %{lines: lines} = log ->
        if Process.get(@held) && log.pending != [],
          do: Process.put(@held, %{log | lines: []}),
          else: flushed(log)

        Enum.reverse(lines)

      nil ->
        []
    end
  end
end
