defmodule Wasmex.Components.Conversion do
  @moduledoc false
  # Error texts for values that do not match their type: `param 1 ("order"), field "lines", item 3: expected
  # u32, got -1`. The NIF returns the problem and its path.

  @doc "The message for direct calls."
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

  defp reason(%{what: :kind, wanted: wanted, given: given}),
    do: "expected #{form(wanted)}, got #{short(given)}"

  defp reason(%{what: :range, wanted: wanted, given: given}),
    do: "expected #{wanted}, got #{short(given)}"

  defp reason(%{what: :fields, missing: missing, unknown: unknown, names: names}) do
    missing = if missing != [], do: "missing fields: #{Enum.map_join(missing, ", ", &inspect/1)}"

    unknown = if unknown != [], do: "unknown fields: #{Enum.map_join(unknown, ", ", &inspect/1)}"

    [missing, unknown, "the fields are: #{Enum.join(names, ", ")}"]
    |> Enum.filter(& &1)
    |> Enum.join("; ")
  end

  defp reason(%{what: :case, wanted: of, given: given, names: names}) do
    word = if of == "flags", do: "flag", else: "case"
    "there is no #{word} #{short(given)}; there are: #{Enum.join(names, ", ")}"
  end

  defp reason(%{what: :payload, name: name, wanted: true}),
    do: "case #{inspect(name)} has a payload: {#{name}, value}"

  defp reason(%{what: :payload, name: name, wanted: false}),
    do: "case #{inspect(name)} has no payload"

  defp reason(%{what: :length, wanted: wanted, given: given}),
    do: "expected #{wanted} elements, got #{given}"

  defp reason(%{what: :utf8, offset: offset}),
    do: "a string must be valid UTF-8; byte #{offset} is invalid"

  defp reason(%{what: :resource, message: message}), do: message

  defp form("option"), do: ":none or {:some, value}"
  defp form("result"), do: "{:ok, value} or {:error, value}"
  defp form("variant"), do: "a variant: a case or {case, value}"
  defp form("enum"), do: "an enum: the name of a case"
  defp form("record"), do: "a record: a map"
  defp form("resource"), do: "a %Wasmex.Components.GuestResource{}"
  defp form(other), do: other

  defp short(term), do: inspect(term, limit: 5, printable_limit: 60)

  @doc "The message of Wasmex 0.15."
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

  defp compat_reason(%{what: :fields, expected: expected, missing: missing}) do
    "Expected #{expected} fields, got #{expected - length(missing)} - missing fields: #{Enum.join(missing, ", ")}"
  end

  defp compat_reason(%{what: :case, wanted: "enum", given: given}),
    do: "Enum value not found: #{name(given)}"

  defp compat_reason(%{what: :case, wanted: "variant", given: given}),
    do: "Variant case not found: #{name(given)}"

  defp compat_reason(%{what: :case, given: given}), do: "Flag not found: #{name(given)}"

  defp compat_reason(%{what: :payload, name: name, wanted: wanted?})
       when name in ["ok", "error"] do
    {expected, got} =
      if wanted?,
        do: {"'#{name}' tuple", ":#{name} atom"},
        else: {":#{name} atom", "'#{name}' tuple"}

    article = if wanted?, do: "a", else: "an"
    "Result-type expected to have #{article} #{expected}, but got #{got}"
  end

  defp compat_reason(%{what: :kind, wanted: "option", given: given}) do
    case given do
      {:some} ->
        "Option-tuple expected to have a second element"

      {tag, _} when is_atom(tag) ->
        "Invalid atom: #{tag}, expected ':some'"

      atom when is_atom(atom) ->
        "Invalid atom: #{atom}, expected ':none' or '{:some, term}' tuple"

      other ->
        "Could not convert #{kind(other)} to Option"
    end
  end

  defp compat_reason(%{what: :kind, wanted: "result", given: given}) do
    case given do
      {tag, _} when is_atom(tag) ->
        "Invalid atom: #{tag}, expected ':ok' or ':error' as first element in result-tuple"

      atom when is_atom(atom) ->
        "Invalid atom: #{atom}, expected ':ok' or ':error' as result"

      other ->
        "Could not convert #{kind(other)} to Result"
    end
  end

  defp compat_reason(%{what: :kind, wanted: "variant", given: {tag, _}}) when not is_atom(tag),
    do: "First element of variant tuple must be an atom"

  defp compat_reason(%{what: :kind, wanted: "char", given: given}) do
    cond do
      given == "" -> "Empty string, expected a character"
      is_binary(given) -> "Expected a single character, got multiple characters"
      is_list(given) -> "Expected a single char"
      true -> "Could not convert #{kind(given)} to Char"
    end
  end

  defp compat_reason(%{what: :range, wanted: "char", given: given}),
    do: "Invalid character code point: #{if is_list(given), do: hd(given), else: given}"

  defp compat_reason(%{what: :kind, wanted: wanted, given: given}),
    do: "Could not convert #{kind(given)} to #{type(wanted)}"

  defp compat_reason(%{what: :range, wanted: wanted, given: given}),
    do: "Could not convert #{kind(given)} to #{type(wanted)}: #{inspect(given)} is out of range"

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
