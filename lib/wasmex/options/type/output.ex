defmodule Wasmex.Options.Type.Output do
  @moduledoc false
  # The destination of a standard stream of a program, see `Wasmex.Program.Sink`.

  use Wasmex.Options.Type

  @impl true
  def cast(%{__struct__: Wasmex.Pipe, resource: pipe} = output) when is_reference(pipe) do
    Wasmex.Options.here!(pipe, "pipe")
    {:ok, output}
  end

  # Atoms are `:capture`, `:inherit`, `:os`, `:null`, `:logger` and names of devices.
  def cast(output) when is_atom(output) or is_pid(output) or is_function(output, 1),
    do: {:ok, output}

  def cast({:logger, level} = output) when is_atom(level), do: {:ok, output}

  def cast(output) do
    if Collectable.impl_for(output),
      do: {:ok, output},
      else: {:error, "", expected(), output}
  end

  @impl true
  def expected do
    ":capture, :inherit, :os, :null, :logger, {:logger, level}, an IO device, a function of one argument, a Collectable or a %Wasmex.Pipe{}"
  end

  @impl true
  def spec do
    quote do
      atom() | {:logger, Logger.level()} | pid() | (binary() -> term()) | Collectable.t()
    end
  end

  @impl true
  def example, do: ":inherit"
end
