defmodule Wasmex.Components.Conversion do
  @moduledoc false
  # Error texts for values that do not match their type: `param 1 ("order"), field "lines", item 3: expected
  # u32, got -1`. The NIF returns the problem and its path.

  alias Wasmex.Printable

  @doc "The message for direct calls."
  @spec sentence(map()) :: String.t()
  def sentence(%{path: path} = problem) do
    case Enum.map_join(path, ", ", &step/1) do
      "" -> reason(problem)
      place -> "#{place}: #{reason(problem)}"
    end
  end

  defp step({:param, index, name}), do: "param #{index + 1} (#{inspect(name)})"
  defp step(:result), do: "the result"
  defp step({:field, name}), do: "field #{inspect(name)}"
  defp step({:item, index}), do: "item #{index + 1}"
  defp step({:element, index}), do: "element #{index + 1}"
  defp step({:case, name}), do: "case #{inspect(name)}"
  defp step({:key, _index}), do: "a key"
  defp step({:value, _index}), do: "a value"

  defp reason(%{problem: :type, expected: expected, got: got}),
    do: "expected #{form(expected)}, got #{short(got)}"

  defp reason(%{problem: :range, expected: expected, got: got}),
    do: "expected #{expected}, got #{short(got)}"

  defp reason(%{problem: :fields, missing: missing, unknown: unknown, names: names}) do
    missing = if missing != [], do: "missing fields: #{Printable.list(missing, ", ", &field/1)}"
    unknown = if unknown != [], do: "unknown fields: #{Printable.list(unknown, ", ", &field/1)}"

    [missing, unknown, "the fields are: #{Printable.list(names, ", ", &Printable.name/1)}"]
    |> Enum.filter(& &1)
    |> Enum.join("; ")
  end

  defp reason(%{problem: :case, expected: of, got: got, names: names}) do
    word = if of == "flags", do: "flag", else: "case"

    "there is no #{word} #{short(got)}; there are: #{Printable.list(names, ", ", &Printable.name/1)}"
  end

  defp reason(%{problem: :payload, name: name, expected: true}),
    do: "case #{inspect(name)} has a payload: {#{name}, value}"

  defp reason(%{problem: :payload, name: name, expected: false}),
    do: "case #{inspect(name)} has no payload"

  defp reason(%{problem: :length, expected: expected, got: got}),
    do: "expected #{expected} elements, got #{got}"

  defp reason(%{problem: :utf8, offset: offset}),
    do: "a string must be valid UTF-8; byte #{offset} is invalid"

  defp reason(%{problem: :resource, message: message}), do: message

  defp form("option"), do: ":none or {:some, value}"
  defp form("result"), do: "{:ok, value} or {:error, value}"
  defp form("variant"), do: "a variant: a case or {case, value}"
  defp form("enum"), do: "an enum: the name of a case"
  defp form("record"), do: "a record: a map"
  defp form("resource"), do: "a %Wasmex.Components.GuestResource{}"
  defp form(other), do: other

  defp field(name), do: inspect(name, limit: 20, printable_limit: 256)
  defp short(term), do: inspect(term, limit: 5, printable_limit: 60)

  @doc "The message of Wasmex 0.15."
  @spec compat_message(map()) :: String.t()
  def compat_message(%{path: path} = problem) do
    place = path |> Enum.map(&compat_step/1) |> Enum.reject(&is_nil/1) |> Enum.join(".")
    text = compat_reason(problem)
    if place == "", do: text, else: "#{text} at #{inspect(place)}"
  end

  defp compat_step({:param, _, _}), do: nil
  defp compat_step(:result), do: nil
  defp compat_step({:field, name}), do: "record('#{name}')"
  defp compat_step({:item, index}), do: "list[#{index}]"
  defp compat_step({:element, index}), do: "tuple[#{index}]"
  defp compat_step({:case, "some"}), do: "option(some)"
  defp compat_step({:case, "ok"}), do: "result(ok)"
  defp compat_step({:case, "error"}), do: "result(error)"
  defp compat_step({:case, name}), do: "Variant('#{name}')"
  defp compat_step({:key, index}), do: "map_key[#{index}]"
  defp compat_step({:value, index}), do: "map[#{index}]"

  defp compat_reason(%{problem: :fields, count: count, missing: missing}) do
    "Expected #{count} fields, got #{count - length(missing)} - missing fields: #{Enum.join(missing, ", ")}"
  end

  defp compat_reason(%{problem: :case, expected: "enum", got: got}),
    do: "Enum value not found: #{name(got)}"

  defp compat_reason(%{problem: :case, expected: "variant", got: got}),
    do: "Variant case not found: #{name(got)}"

  defp compat_reason(%{problem: :case, got: got}), do: "Flag not found: #{name(got)}"

  defp compat_reason(%{problem: :payload, name: name, expected: payload?})
       when name in ["ok", "error"] do
    {expected, got} =
      if payload?,
        do: {"'#{name}' tuple", ":#{name} atom"},
        else: {":#{name} atom", "'#{name}' tuple"}

    article = if payload?, do: "a", else: "an"
    "Result-type expected to have #{article} #{expected}, but got #{got}"
  end

  defp compat_reason(%{problem: :type, expected: "option", got: got}) do
    case got do
      {:some} ->
        "Option-tuple expected to have a second element"

      {tag, _} when is_atom(tag) ->
        "Invalid atom: #{name(tag)}, expected ':some'"

      atom when is_atom(atom) ->
        "Invalid atom: #{name(atom)}, expected ':none' or '{:some, term}' tuple"

      other ->
        "Could not convert #{kind(other)} to Option"
    end
  end

  defp compat_reason(%{problem: :type, expected: "result", got: got}) do
    case got do
      {tag, _} when is_atom(tag) ->
        "Invalid atom: #{name(tag)}, expected ':ok' or ':error' as first element in result-tuple"

      atom when is_atom(atom) ->
        "Invalid atom: #{name(atom)}, expected ':ok' or ':error' as result"

      other ->
        "Could not convert #{kind(other)} to Result"
    end
  end

  defp compat_reason(%{problem: :type, expected: "variant", got: {tag, _}}) when not is_atom(tag),
    do: "First element of variant tuple must be an atom"

  defp compat_reason(%{problem: :type, expected: "char", got: got}) when is_integer(got),
    do: "Invalid character code point: #{got}"

  defp compat_reason(%{problem: :type, expected: "char", got: [code]}) when is_integer(code),
    do: "Invalid character code point: #{code}"

  defp compat_reason(%{problem: :type, expected: "char", got: got}) do
    cond do
      got == "" -> "Empty string, expected a character"
      is_binary(got) -> "Expected a single character, got multiple characters"
      is_list(got) -> "Expected a single char"
      true -> "Could not convert #{kind(got)} to Char"
    end
  end

  defp compat_reason(%{problem: :range, expected: "char", got: got}),
    do: "Invalid character code point: #{if is_list(got), do: hd(got), else: got}"

  defp compat_reason(%{problem: :type, expected: expected, got: got}),
    do: "Could not convert #{kind(got)} to #{type(expected)}"

  defp compat_reason(%{problem: :range, expected: expected, got: got}),
    do: "Could not convert #{kind(got)} to #{type(expected)}: #{inspect(got)} is out of range"

  defp compat_reason(problem), do: reason(problem)

  defp name(name) when is_binary(name), do: name
  defp name(name) when is_atom(name), do: Atom.to_string(name)
  defp name(other), do: inspect(other)

  defp kind(term) do
    cond do
      is_atom(term) -> "Atom"
      is_binary(term) -> "String"
      is_integer(term) -> "Integer"
      is_float(term) -> "Float"
      is_list(term) -> "List"
      is_map(term) -> "Map"
      is_tuple(term) -> "Tuple"
      is_function(term) -> "Fun"
      is_pid(term) -> "Pid"
      is_reference(term) -> "Ref"
      true -> "Term"
    end
  end

  defp type("f32"), do: "Float32"
  defp type("f64"), do: "Float64"
  defp type("list" <> _), do: "List"
  defp type("tuple" <> _), do: "Tuple"
  defp type(other), do: String.capitalize(other)
end
