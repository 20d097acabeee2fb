defmodule Wasmex.Program.Feeder do
  @moduledoc false
  # Reads an IO device into a pipe when the guest reads, and not before, because other readers of a terminal would miss the
  # input. The process ends with the one that started it.

  alias Wasmex.{Native, Pipe}

  @doc """
  Starts the process for a device: a pid, or a name such as `:standard_io`. If the device fails, the message
  `{:wasmex_feeder, pid, reason}` is sent before the pipe is closed.
  """
  @spec start(pid() | atom(), Pipe.t()) :: pid()
  def start(device, pipe) do
    runner = self()
    leader = Process.group_leader()

    spawn(fn ->
      Process.group_leader(self(), leader)
      Process.monitor(runner)
      device = pid(device)
      ended = if device, do: feed(device, encoding(device), pipe), else: {:error, :noproc}
      with {:error, reason} <- ended, do: send(runner, {:wasmex_feeder, self(), reason})
      Pipe.close(pipe)
    end)
  end

  # The encoding of the device: bytes, or characters, which become UTF-8.
  defp encoding(device) do
    with options when is_list(options) <- :io.getopts(device),
         :unicode <- options[:encoding],
         do: :unicode,
         else: (_ -> :latin1)
  end

  defp pid(device) when device in [:stdio, :standard_io], do: Process.group_leader()
  defp pid(:stderr), do: Process.whereis(:standard_error)
  defp pid(device) when is_atom(device), do: Process.whereis(device)
  defp pid(device), do: device

  @doc "Ends the process, and removes its message from the mailbox."
  @spec stop(pid()) :: true
  def stop(feeder) do
    monitor = Process.monitor(feeder)
    Process.exit(feeder, :kill)
    receive do: ({:DOWN, ^monitor, :process, _, _} -> failure(feeder))
    true
  end

  @doc "Takes the error of the device; nil if there is none."
  @spec failure(pid()) :: term() | nil
  def failure(feeder) do
    receive do
      {:wasmex_feeder, ^feeder, reason} -> reason
    after
      0 -> nil
    end
  end

  # Runs until the input ends, the guest closes it, the runner exits, or the device fails.
  defp feed(device, encoding, pipe) do
    with :wanted <- demand(pipe),
         {:ok, bytes} <- read(device, encoding),
         {:ok, _} <- Pipe.write(pipe, bytes) do
      feed(device, encoding, pipe)
    else
      {:failed, reason} -> {:error, reason}
      _ -> :ok
    end
  end

  defp demand(pipe) do
    case Native.pipe_await_demand(pipe.resource) do
      {:wait, ref} ->
        receive do
          {:wasmex_pipe, ^ref} -> demand(pipe)
          {:DOWN, _, :process, _, _} -> :gone
        end

      reply ->
        reply
    end
  end

  # Uses the I/O protocol directly, so that a read ends when the runner exits. `take/2` receives the available input, so
  # lines of a terminal and bytes of a pipe arrive immediately.
  defp read(device, encoding) do
    ref = Process.monitor(device)
    send(device, {:io_request, self(), ref, {:get_until, encoding, "", __MODULE__, :take, []}})

    receive do
      {:io_reply, ^ref, reply} ->
        Process.demonitor(ref, [:flush])
        bytes(reply, encoding)

      {:DOWN, ^ref, :process, _, _} ->
        {:failed, :terminated}

      # The runner exited.
      {:DOWN, _, :process, _, _} ->
        :gone
    end
  end

  defp bytes(:eof, _encoding), do: :eof
  defp bytes({:error, reason}, _encoding), do: {:failed, reason}

  defp bytes(chars, encoding) do
    case :unicode.characters_to_binary(chars, encoding, encoding) do
      bytes when is_binary(bytes) -> {:ok, bytes}
      _incomplete_or_error -> {:failed, :collect_chars}
    end
  end

  @doc false
  # Called in the device's process; see `io_lib:get_until`.
  @spec take(term(), term()) :: {:done, term(), list()} | {:more, list()}
  def take(_state, :eof), do: {:done, :eof, []}
  def take([], []), do: {:more, []}
  def take([], ""), do: {:more, []}
  def take(_state, chars), do: {:done, chars, []}
end
