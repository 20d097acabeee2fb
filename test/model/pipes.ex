defmodule Wasmex.Model.Pipes do
  @moduledoc """
  What a pipe holds: a buffer that keeps all and has a cursor, or a stream with room for so many bytes, with a writer and
  a reader that wait, and are killed.
  """

  @behaviour :proper_statem

  import Wasmex.Model.PropEr

  alias Wasmex.{Error, Pipe}

  # `all` of a buffer, with the cursor `at`; of a stream what was not read yet. `waits` is who waits, and what for.
  defstruct pipe: nil, mode: nil, capacity: nil, all: "", at: 0, closed?: false, waits: nil

  @doc "The property."
  def property do
    forall(kind(), fn {mode, capacity} ->
      commands = :proper_statem.commands(__MODULE__, %__MODULE__{mode: mode, capacity: capacity})

      forall(:proper_types.resize(60, commands), fn commands ->
        {:ok, pipe} = Pipe.new(mode: mode, capacity: capacity)
        {_, _, result} = :proper_statem.run_commands(__MODULE__, commands, pipe: pipe)
        clear()
        result == :ok
      end)
    end)
  end

  defp kind,
    do: tuple([oneof([:stream, :stream, :buffer]), oneof([integer(1, 20), exactly(70_000)])])

  @impl true
  def initial_state, do: %__MODULE__{mode: :stream, capacity: 10}

  @impl true
  def command(state) do
    pipe = {:var, :pipe}

    # Around the size from which on a stream keeps the bytes as they are, too; each with bytes of its own.
    size = oneof([integer(0, 40), oneof([4_095, 4_096, 5_000])])
    data = oneof([binary(), let(tuple([integer(0, 255), size]), &copies/1)])
    small = let(tuple([integer(0, 255), integer(0, state.capacity)]), &copies/1)

    # What is never allowed now is not tried: PropEr gives up after fifty that are not.
    weight = fn weight, allowed? -> if allowed?, do: weight, else: 0 end
    reads? = state.waits == :read
    waits? = state.mode == :stream and state.waits == nil
    writes? = state.waits in [nil, :read]

    frequency([
      {weight.(6, writes?),
       {:call, __MODULE__, :write, [pipe, if(reads?, do: small, else: data)]}},
      {weight.(4, not reads?), {:call, __MODULE__, :read, [pipe]}},
      {weight.(3, not reads?), {:call, __MODULE__, :recv, [pipe]}},
      {1, {:call, __MODULE__, :size, [pipe]}},
      {weight.(3, state.mode == :buffer), {:call, __MODULE__, :seek, [pipe, integer(0, 30)]}},
      {weight.(3, waits?), {:call, __MODULE__, :writer, [pipe, data]}},
      {weight.(3, waits?), {:call, __MODULE__, :reader, [pipe]}},
      {weight.(1, state.waits != nil), {:call, __MODULE__, :kill, [pipe]}},
      {1, {:call, __MODULE__, :close, [pipe]}}
    ])
  end

  defp copies({byte, size}), do: :binary.copy(<<byte>>, size)

  def write(pipe, data), do: Pipe.write(pipe, data, 0)
  def read(pipe), do: Pipe.read(pipe)
  def recv(pipe), do: Pipe.recv(pipe, 0)
  def size(pipe), do: Pipe.size(pipe)
  def seek(pipe, position), do: Pipe.seek(pipe, position)
  def close(pipe), do: Pipe.close(pipe)
  def writer(pipe, data), do: wait(fn -> Pipe.write(pipe, data) end)
  def reader(pipe), do: wait(fn -> Pipe.recv(pipe) end)

  def kill(_pipe) do
    with {pid, monitor} <- Process.get(__MODULE__) do
      Process.exit(pid, :kill)
      receive do: ({:DOWN, ^monitor, _, _, _} -> clear())
    end

    :ok
  end

  # A process of its own, which says what came of it.
  defp wait(function) do
    test = self()
    {pid, monitor} = spawn_monitor(fn -> send(test, {__MODULE__, self(), function.()}) end)
    Process.put(__MODULE__, {pid, monitor})
    :ok
  end

  defp clear do
    with {pid, monitor} <- Process.delete(__MODULE__) do
      Process.demonitor(monitor, [:flush])
      Process.exit(pid, :kill)
      receive(do: ({__MODULE__, ^pid, _} -> :ok), after: (0 -> :ok))
    end
  end

  # What came of the one who waited, in time.
  defp outcome do
    {pid, _monitor} = Process.get(__MODULE__)

    receive do
      {__MODULE__, ^pid, result} ->
        clear()
        result
    after
      10_000 -> :nothing
    end
  end

  @impl true
  def precondition(state, {:call, _, function, [_ | args]}), do: allowed?(function, args, state)

  # One waits at a time, and the other side may do its part.
  defp allowed?(function, _args, %{waits: waits}) when function in [:writer, :reader],
    do: waits == nil

  defp allowed?(:kill, _args, state), do: state.waits != nil
  defp allowed?(:seek, _args, state), do: state.mode == :buffer
  defp allowed?(:write, _args, %{waits: {:write, _, _}}), do: false
  # More than there is room for would be a race with the reader.
  defp allowed?(:write, [data], %{waits: :read} = state), do: byte_size(data) <= state.capacity
  defp allowed?(function, _args, %{waits: :read}) when function in [:read, :recv], do: false
  defp allowed?(_function, _args, _state), do: true

  @impl true
  def next_state(state, _result, {:call, _, function, [_ | args]}) do
    {_result, state} = step(function, args, state)
    {_outcome, state} = meet(state)
    state
  end

  @impl true
  def postcondition(state, {:call, _, function, [pipe | args]}, result) do
    {expected, state} = step(function, args, state)
    {outcome, state} = meet(state)

    matches?(expected, result) and (outcome == nil or matches?(outcome, outcome())) and
      holds?(pipe, byte_size(state.all), 10_000)
  end

  # The one who waits does its part when it comes to it.
  defp holds?(pipe, bytes, tries) do
    Pipe.size(pipe) == bytes or
      (tries > 0 and Process.sleep(1) == :ok and holds?(pipe, bytes, tries - 1))
  end

  defp matches?({:error, reason, written}, {:error, %Error{reason: reason, details: details}}),
    do: details.written == written

  defp matches?({:error, reason}, {:error, %Error{reason: reason}}), do: true
  defp matches?(expected, result), do: expected == result

  # What a command returns, and the state after it.
  defp step(:write, [""], state), do: {{:ok, 0}, state}
  defp step(:write, [_data], %{closed?: true} = state), do: {{:error, :closed, 0}, state}

  defp step(:write, [data], %{mode: :buffer} = state) do
    room = max(state.capacity - state.at, 0)
    written = binary_part(data, 0, min(byte_size(data), room))
    state = overwrite(state, written)

    if byte_size(written) == byte_size(data),
      do: {{:ok, byte_size(data)}, state},
      else: {{:error, :full, byte_size(written)}, state}
  end

  defp step(:write, [data], state) do
    room = state.capacity - byte_size(state.all)
    written = binary_part(data, 0, min(byte_size(data), room))
    state = %{state | all: state.all <> written}

    if byte_size(written) == byte_size(data),
      do: {{:ok, byte_size(data)}, state},
      else: {{:error, :timeout, byte_size(written)}, state}
  end

  defp step(:read, [], state), do: taken(state)

  defp step(:recv, [], state) do
    case taken(state) do
      {"", %{closed?: false, mode: :stream} = state} -> {{:error, :timeout}, state}
      {"", state} -> {:eof, state}
      {bytes, state} -> {{:ok, bytes}, state}
    end
  end

  defp step(:size, [], state), do: {byte_size(state.all), state}
  defp step(:seek, [position], state), do: {:ok, %{state | at: position}}
  defp step(:close, [], state), do: {:ok, %{state | closed?: true}}
  defp step(:kill, [], state), do: {:ok, %{state | waits: nil}}
  defp step(:writer, [data], state), do: {:ok, %{state | waits: {:write, data, 0}}}
  defp step(:reader, [], state), do: {:ok, %{state | waits: :read}}

  # Gaps are zeros.
  defp overwrite(state, ""), do: state

  defp overwrite(%{all: all, at: at} = state, bytes) do
    before = binary_part(all <> :binary.copy(<<0>>, at), 0, at)
    ends = at + byte_size(bytes)
    rest = if ends < byte_size(all), do: binary_part(all, ends, byte_size(all) - ends), else: ""
    %{state | all: before <> bytes <> rest, at: ends}
  end

  defp taken(%{mode: :buffer, all: all, at: at} = state) when at >= byte_size(all),
    do: {"", state}

  defp taken(%{mode: :buffer, all: all, at: at} = state),
    do: {binary_part(all, at, byte_size(all) - at), %{state | at: byte_size(all)}}

  defp taken(state), do: {state.all, %{state | all: ""}}

  # What the one who waits can do now: what it returns when it is done, else nil.
  defp meet(%{waits: nil} = state), do: {nil, state}

  defp meet(%{waits: :read} = state) do
    case step(:recv, [], state) do
      {{:error, :timeout}, state} -> {nil, state}
      {result, state} -> {result, %{state | waits: nil}}
    end
  end

  defp meet(%{waits: {:write, data, before}} = state) do
    case step(:write, [data], state) do
      {{:error, :timeout, written}, state} ->
        rest = binary_part(data, written, byte_size(data) - written)
        {nil, %{state | waits: {:write, rest, before + written}}}

      {{:ok, written}, state} ->
        {{:ok, before + written}, %{state | waits: nil}}

      {{:error, reason, written}, state} ->
        {{:error, reason, before + written}, %{state | waits: nil}}
    end
  end
end
