defmodule Wasmex.Plugin.Schema do
  @moduledoc """
  The interface of a plug-in as an XTP schema (`version: v1-draft`) in YAML or JSON: its exports, the host functions it
  imports, and their types.

  `use Wasmex.Plugin` generates a module from it:

      defmodule Shop.Plugin do
        use Wasmex.Plugin, path: "priv/shop.wasm", schema: "priv/shop.yaml", functions: Shop.Host
      end

  | schema | Elixir |
  |---|---|
  | an export `placeOrder` | `Shop.Plugin.place_order(plugin, order, opts)`, `{:ok, result}` or `{:error, exception}` |
  | a schema `Order` with properties | the struct `Shop.Plugin.Order` |
  | a schema with `enum` | one of its strings |
  | an import `findPrice` | the callback `find_price` of the behaviour `Shop.Plugin.Imports`, called with a `Wasmex.Plugin.Context` and the input |

  It also defines `compile/1`, `new/1`, `start_link/1` and `child_spec/1` with the options of `Wasmex.Plugin`. Names in camel
  case become snake case.

  | type | Elixir |
  |---|---|
  | `string`, `integer`, `number`, `boolean` | string, integer, number, boolean |
  | `string` with `format: date-time` | `DateTime` |
  | `buffer` | binary (Base64 in JSON) |
  | `array` with `items`, `object` with `additionalProperties` | list, map of strings |
  | `object` without properties | map with string keys |
  | `nullable: true` | also `nil` |

  Values are encoded according to their `contentType`: `application/json` (the default), `text/plain…` for strings, and
  `application/x-binary` for bytes. A value of the wrong type returns `%Wasmex.Error{reason: :wrong_type}` with its place.
  """

  alias Wasmex.{Error, JSON}
  alias Wasmex.Plugin.Schema.YAML

  defstruct exports: [], imports: [], types: %{}

  @type type :: atom() | tuple()
  @type function_type :: %{
          name: String.t(),
          description: String.t() | nil,
          input: {type(), :json | :text | :binary} | nil,
          output: {type(), :json | :text | :binary} | nil
        }
  @typedoc "`types` are `{:enum, strings}` and `{:struct, [{name, type, required?}]}`, by name."
  @type t :: %__MODULE__{
          exports: [function_type()],
          imports: [function_type()],
          types: %{
            String.t() => {:enum, [String.t()]} | {:struct, [{String.t(), type(), boolean()}]}
          }
        }

  @scalars %{
    "string" => :string,
    "integer" => :integer,
    "number" => :number,
    "boolean" => :boolean,
    "buffer" => :buffer,
    "object" => :object
  }

  # Bytes of a schema's text.
  @longest 1024 * 1024

  @doc "Parses a schema of at most 1 MiB."
  @spec parse(String.t()) :: {:ok, t()} | {:error, Error.t()}
  def parse(text) when byte_size(text) > @longest,
    do: error("it has #{byte_size(text)} bytes, more than the maximum of #{@longest}")

  def parse(text) when is_binary(text) do
    with {:ok, map} <- read(text), do: build(map)
  catch
    {:schema, text} -> error(text)
  end

  def parse(other), do: Wasmex.Options.misuse!("a schema as text", other)

  defp read(text) do
    decoded = if String.match?(text, ~r/\A\s*\{/), do: JSON.decode(text), else: YAML.decode(text)

    case decoded do
      {:ok, %{} = map} -> {:ok, map}
      {:ok, _other} -> error("it must be an object with version and exports")
      {:error, %{__exception__: true} = error} -> error(Exception.message(error))
      {:error, text} -> error(text)
    end
  end

  defp error(text), do: {:error, %Error{reason: :schema, details: %{message: "schema: #{text}"}}}

  @spec fail(String.t()) :: no_return()
  defp fail(text), do: throw({:schema, text})

  defp build(map) do
    if map["version"] not in ["v1-draft", "v0"],
      do: fail("version must be v1-draft, got: #{inspect(map["version"])}")

    schemas = object(object(map["components"], "components")["schemas"], "components.schemas")
    names = Map.keys(schemas)

    types =
      Map.new(schemas, fn {name, schema} ->
        {name, named(schema, "components.schemas.#{name}", names)}
      end)

    {:ok,
     %__MODULE__{
       exports: functions(map["exports"], "exports", names),
       imports: functions(map["imports"], "imports", names),
       types: types
     }}
  end

  defp object(nil, _where), do: %{}
  defp object(%{} = map, _where), do: map

  defp object(other, where),
    do: fail("#{where} must be an object, got: #{inspect(other, limit: 5)}")

  # In v0 functions are a list of names.
  defp functions(list, where, names) when is_list(list) do
    for name <- list,
        do:
          function(
            name!(name, where),
            %{
              "input" => %{"type" => "buffer", "contentType" => "application/x-binary"},
              "output" => %{"type" => "buffer", "contentType" => "application/x-binary"}
            },
            where,
            names
          )
  end

  defp functions(map, where, names) do
    for {name, function} <- Enum.sort(object(map, where)),
        do:
          function(
            name!(name, where),
            object(function, "#{where}.#{name}"),
            "#{where}.#{name}",
            names
          )
  end

  defp name!(name, where) do
    if is_binary(name) and name =~ ~r/\A[A-Za-z_][A-Za-z0-9_]*\z/,
      do: name,
      else: fail("#{where}: #{inspect(name)} is not a name")
  end

  defp function(name, function, where, names) do
    %{
      name: name,
      description: text(function["description"]),
      input: value(function["input"], "#{where}.input", names),
      output: value(function["output"], "#{where}.output", names)
    }
  end

  defp text(text) when is_binary(text), do: text
  defp text(_other), do: nil

  defp value(nil, _where, _names), do: nil

  defp value(%{} = value, where, names) do
    type = type(value, where, names)
    {type, encoding(value["contentType"], type, where)}
  end

  defp value(other, where, _names),
    do: fail("#{where} must be an object, got: #{inspect(other, limit: 5)}")

  defp encoding(nil, :buffer, _where), do: :binary
  defp encoding(nil, _type, _where), do: :json
  defp encoding("application/json" <> _, _type, _where), do: :json
  defp encoding("text/plain" <> _, _type, _where), do: :text
  defp encoding("application/x-binary" <> _, _type, _where), do: :binary

  defp encoding(other, _type, where),
    do: fail("#{where}.contentType: #{inspect(other)} is not supported")

  defp named(%{"enum" => [_ | _] = values}, where, _names) do
    unless Enum.all?(values, &is_binary/1), do: fail("#{where}.enum must be strings")
    {:enum, values}
  end

  defp named(%{"properties" => properties} = schema, where, names) do
    required = schema["required"] || []
    unless is_list(required), do: fail("#{where}.required must be a list")

    {:struct,
     for {name, property} <- Enum.sort(object(properties, where <> ".properties")) do
       property = object(property, "#{where}.#{name}")

       {name!(name, where), type(property, "#{where}.#{name}", names),
        name in required or property["required"] == true}
     end}
  end

  defp named(_schema, where, _names), do: fail("#{where} must have enum or properties")

  defp type(%{"nullable" => true} = schema, where, names),
    do: {:nullable, type(Map.delete(schema, "nullable"), where, names)}

  defp type(%{"$ref" => "#/components/schemas/" <> name}, where, names) do
    if name in names,
      do: {:ref, name},
      else: fail("#{where}: unknown schema #{name}#{Error.suggestion(name, names)}")
  end

  defp type(%{"$ref" => other}, where, _names),
    do: fail("#{where}: #{inspect(other)} is not a schema of this file")

  defp type(%{"type" => "array", "items" => items}, where, names),
    do: {:array, type(object(items, where), where <> ".items", names)}

  defp type(%{"type" => "array"}, where, _names), do: fail("#{where} has no items")

  defp type(%{"type" => "object", "additionalProperties" => %{} = values}, where, names),
    do: {:map, type(values, where <> ".additionalProperties", names)}

  defp type(%{"type" => "map", "additionalProperties" => %{} = values}, where, names),
    do: {:map, type(values, where <> ".additionalProperties", names)}

  defp type(%{"type" => "string", "format" => "date-time"}, _where, _names), do: :date_time

  defp type(%{"type" => type}, where, _names) do
    Map.get(@scalars, type) ||
      fail(
        "#{where}: unknown type #{inspect(type)}; the types are #{Enum.join(Map.keys(@scalars), ", ")}, array, map"
      )
  end

  defp type(_schema, where, _names), do: fail("#{where} has neither type nor $ref")
end
