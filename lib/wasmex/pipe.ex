defmodule Wasmex.Pipe do
  @moduledoc """
  A byte pipe between Elixir and a guest's standard input, output or error.

  - A **buffer** (the default) keeps everything and has one cursor, shared by both sides: write, `seek/2`
    to 0, then read from the other side. Reading at the end returns end of file. With `capacity: n`,
    writes beyond n bytes fail. Without it, writes of guests fail beyond the `memory_size` of their store
    (`Wasmex.StoreLimits`), 1 GiB if it is not set.
  - A **stream** (`new(mode: :stream)`) holds at most `capacity:` bytes (64 KiB by default). A guest that
    reads from an empty stream waits, without using a thread, until Elixir writes or closes it. A guest
    that writes to a full stream waits until Elixir reads.

  A pipe is `Collectable`, and `stream!/1` turns it into an `Enumerable`.

  ## Example

      iex> {:ok, pipe} = Wasmex.Pipe.new()
      iex> Wasmex.Pipe.write(pipe, "Hello, World!")
      {:ok, 13}
      iex> Wasmex.Pipe.seek(pipe, 7)
      :ok
      iex> Wasmex.Pipe.read(pipe)
      "World!"

      iex> {:ok, pipe} = Wasmex.Pipe.new(mode: :stream)
      iex> Enum.into(["a", "b"], pipe)
      iex> Wasmex.Pipe.close(pipe)
      iex> pipe |> Wasmex.Pipe.stream!() |> Enum.join()
      "ab"

  ## Lifetime

  Freed with its last handle. A store whose guests use the pipe holds one.
  """

  alias Wasmex.{Error, Native, Options}
  alias Wasmex.Call.Timeout

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference(), reference: reference()}

  @max 0x7FFF_FFFF_FFFF_FFFF
  # The largest cursor position, far beyond any possible size.
  @furthest 0x100_0000_0000
  @stream_capacity 64 * 1024
  # Writes are split so that a copy does not block a scheduler.
  @chunk 1024 * 1024

  @options Options.table(
             [
               mode: [
                 type: {:one_of, [:buffer, :stream]},
                 default: :buffer,
                 doc: "whether bytes are kept after reading, see above"
               ],
               capacity: [
                 type: {:or, [nil], {:bytes, 1..@max}},
                 default_doc: "none for a buffer, 64 KiB for a stream",
                 doc: "the maximum size in bytes",
                 example: "65_536"
               ]
             ],
             "Wasmex.Pipe.new/1"
           )

  @doc """
  Creates a pipe.

  #{Options.Docs.table(@options)}
  """
  @spec new(keyword()) :: {:ok, t()}
  def new(opts \\ []) do
    %{mode: mode, capacity: capacity} = Options.new!(opts, @options)
    capacity = capacity || if(mode == :stream, do: @stream_capacity)
    {:ok, __wrap_resource__(Native.pipe_new(mode, capacity))}
  end

  @doc "The number of bytes stored. In a stream, bytes that have been read do not count."
  @spec size(t()) :: non_neg_integer()
  def size(pipe), do: Native.pipe_size(resource!(pipe))

  @doc "Moves the cursor of a buffer, also beyond its end, up to 1 TiB. Raises for a stream."
  @spec seek(t(), non_neg_integer()) :: :ok
  def seek(pipe, position) when is_integer(position) and position in 0..@furthest do
    if Native.pipe_seek(resource!(pipe), position),
      do: :ok,
      else: raise(ArgumentError, "cannot seek in a stream pipe")
  end

  def seek(_pipe, position),
    do: Options.misuse!("a non-negative integer as position", position)

  @doc """
  Reads everything from the cursor to the end, `""` if there is nothing. For a stream, returns what has
  arrived so far without waiting (see `recv/2` for waiting).
  """
  @spec read(t()) :: binary()
  def read(pipe) do
    pipe |> resource!() |> take([]) |> Enum.reverse() |> IO.iodata_to_binary()
  end

  # In pieces, so that a copy does not block a scheduler.
  defp take(resource, taken) do
    case Native.pipe_take(resource, @chunk) do
      bytes when byte_size(bytes) == @chunk -> take(resource, [bytes | taken])
      bytes when is_binary(bytes) -> [bytes | taken]
      _nothing_more -> taken
    end
  end

  @doc "Waits for bytes and returns `{:ok, binary}`, or `:eof` at the end."
  @spec recv(t(), timeout()) :: {:ok, binary()} | :eof | {:error, Error.t()}
  def recv(pipe, timeout \\ :infinity),
    do: read_until(pipe, timeout |> Timeout.check!() |> Timeout.deadline())

  defp read_until(pipe, deadline) do
    case Native.pipe_read(resource!(pipe), @chunk) do
      :eof ->
        :eof

      {:empty, ref} ->
        with :ok <- wait(pipe, ref, Timeout.left(deadline)), do: read_until(pipe, deadline)

      bytes ->
        {:ok, bytes}
    end
  end

  @doc """
  Writes iodata and returns `{:ok, bytes}`. If a stream is full, waits for room, at most `timeout` ms.

  Errors: `:closed`, `:full` (a buffer at its capacity) and `:timeout`; `details.written` is the number of bytes that were
  written until then.
  """
  @spec write(t(), iodata(), timeout()) :: {:ok, non_neg_integer()} | {:error, Error.t()}
  def write(pipe, iodata, timeout \\ :infinity) do
    deadline = timeout |> Timeout.check!() |> Timeout.deadline()
    write(pipe, IO.iodata_to_binary(iodata), 0, deadline)
  end

  defp write(_pipe, "", written, _deadline), do: {:ok, written}

  defp write(pipe, bytes, written, deadline) do
    chunk = binary_part(bytes, 0, min(byte_size(bytes), @chunk))

    case Native.pipe_write(resource!(pipe), chunk) do
      {:ok, count} ->
        rest = binary_part(bytes, count, byte_size(bytes) - count)
        write(pipe, rest, written + count, deadline)

      {:full, ref} ->
        case wait(pipe, ref, Timeout.left(deadline)) do
          :ok -> write(pipe, bytes, written, deadline)
          {:error, error} -> {:error, put_in(error.details.written, written)}
        end

      :closed ->
        error(:closed, "the pipe is closed", written)

      :no_room ->
        error(:full, "the pipe is at its capacity", written)
    end
  end

  @doc "Closes the pipe for writing. Readers get the remaining bytes, then end of file."
  @spec close(t()) :: :ok
  def close(pipe), do: Native.pipe_close(resource!(pipe))

  @doc "Reads the pipe lazily until it is closed (a buffer: until its end). Waits for bytes."
  @spec stream!(t()) :: Enumerable.t()
  def stream!(%__MODULE__{} = pipe) do
    Stream.resource(
      fn -> pipe end,
      fn pipe ->
        case recv(pipe) do
          {:ok, bytes} -> {[bytes], pipe}
          :eof -> {:halt, pipe}
        end
      end,
      fn _pipe -> :ok end
    )
  end

  defp wait(_pipe, ref, :infinity) do
    receive do
      {:wasmex_pipe, ^ref} -> :ok
    end
  end

  defp wait(pipe, ref, timeout) do
    receive do
      {:wasmex_pipe, ^ref} -> :ok
    after
      timeout ->
        stop_waiting(pipe, ref)
        error(:timeout, "the pipe was not ready in time", 0)
    end
  end

  defp stop_waiting(pipe, ref) do
    # True means that the message was or will be sent.
    if Native.pipe_stop_waiting(resource!(pipe)) do
      receive do
        {:wasmex_pipe, ^ref} -> :ok
      end
    end
  end

  defp error(reason, message, written),
    do: {:error, %Error{reason: reason, details: %{message: message, written: written}}}

  defp resource!(%__MODULE__{resource: resource}) when is_reference(resource), do: resource

  defp resource!(other), do: Options.misuse!("a pipe", other)

  @doc false
  @spec __wrap_resource__(reference()) :: t()
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}

  defimpl Collectable do
    def into(pipe) do
      collect = fn
        pipe, {:cont, bytes} ->
          case Wasmex.Pipe.write(pipe, bytes) do
            {:ok, _} -> pipe
            {:error, error} -> raise error
          end

        pipe, :done ->
          pipe

        _pipe, :halt ->
          :ok
      end

      {pipe, collect}
    end
  end
end
