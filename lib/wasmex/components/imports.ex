defmodule Wasmex.Components.Imports do
  @moduledoc false
  # Converts a map of imports for the NIF: declarations, and the Elixir functions as a tuple of
  # `{{:plain, function}, interface, name}` (these functions receive no context).
  #
  #     %{"log" => {:fn, fun}, "ns:pkg/iface@1.0.0" => %{"get" => {:fn, fun}, "thing" => {:resource, drop}}}

  @spec prepare(map()) :: {[tuple()], tuple()}
  def prepare(imports) when is_map(imports) and not is_struct(imports) do
    entries =
      Enum.flat_map(imports, fn {name, definition} ->
        name = name!(name)

        case definition do
          %{} = interface when not is_struct(interface) ->
            for {inner, definition} <- interface, do: entry(name, name!(inner), definition)

          definition ->
            [entry(nil, name, definition)]
        end
      end)

    {entries, {functions, _count}} = Enum.map_reduce(entries, {[], 0}, &number/2)
    {entries, functions |> Enum.reverse() |> Wasmex.Call.Functions.table()}
  end

  def prepare(other),
    do: Wasmex.Options.misuse!("imports as a map of names and interfaces", other)

  defp name!(name) when is_atom(name) and name != nil, do: Atom.to_string(name)

  defp name!(name) do
    if is_binary(name) and String.valid?(name),
      do: name,
      else: Wasmex.Options.misuse!("a string as the name of an import", name)
  end

  defp entry(interface, name, {:fn, function}) when is_function(function),
    do: {interface, name, :fn, function}

  defp entry(interface, name, {:resource, drop}) when is_function(drop, 1) or is_nil(drop),
    do: {interface, name, :resource, drop}

  defp entry(interface, name, definition),
    do:
      Wasmex.Options.misuse!(
        "{:fn, function} or {:resource, function of one argument} as import #{place(interface, name)}",
        definition
      )

  defp place(nil, name), do: inspect(name)
  defp place(interface, name), do: "#{inspect(name)} of #{inspect(interface)}"

  defp number({interface, name, kind, nil}, acc), do: {{interface, name, kind, nil}, acc}

  defp number({interface, name, kind, function}, {functions, count}),
    do:
      {{interface, name, kind, count},
       {[{{:plain, function}, interface, name} | functions], count + 1}}
end
