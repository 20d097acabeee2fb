defmodule Wasmex.Plugin.Schema.Value do
  @moduledoc false
  # Converts values of a schema's types to bytes and back. `structs` are the modules of the generated structs.

  alias Wasmex.{Error, JSON, Utils}
  alias Wasmex.Plugin.Schema

  @type structs :: %{String.t() => module()}

  @doc "Encodes a value. Error messages start with `where`."
  @spec encode(term(), {Schema.type(), atom()} | nil, Schema.t(), structs(), String.t()) ::
          {:ok, binary()} | {:error, Error.t()}
  def encode(_term, nil, _schema, _structs, _where), do: {:ok, ""}

  def encode(term, {type, encoding}, schema, structs, where) do
    json = to_json(type, term, {schema, structs, where})

    case encoding do
      :json -> {:ok, JSON.encode_compact(json)}
      # Buffers are only Base64 in JSON.
      :binary when is_binary(term) -> {:ok, term}
      :text when is_binary(json) -> {:ok, json}
      _ -> wrong(where, if(encoding == :text, do: "a string", else: "a binary"), term)
    end
  catch
    {:wrong, error} -> {:error, error}
  end

  @doc "Decodes a value."
  @spec decode(binary(), {Schema.type(), atom()} | nil, Schema.t(), structs(), String.t()) ::
          {:ok, term()} | {:error, Error.t()}
  def decode(_bytes, nil, _schema, _structs, _where), do: {:ok, nil}
  def decode(bytes, {_type, :binary}, _schema, _structs, _where), do: {:ok, bytes}

  def decode(bytes, {type, :text}, schema, structs, where) do
    if Utils.utf8?(bytes),
      do: {:ok, from_json(type, bytes, {schema, structs, where})},
      else: wrong(where, "a string", bytes)
  catch
    {:wrong, error} -> {:error, error}
  end

  def decode(bytes, {type, :json}, schema, structs, where) do
    case JSON.decode(bytes) do
      {:ok, term} -> {:ok, from_json(type, term, {schema, structs, where})}
      {:error, error} -> {:error, error(where, Exception.message(error))}
    end
  catch
    {:wrong, error} -> {:error, error}
  end

  @spec wrong(String.t(), String.t(), term()) :: no_return()
  defp wrong(where, expected, got),
    do:
      throw(
        {:wrong,
         error(where, "expected #{expected}, got: #{inspect(got, limit: 5, printable_limit: 50)}")}
      )

  defp error(where, text),
    do: %Error{reason: :wrong_type, details: %{message: "#{where}: #{text}"}}

  defp to_json({:nullable, _type}, nil, _at), do: nil
  defp to_json({:nullable, type}, term, at), do: to_json(type, term, at)
  defp to_json(:date_time, %DateTime{} = time, _at), do: DateTime.to_iso8601(time)
  defp to_json(:buffer, bytes, _at) when is_binary(bytes), do: Base.encode64(bytes)

  defp to_json({:array, type}, list, at) when is_list(list),
    do: items(list, at, &to_json(type, &1, &2))

  defp to_json({:map, type}, %{} = map, at) when not is_struct(map),
    do: values(map, at, &to_json(type, &1, &2))

  defp to_json({:ref, name}, term, {schema, structs, where} = at) do
    case {schema.types[name], term} do
      {{:enum, values}, term} ->
        if term in values, do: term, else: wrong(where, "one of #{inspect(values)}", term)

      {{:struct, fields}, %module{}} ->
        if structs[name] == module,
          do: fields(fields, &Map.get(term, field(&1)), at, &to_json/3),
          else: wrong(where, "%#{inspect(structs[name])}{}", term)

      {{:struct, fields}, %{}} ->
        fields(fields, &Map.get(term, &1, Map.get(term, field(&1))), at, &to_json/3)

      _ ->
        wrong(where, "%#{inspect(structs[name])}{}", term)
    end
  end

  defp to_json(type, term, at), do: plain(type, term, at)

  defp from_json({:nullable, _type}, nil, _at), do: nil
  defp from_json({:nullable, type}, term, at), do: from_json(type, term, at)

  defp from_json(:date_time, text, {_, _, where}) do
    with true <- is_binary(text), {:ok, time, _offset} <- DateTime.from_iso8601(text) do
      time
    else
      _ -> wrong(where, "a date and time", text)
    end
  end

  defp from_json(:buffer, text, {_, _, where}) do
    with true <- is_binary(text), {:ok, bytes} <- Base.decode64(text) do
      bytes
    else
      _ -> wrong(where, "Base64", text)
    end
  end

  defp from_json({:array, type}, list, at) when is_list(list),
    do: items(list, at, &from_json(type, &1, &2))

  defp from_json({:map, type}, %{} = map, at), do: values(map, at, &from_json(type, &1, &2))

  defp from_json({:ref, name}, term, {schema, structs, where} = at) do
    case {schema.types[name], term} do
      {{:enum, values}, term} ->
        if term in values, do: term, else: wrong(where, "one of #{inspect(values)}", term)

      {{:struct, fields}, %{}} ->
        pairs = fields(fields, &Map.get(term, &1), at, &from_json/3)
        struct!(structs[name], for({name, value} <- pairs, do: {field(name), value}))

      {_struct, other} ->
        wrong(where, "an object", other)
    end
  end

  defp from_json(type, term, at), do: plain(type, term, at)

  defp plain(:string, text, {_, _, where}) when is_binary(text),
    do: if(Utils.utf8?(text), do: text, else: wrong(where, "a string", text))

  defp plain(:integer, number, _at) when is_integer(number), do: number
  defp plain(:number, number, _at) when is_number(number), do: number
  defp plain(:boolean, bool, _at) when is_boolean(bool), do: bool
  defp plain(:object, %{} = map, _at) when not is_struct(map), do: map
  defp plain(type, term, {_, _, where}), do: wrong(where, name(type), term)

  defp name({:array, _}), do: "a list"
  defp name({:map, _}), do: "a map"
  defp name(:date_time), do: "a DateTime"
  defp name(:buffer), do: "a binary"
  defp name(type), do: Atom.to_string(type)

  defp items(list, {schema, structs, where}, convert) do
    for {item, index} <- Enum.with_index(list),
        do: convert.(item, {schema, structs, "#{where}, item #{index}"})
  end

  defp values(map, {schema, structs, where}, convert) do
    Map.new(map, fn {key, value} ->
      key = if is_binary(key), do: key, else: wrong(where, "names as strings", key)
      {key, convert.(value, {schema, structs, "#{where}, #{inspect(key)}"})}
    end)
  end

  # Missing fields are nil, unless they are required.
  defp fields(fields, get, {schema, structs, where}, convert) do
    for {name, type, required?} <- fields, into: %{} do
      at = {schema, structs, "#{where}, field #{inspect(name)}"}
      value = get.(name)

      cond do
        value == nil and not required? -> {name, nil}
        true -> {name, convert.(type, value, at)}
      end
    end
  end

  # The atoms of the schema exist since its module was compiled.
  defp field(name), do: name |> Macro.underscore() |> String.to_existing_atom()
end
