defmodule Wasmex.Program.Feeder do
  @moduledoc false
  # Reads an IO device into a pipe, when the guest wants input and not before: what is read from a
  # terminal is gone for everybody else. The process ends with the one that started it.

  alias Wasmex.{Native, Pipe}

  @doc "Starts the process for a device: a pid, or a name such as `:standard_io`."
  def start(device, pipe) do
    runner = self()
    leader = Process.group_leader()

    spawn(fn ->
      Process.group_leader(self(), leader)
      Process.monitor(runner)
      feed(pid(device), pipe)
    end)
  end

  defp pid(device) when device in [:stdio, :standard_io], do: Process.group_leader()
  defp pid(:stderr), do: Process.whereis(:standard_error)
  defp pid(device) when is_atom(device), do: Process.whereis(device)
  defp pid(device), do: device

  def stop(feeder), do: Process.exit(feeder, :kill)

  defp feed(nil, pipe), do: Pipe.close(pipe)

  defp feed(device, pipe) do
    with :wanted <- demand(pipe),
         {:ok, bytes} <- read(device),
         {:ok, _} <- Pipe.write(pipe, bytes) do
      feed(device, pipe)
    else
      # The end, or a device that is gone: either way no more comes.
      _ -> Pipe.close(pipe)
    end
  end

  defp demand(pipe) do
    case Native.pipe_await_demand(pipe.resource) do
      {:wait, ref} ->
        receive do
          {:wasmex_pipe, ^ref} -> demand(pipe)
          {:DOWN, _, :process, _, _} -> :gone
        end

      answer ->
        answer
    end
  end

  # The I/O protocol by hand: a read may wait for ever, but not beyond the end of the runner. `take`
  # is given what has arrived, so a terminal's line comes at once and a pipe's bytes come as they are.
  defp read(device) do
    ref = Process.monitor(device)
    send(device, {:io_request, self(), ref, {:get_until, :latin1, "", __MODULE__, :take, []}})

    receive do
      {:io_reply, ^ref, answer} ->
        Process.demonitor(ref, [:flush])
        bytes(answer)

      {:DOWN, _, :process, _, _} ->
        :gone
    end
  end

  defp bytes(bytes) when is_binary(bytes), do: {:ok, bytes}
  defp bytes(chars) when is_list(chars), do: {:ok, :erlang.list_to_binary(chars)}
  defp bytes(_eof_or_error), do: :eof

  @doc false
  # Called in the device's process; see `io_lib:get_until`.
  def take(_state, :eof), do: {:done, :eof, []}
  def take([], []), do: {:more, []}
  def take([], ""), do: {:more, []}
  def take(_state, chars), do: {:done, chars, []}
end
