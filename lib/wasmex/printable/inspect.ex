defmodule Wasmex.Printable.Inspect do
  @moduledoc false
  # Inspects structs that contain text from a guest. Elixir prints zero-width characters in strings unchanged, and a
  # string with a control character as numbers; here they are escaped, as in messages.

  import Inspect.Algebra

  alias Wasmex.Printable

  @doc "Inspects a struct as usual, except for its strings."
  @spec struct(struct(), Inspect.Opts.t()) :: Inspect.Algebra.t()
  def struct(struct, opts), do: Inspect.Any.inspect(struct, %{opts | inspect_fun: &term/2})

  defp term(text, opts) when is_binary(text) do
    opts = if String.valid?(text), do: %{opts | binaries: :as_strings}, else: opts
    # From Elixir 1.19 on with the options, for bytes.
    doc =
      with {doc, %Inspect.Opts{}} <- Inspect.inspect(text, %{opts | syntax_colors: []}), do: doc

    line = doc |> format(:infinity) |> IO.iodata_to_binary() |> Printable.line()
    color(line, :string, opts)
  end

  defp term(term, opts), do: Inspect.inspect(term, opts)
end

for module <- [
      Wasmex.Error,
      Wasmex.Run,
      Wasmex.Trace,
      Wasmex.Inspection,
      Wasmex.Plugin.Manifest,
      Wasmex.HTTP.Request,
      Wasmex.HTTP.Response
    ] do
  defimpl Inspect, for: module do
    def inspect(struct, opts), do: Wasmex.Printable.Inspect.struct(struct, opts)
  end
end
