defmodule Wasmex.Program.Sink do
  @moduledoc false
  # The destination of a program's output. Output is buffered in a bounded pipe until `pump/1` passes it on, so a slow sink
  # slows the guest down.

  alias Wasmex.{Error, Native, Pipe}
  alias Wasmex.Program.{DeviceSink, LogSink}

  @capacity 256 * 1024
  @chunk 1024 * 1024

  # `pipe` is the stream for WASI. `kind` is :none (nothing to pass on), :capture, or the receiver of chunks:
  # {:function, fun}, {:collect, state, fun}, {:device, device}, {:log, log}, {:hold, chunks}.
  # A paused sink leaves the bytes in the pipe.
  defstruct pipe: :null, kind: :none, stream: :stdout, paused?: false

  @type t :: %__MODULE__{}

  @doc "Opens a sink for an output that `Wasmex.Options.Type.Output` has validated. `name` is that of the program, for logs."
  @spec open(term(), :stdout | :stderr, String.t() | nil) :: t()
  def open(spec, stream, name) do
    {pipe, kind} = sink(spec, stream, name)
    %__MODULE__{pipe: pipe, kind: kind, stream: stream}
  end

  defp sink(:null, _stream, _name), do: {:null, :none}
  defp sink(nil, _stream, _name), do: {:null, :none}
  defp sink(%Pipe{} = pipe, _stream, _name), do: {pipe, :none}
  # Limited by `max_output`.
  defp sink(:capture, _stream, _name), do: {new_pipe(0x7FFF_FFFF_FFFF_FFFF), :capture}
  defp sink(:hold, _stream, _name), do: {new_pipe(@capacity), {:hold, []}}
  defp sink(:logger, stream, name), do: sink({:logger, :info}, stream, name)

  defp sink({:logger, level}, stream, name) when is_atom(level),
    do: {new_pipe(@capacity), {:log, LogSink.new(level, stream, name)}}

  # The stream of the operating system process, without the VM's devices. These report success before a byte is written, so
  # errors such as a full disk would be lost.
  defp sink(:os, _stream, _name), do: {:inherit, :none}
  defp sink(:inherit, :stdout, _name), do: device(Process.group_leader())
  defp sink(:inherit, :stderr, _name), do: device(:standard_error)
  defp sink(device, _stream, _name) when is_pid(device) or is_atom(device), do: device(device)

  defp sink(function, _stream, _name) when is_function(function, 1),
    do: {new_pipe(@capacity), {:function, function}}

  defp sink(collectable, _stream, _name) do
    {state, collect} = Collectable.into(collectable)
    {new_pipe(@capacity), {:collect, state, collect}}
  end

  defp device(device), do: {new_pipe(@capacity), {:device, DeviceSink.new(device)}}

  # As `Pipe.new/1` with `mode: :stream`, without validation.
  defp new_pipe(capacity), do: Pipe.__wrap_resource__(Native.pipe_new(:stream, capacity))

  @doc """
  Passes on the output so far. Returns `{:ok, sink}`, `{:error, error, sink}`, or
  `{:raised, {kind, reason, stacktrace}, sink}`.
  """
  @spec pump(t()) :: {:ok, t()} | {:error, Error.t(), t()} | {:raised, tuple(), t()}
  def pump(%__MODULE__{kind: kind} = sink) when kind in [:none, :capture], do: {:ok, sink}
  def pump(%__MODULE__{paused?: true} = sink), do: {:ok, sink}

  def pump(%__MODULE__{pipe: pipe} = sink) do
    case Native.pipe_take(pipe.resource, @chunk) do
      bytes when is_binary(bytes) -> with {:ok, sink} <- hand_on(sink, bytes), do: pump(sink)
      _nothing -> {:ok, sink}
    end
  end

  defp hand_on(sink, bytes) do
    case give(sink.kind, bytes) do
      {:ok, kind} ->
        {:ok, %{sink | kind: kind}}

      {:error, why} ->
        message = "#{sink.stream}: #{why}"
        {:error, %Error{reason: :output, details: %{message: message}}, %{sink | kind: :none}}
    end
  catch
    kind, reason -> {:raised, {kind, reason, __STACKTRACE__}, %{sink | kind: :none}}
  end

  defp give({:hold, chunks}, bytes), do: {:ok, {:hold, [bytes | chunks]}}

  defp give({:function, function} = kind, bytes) do
    function.(bytes)
    {:ok, kind}
  end

  defp give({:collect, state, collect}, bytes),
    do: {:ok, {:collect, collect.(state, {:cont, bytes}), collect}}

  defp give({:log, log}, bytes), do: {:ok, {:log, LogSink.put(log, bytes)}}

  defp give({:device, device}, bytes) do
    with {:ok, device} <- DeviceSink.put(device, bytes), do: {:ok, {:device, device}}
  end

  @doc "Takes the chunks of a `:hold` sink."
  @spec take(t()) :: {[binary()], t()}
  def take(%__MODULE__{kind: {:hold, chunks}} = sink),
    do: {Enum.reverse(chunks), %{sink | kind: {:hold, []}}}

  @doc "Closes the sink after all output was pumped. Returns `{value, sink}`, with the value for the result."
  @spec close(t()) :: {term(), t()}
  def close(%__MODULE__{kind: :capture, pipe: pipe} = sink),
    do: {pipe |> contents([]) |> IO.iodata_to_binary(), %{sink | kind: :none}}

  # Chunks that were not taken are the value.
  def close(%__MODULE__{kind: {:hold, chunks}, pipe: pipe} = sink) do
    rest = pipe |> contents([]) |> IO.iodata_to_binary()
    {Enum.reverse(if(rest == "", do: chunks, else: [rest | chunks])), %{sink | kind: :none}}
  end

  def close(%__MODULE__{kind: {:collect, state, collect}} = sink),
    do: {collect.(state, :done), %{sink | kind: :none}}

  def close(%__MODULE__{kind: {:log, log}} = sink) do
    LogSink.close(log)
    {nil, %{sink | kind: :none}}
  end

  def close(%__MODULE__{kind: {:device, device}} = sink) do
    DeviceSink.close(device)
    {nil, %{sink | kind: :none}}
  end

  def close(sink), do: {nil, sink}

  defp contents(pipe, gathered) do
    case Native.pipe_take(pipe.resource, @chunk) do
      bytes when is_binary(bytes) -> contents(pipe, [gathered, bytes])
      _nothing -> gathered
    end
  end

  @doc "Halts a Collectable after a failure."
  @spec abandon(t()) :: term()
  def abandon(%__MODULE__{kind: {:collect, state, collect}}) do
    collect.(state, :halt)
  catch
    # Ignore errors here, because they would hide the original failure.
    _kind, _reason -> :ok
  end

  def abandon(_sink), do: :ok
end
