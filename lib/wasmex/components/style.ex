defmodule Wasmex.Components.Style do
  @moduledoc false
  # How values look, as the NIF takes it (see style.rs). The drop-in calls have a style of their own:
  # names as atoms where such atoms exist, bytes as lists, lenient input.

  @existing_atoms 1
  @bytes 2
  @packed 4
  @lenient 8
  @exact 16

  @doc "Of calls with values as they are."
  @spec direct() :: non_neg_integer()
  def direct, do: @bytes
  @doc "Of the drop-in calls."
  @spec contract() :: non_neg_integer()
  def contract, do: @existing_atoms + @lenient

  @doc """
  Of the options `:style` (`:direct`, `:contract`, or `:resource`, which refuses arguments too many), `:bytes` and
  `:lists`, see `Wasmex.Options.Call.style/0`.
  """
  @spec bits(%{
          :style => :direct | :contract | :resource,
          :bytes => :binary | :list | nil,
          optional(atom()) => term()
        }) :: non_neg_integer()
  def bits(%{style: :direct, lists: :binary}), do: @bytes + @packed
  def bits(%{style: :direct, bytes: bytes}), do: bytes(bytes || :binary)
  def bits(%{style: :contract, lists: :binary}), do: contract() + @bytes + @packed
  def bits(%{style: :contract, bytes: bytes}), do: contract() + bytes(bytes || :list)
  def bits(%{style: :resource, bytes: bytes}), do: contract() + @exact + bytes(bytes || :list)

  defp bytes(:binary), do: @bytes
  defp bytes(:list), do: 0
end
