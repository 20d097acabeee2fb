defmodule Wasmex.Compat do
  @moduledoc false
  # The drop-in half of the API answers `{:error, text}`; the text comes from the same exceptions that
  # the rest of the library answers with, through this one function.

  alias Wasmex.Components.Conversion
  alias Wasmex.{Error, Exit, Trap}

  def result({:ok, _} = ok), do: ok
  def result(:ok), do: :ok
  def result({:error, error}), do: {:error, text(error)}

  def text(%Trap{detail: detail}) when is_binary(detail),
    do: "Error during function execution (TRAP): #{detail}"

  def text(%Trap{} = trap),
    do: "Error during function execution (TRAP): #{Exception.message(trap)}"

  def text(%Exit{} = exit), do: "Error during function execution: #{Exception.message(exit)}"

  def text(%Error{reason: reason, details: %{detail: detail}} = error)
      when reason in [:import_raised, :bad_results, :bad_value],
      do: "Error during function execution: #{detail}\n#{Exception.message(error)}"

  def text(%Error{reason: :guest, details: %{detail: detail, backtrace: [_ | _]}}),
    do: "Error during function execution: #{detail}"

  def text(%Error{reason: :unknown_export, details: %{kind: kind, name: name}}),
    do: "exported #{if kind == :func, do: "function", else: kind} `#{name}` not found"

  def text(%Error{reason: :conversion, details: problem}), do: Conversion.contract(problem)

  def text(%Error{reason: :unknown_path, details: %{path: [name]}}),
    do: "exported function `#{name}` not found."

  def text(%Error{reason: :unknown_path, details: %{path: []}}),
    do: "exported function `` not found."

  def text(%Error{reason: :unknown_path, details: %{path: path, position: position}}),
    do:
      "exported function `[#{Enum.join(path, ", ")}]` not found. " <>
        "Could not find `#{Enum.at(path, position)}` at position #{position}"

  def text(%Error{reason: :parse, details: %{message: message}}),
    do: "Error while parsing bytes: #{message}."

  def text(%Error{reason: :immutable}), do: "Could not set global: immutable global cannot be set"

  def text(%Error{reason: :grow, details: %{message: text}}),
    do: "Failed to grow the memory: #{text}."

  def text(%Error{reason: :out_of_bounds}), do: "out of bounds memory access"
  def text(%{__exception__: true} = error), do: Exception.message(error)
end
