defmodule Wasmex.Components.Path do
  @moduledoc false
  # The path to a function: `"greet"`, `{"ns:pkg/iface@1.0.0", "fun"}`, a list, or a
  # string with a dot or a `#` in between: `"ns:pkg/iface@1.0.0.fun"`.

  @spec parse(term()) :: [String.t()]
  def parse(name) when is_binary(name) do
    if :binary.match(name, "/") == :nomatch, do: [name], else: split(name)
  end

  def parse(name) when is_atom(name) and name not in [nil, true, false],
    do: parse(Atom.to_string(name))

  def parse(path) when is_tuple(path), do: path |> Tuple.to_list() |> parse()
  def parse(path) when is_list(path), do: Enum.map(path, &segment/1)
  def parse(other), do: fail(other)

  defp segment(name) when is_binary(name), do: name

  defp segment(name) when is_atom(name) and name not in [nil, true, false],
    do: Atom.to_string(name)

  defp segment(other), do: fail(other)

  # Split after the version (`1.0.0`), or after the interface if it has none. Names do not start with a digit.
  defp split(text) do
    case Regex.run(~r/\A(.+?\/[^.#]+?(?:@\d+\.\d+\.\d+[^.#\[]*)?)[.#]([a-zA-Z\[].*)\z/, text) do
      [_, interface, function] -> [interface, function]
      nil -> [text]
    end
  end

  @spec fail(term()) :: no_return()
  defp fail(other),
    do: Wasmex.Options.misuse!("a function's name, or a path of names as a tuple or list", other)
end
