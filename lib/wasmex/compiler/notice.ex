defmodule Wasmex.Compiler.Notice do
  @moduledoc false
  # Logs what is being compiled if that takes longer than a second: otherwise the caller of `Wasmex.start_link/1` or
  # `Wasmex.run/3` seems to hang. Mix tasks show their progress instead (`Wasmex.CLI.Progress`).

  require Logger

  alias Wasmex.CLI.Progress
  alias Wasmex.Quantity

  @patience 1_000
  # Smaller code takes less than a second.
  @least 500_000

  @doc "Compiles with a function, in this process. `kept?`: whether the result goes to the disk cache."
  @spec run(:module | :component, binary(), boolean(), (() -> result)) :: result
        when result: term()
  def run(kind, code, kept?, compile) do
    if byte_size(code) < @least or Progress.shown?() do
      compile.()
    else
      {:ok, timer} =
        :timer.apply_after(@patience, __MODULE__, :log, [kind, byte_size(code), kept?])

      try do
        compile.()
      after
        :timer.cancel(timer)
      end
    end
  end

  @doc "Warns once that code which should be compiled by a helper is compiled in the VM."
  @spec no_helper(Exception.t()) :: :ok
  def no_helper(error) do
    unless :persistent_term.get({__MODULE__, :warned}, false) do
      :persistent_term.put({__MODULE__, :warned}, true)

      Logger.warning(
        "large modules are compiled in the VM, without limits of memory and time: #{Exception.message(error)}"
      )
    end

    :ok
  end

  @doc false
  @spec log(:module | :component, non_neg_integer(), boolean()) :: :ok
  def log(kind, size, kept?) do
    often = if kept?, do: "once; the result is kept on disk", else: "each time"
    Logger.info("compiling a #{kind} of #{Quantity.bytes(size)} (#{often})")
  end
end
