defmodule Wasmex.Options.Type.Stdio do
  @moduledoc false
  # A standard stream of a store: `nil` or `:null` for none, `:inherit` for that of the VM, or a `Wasmex.Pipe`.

  use Wasmex.Options.Type

  @impl true
  def cast(nil), do: {:ok, nil}
  def cast(value) when value in [:null, :inherit], do: {:ok, value}

  def cast(%{__struct__: Wasmex.Pipe, resource: pipe} = value) when is_reference(pipe) do
    Wasmex.Options.here!(pipe, "pipe")
    {:ok, value}
  end

  def cast(other), do: {:error, "", expected(), other}

  @impl true
  def expected, do: "nil, :null, :inherit or a %Wasmex.Pipe{}"

  @impl true
  def spec, do: quote(do: Wasmex.Pipe.t() | :inherit | :null | nil)

  @impl true
  def example, do: ":inherit"

  @impl true
  def native(nil), do: :null
  def native(%{resource: pipe}), do: pipe
  def native(value), do: value
end
