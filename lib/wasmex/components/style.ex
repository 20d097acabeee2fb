defmodule Wasmex.Components.Style do
  @moduledoc false
  # How values look, as the NIF takes it (see style.rs). The drop-in calls have a style of their own:
  # names as atoms where such atoms exist, bytes as lists, lenient input.

  @existing_atoms 1
  @bytes 2
  @lenient 4
  @exact 8

  def direct, do: @bytes
  def contract, do: @existing_atoms + @lenient

  @doc "From the options `:style` (`:direct`, `:contract`, or `:resource`, which refuses arguments too many) and `:bytes` (`:binary` or `:list`)."
  def bits(opts) do
    style = Keyword.get(opts, :style, :direct)

    base =
      case style do
        :direct ->
          0

        :contract ->
          contract()

        :resource ->
          contract() + @exact

        other ->
          raise ArgumentError, "style: must be :direct or :contract, got: #{inspect(other)}"
      end

    case Keyword.get(opts, :bytes, default_bytes(style)) do
      :binary ->
        base + @bytes

      :list ->
        base

      other ->
        raise ArgumentError, "bytes: must be :binary or :list, got: #{inspect(other)}"
    end
  end

  defp default_bytes(style) when style in [:contract, :resource], do: :list
  defp default_bytes(_direct), do: :binary
end
