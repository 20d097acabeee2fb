defmodule Wasmex.Compat do
  @moduledoc false
  # The API of Wasmex 0.15 returns `{:error, text}`, with its error messages ("excecution" included, because tests of its
  # users contain it). This module converts the exceptions of the rest of the library to these messages.

  alias Wasmex.Call.Signed
  alias Wasmex.Components.Conversion
  alias Wasmex.{Error, Exit, Native, Printable, Trap}

  @typedoc "The results of the functions of Wasmex 0.15."
  @type result(value) :: {:ok, value} | {:error, String.t()}

  @doc "Converts a result, except that of a call."
  @spec result({:ok, value} | :ok | {:error, Exception.t()}) :: result(value) | :ok
        when value: term()
  def result({:ok, _} = ok), do: ok
  def result(:ok), do: :ok
  def result({:error, error}), do: {:error, text(error)}

  @doc "Converts the result of a call. An exit with status 0 is a success."
  @spec call({:ok, term()} | {:error, Exception.t()}) :: result(term())
  def call({:error, %Exit{status: 0}}), do: {:ok, []}
  def call(result), do: result(result)

  @doc "Converts the result of a call of a core function. References are errors; `Wasmex.Instance.call/4` returns them."
  @spec call({:ok, [term()]} | {:error, Exception.t()}, Wasmex.Instance.t(), String.t()) ::
          result([term()])
  def call({:ok, results}, instance, name) do
    if numbers?(results),
      do: {:ok, results},
      else: numbers_only(results, types(instance, name, 2))
  end

  def call(error, _instance, _name), do: call(error)

  defp numbers?([result | results]) when is_number(result), do: numbers?(results)
  defp numbers?(results), do: results == []

  defp numbers_only(results, types) do
    Enum.find_value(types, {:ok, results}, fn type ->
      with {:reference, text} <- type, do: {:error, reference(text)}, else: (_ -> nil)
    end)
  end

  defp types(%{resource: resource}, name, position) do
    case Native.instance_export_type(resource, name) do
      {:fn, _, _} = type -> elem(type, position)
      _ -> []
    end
  end

  @doc "Converts the value of a global. References are errors."
  @spec global({:ok, term()} | {:error, Exception.t()}, term()) :: result(term())
  def global({:ok, _}, %{type: {:reference, text}}), do: {:error, reference(text)}
  def global(result, _type), do: result(result)

  @references [
    {"extern", "extern"},
    {"func", "func"},
    {"exn", "exn"},
    {"cont", "cont"}
  ]

  defp reference(text) do
    kind = Enum.find_value(@references, "any", fn {part, kind} -> if text =~ part, do: kind end)
    "unable_to_return_#{kind}_ref_type"
  end

  @doc "The params of a call with signed integers, see `Wasmex.Call.Signed`."
  @spec signed(Wasmex.Instance.t(), String.t(), [term()]) :: [term()]
  def signed(instance, name, params) do
    if Signed.params?(params),
      do: params,
      else: Signed.params(params, types(instance, name, 1))
  end

  @doc "The message of an exception in Wasmex 0.15."
  @spec text(Exception.t()) :: String.t()
  def text(error), do: error |> message() |> Printable.message()

  defp message(%Trap{message: message, detail: detail}),
    do: "Error during function excecution (#{message}): #{outermost(detail || message)}"

  defp message(%Exit{} = exit), do: "Error during function excecution: #{Exception.message(exit)}"

  defp message(%Error{reason: reason, details: %{detail: detail}} = error)
       when reason in [:import_raised, :bad_results, :bad_value],
       do: "Error during function excecution: #{detail}\n#{Exception.message(error)}"

  defp message(%Error{reason: :guest, details: %{detail: detail, backtrace: [_ | _]}}),
    do: "Error during function excecution: #{detail}"

  defp message(%Error{reason: :missing_import, details: details}) do
    %{namespace: namespace, name: name} = details
    name = "#{Printable.name(namespace)}::#{Printable.name(name)}"
    text = "unknown import: `#{name}` has not been defined"
    if details[:linked], do: ~s|"Could not instantiate linked module: #{text}"|, else: text
  end

  defp message(%Error{reason: :spent}) do
    text = "wasm trap: cannot enter component instance"
    "Error during function excecution (#{text}): #{text}"
  end

  defp message(%Error{reason: :params, details: %{message: "the params are no proper list" <> _}}),
    do: "could not load 'function params'"

  defp message(%Error{reason: :missing_imports, details: %{names: [missing | _]}}) do
    {kind, name} = component_import(missing)

    "component imports #{kind} `#{Printable.name(name)}`, but a matching implementation was not found in the linker"
  end

  defp message(%Error{reason: :incompatible_import, details: %{message: message}}),
    do: message |> Printable.outermost() |> elem(0)

  defp message(%Error{reason: :unknown_export, details: %{kind: kind, name: name}}),
    do:
      "exported #{if kind == :func, do: "function", else: kind} `#{Printable.name(name)}` not found"

  defp message(%Error{reason: :conversion, details: problem}),
    do: Conversion.compat_message(problem)

  defp message(%Error{reason: :unknown_path, details: %{path: [name]}}),
    do: "exported function `#{Printable.name(name)}` not found."

  defp message(%Error{reason: :unknown_path, details: %{path: []}}),
    do: "exported function `` not found."

  defp message(%Error{reason: :unknown_path, details: %{path: path, position: position}}),
    do:
      "exported function `[#{Enum.map_join(path, ", ", &Printable.name/1)}]` not found. " <>
        "Could not find `#{path |> Enum.at(position) |> Printable.name()}` at position #{position}"

  defp message(%Error{reason: :parse, details: %{message: message}}),
    do: "Error while parsing bytes: #{message}."

  defp message(%Error{reason: :immutable}),
    do: "Could not set global: immutable global cannot be set"

  defp message(%Error{reason: :grow, details: %{message: text}}),
    do: "Failed to grow the memory: #{text}."

  defp message(%Error{reason: :out_of_bounds}), do: "out of bounds memory access"
  defp message(%{__exception__: true} = error), do: Exception.message(error)

  # What wasmtime calls the import.
  defp component_import({nil, name, "resource"}), do: {"resource", name}
  defp component_import({nil, name, _type}), do: {"function", name}
  defp component_import({interface, _name, _type}), do: {"instance", interface}

  # The message without its causes.
  defp outermost(text), do: text |> String.split("\n\nCaused by:", parts: 2) |> hd()
end
