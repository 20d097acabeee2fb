defmodule Wasmex.Options.Type.HostFunctions do
  @moduledoc false
  # Host functions of plug-ins. `Wasmex.Plugin.Functions` validates the contents of the map and of the modules, and
  # names the invalid function.

  use Wasmex.Options.Type

  @impl true
  def cast(functions) do
    if functions?(functions), do: {:ok, functions}, else: {:error, "", expected(), functions}
  end

  defp functions?(functions) when is_map(functions), do: not is_struct(functions)
  defp functions?({module, opts}), do: is_atom(module) and Keyword.keyword?(opts)
  defp functions?([one | rest]), do: functions?(one) and functions?(rest)
  defp functions?([]), do: true
  defp functions?(module), do: is_atom(module) and module not in [nil, true, false]

  @impl true
  def expected,
    do: "a map of namespaces, a module with functions/1, {module, opts} or a list of them"

  @impl true
  def spec, do: quote(do: Wasmex.Plugin.Functions.t())

  @impl true
  def example,
    do: ~s|%{"extism:host/user" => %{"now" => {:fn, [], [:i64], fn _context -> 0 end}}}|
end
