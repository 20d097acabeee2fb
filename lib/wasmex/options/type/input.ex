defmodule Wasmex.Options.Type.Input do
  @moduledoc false
  # The standard input of a program, see `Wasmex.Program.Stdin`. The elements of an Enumerable are validated when the
  # program reads them.

  use Wasmex.Options.Type

  @impl true
  def cast(%{__struct__: Wasmex.Pipe, resource: pipe} = input) when is_reference(pipe) do
    Wasmex.Options.here!(pipe, "pipe")
    {:ok, input}
  end

  # Atoms are `nil`, `:null`, `:inherit` and names of devices.
  def cast(input) when is_atom(input) or is_pid(input) or is_binary(input), do: {:ok, input}

  def cast(input) do
    if (Enumerable.impl_for(input) && not List.improper?(List.wrap(input))) || iodata?(input),
      do: {:ok, input},
      else: {:error, "", expected(), input}
  end

  defp iodata?(input) when is_list(input) do
    _ = IO.iodata_length(input)
    true
  rescue
    ArgumentError -> false
  end

  defp iodata?(_input), do: false

  @impl true
  def expected,
    do: "iodata, an Enumerable of iodata, a %Wasmex.Pipe{}, an IO device, :inherit or :null"

  @impl true
  def spec, do: quote(do: iodata() | Enumerable.t() | Wasmex.Pipe.t() | IO.device() | nil)

  @impl true
  def example, do: ~s|["some ", "text"]|
end
