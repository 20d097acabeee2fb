defmodule Wasmex.Components.ValueFormat do
  @moduledoc false
  # How values of components are represented in Elixir, as bits for the NIF (see component/mapping.rs). The API of
  # Wasmex 0.15 uses atoms for names if they exist, lists for bytes, and accepts imprecise input.

  @existing_atoms 1
  @bytes 2
  @packed 4
  @lenient 8
  @exact 16

  @doc "The format of direct calls."
  @spec direct() :: non_neg_integer()
  def direct, do: @bytes
  @doc "The format of the API of Wasmex 0.15."
  @spec compat() :: non_neg_integer()
  def compat, do: @existing_atoms + @lenient

  @doc """
  From the options `:value_format` (`:direct`, `:compat`, or `:resource`, which rejects extra arguments), `:bytes` and
  `:lists`, see `Wasmex.Options.Call.value_format/0`.
  """
  @spec bits(%{
          :value_format => :direct | :compat | :resource,
          :bytes => :binary | :list | nil,
          optional(atom()) => term()
        }) :: non_neg_integer()
  def bits(%{value_format: :direct, lists: :binary}), do: @bytes + @packed
  def bits(%{value_format: :direct, bytes: bytes}), do: bytes(bytes || :binary)
  def bits(%{value_format: :compat, lists: :binary}), do: compat() + @bytes + @packed
  def bits(%{value_format: :compat, bytes: bytes}), do: compat() + bytes(bytes || :list)

  def bits(%{value_format: :resource, bytes: bytes}),
    do: compat() + @exact + bytes(bytes || :list)

  defp bytes(:binary), do: @bytes
  defp bytes(:list), do: 0
end
