defmodule Wasmex.Plugin.Functions do
  @moduledoc """
  Host functions: Elixir functions that plug-ins import. They run in the process that called the plug-in.

  Pass them as `functions:` to `Wasmex.Plugin.compile/2`, as a map of namespaces. The default namespace of Extism is
  `"extism:host/user"`:

      %{"extism:host/user" => %{
          "kv_read" => {:fn, [:string], [:bytes], fn _context, key -> MyStore.get(key) end},
          "add" => {:fn, [:i32, :f64], [:f64], fn _context, a, b -> a + b end}
        }}

  or as a module that implements this behaviour, `{module, opts}`, or a list of these.

  ## Types

  | declared | in WebAssembly | parameter | result |
  |---|---|---|---|
  | `:bytes` | i64, the offset of a block | binary | iodata, or `nil` for 0 |
  | `:string` | the same | string; invalid UTF-8 ends the call | the same |
  | `:json` | the same | decoded term | term to encode |
  | `:i32`, `:i64` | itself | integer, signed | integer |
  | `:f32`, `:f64` | itself | float, `:nan`, `:infinity`, `:neg_infinity` | number |

  The offset 0 is the empty binary, or nil for `:json`. As in all Extism PDKs, the plug-in keeps ownership of parameter blocks
  and takes ownership of result blocks. A function with one result returns it, with several results it returns a list, and
  without results its return value is ignored.

  ## Errors

  `{:error, text}` returns zeros to the plug-in and sets its error to the text. The plug-in can read it with `error_get`, and
  the call fails with it unless the plug-in clears it. If a function raises, the plug-in is stopped and the caller gets
  `%Wasmex.Error{reason: :import_raised}`.

  The first argument is a `Wasmex.Plugin.Context`.
  """

  alias Wasmex.{Error, JSON, Utils}
  alias Wasmex.Plugin.{Context, Log}

  @type type :: :bytes | :string | :json | :i32 | :i64 | :f32 | :f64
  @type definition :: {:fn, [type()], [type()], function()}
  @type namespaces :: %{String.t() => %{String.t() => definition()}}
  @type t :: namespaces() | module() | {module(), keyword()} | [t()]

  @doc "Returns the functions of the module, as above. The options are those of `{module, opts}`."
  @callback functions(keyword()) :: namespaces()

  @types [:bytes, :string, :json, :i32, :i64, :f32, :f64]
  # The maximum number of parameters. The functions below are generated for each number.
  @most 12

  @doc false
  # Declarations for the native side, and a tuple of functions. Those of the library come first, at positions that
  # `functions.rs` knows.
  @spec prepare(t(), function()) :: {[tuple()], tuple()}
  def prepare(functions, http) do
    entries =
      for {namespace, definitions} <- merge(functions),
          {name, definition} <- definitions,
          do: entry(namespace, name, definition)

    own = [
      {&Log.write/3, "extism:host/env", "log"},
      {http, "extism:host/env", "http_request"}
    ]

    {Enum.map(entries, &elem(&1, 0)),
     Wasmex.Call.Functions.table(own ++ Enum.map(entries, &elem(&1, 1)))}
  end

  defp merge(list) when is_list(list) do
    list
    |> Enum.map(&merge/1)
    |> Enum.reduce(%{}, fn functions, all ->
      Map.merge(all, functions, fn _namespace, left, right -> Map.merge(left, right) end)
    end)
  end

  defp merge({module, opts}) when is_atom(module) and is_list(opts), do: callback(module, opts)

  defp merge(module) when is_atom(module) and module not in [nil, true, false],
    do: callback(module, [])

  defp merge(%{} = functions) when not is_struct(functions) do
    Map.new(functions, fn
      {namespace, %{} = names} when not is_struct(names) ->
        {Utils.stringify(namespace),
         Map.new(names, fn {name, it} -> {Utils.stringify(name), it} end)}

      {namespace, other} ->
        Wasmex.Options.misuse!("host functions of #{inspect(namespace)} as a map of names", other)
    end)
  end

  defp merge(other) do
    Wasmex.Options.misuse!(
      "host functions as a map of namespaces, a module, {module, opts} or a list of them",
      other
    )
  end

  defp callback(module, opts) do
    unless Code.ensure_loaded?(module) and function_exported?(module, :functions, 1) do
      raise ArgumentError,
            "#{inspect(module)} does not implement functions/1 of the behaviour Wasmex.Plugin.Functions"
    end

    merge(module.functions(opts))
  end

  defp entry(namespace, name, {:fn, params, results, function} = definition)
       when is_list(params) and is_list(results) and is_function(function) do
    for type <- params ++ results, type not in @types do
      fail(
        namespace,
        name,
        "unknown type #{inspect(type)}; the types are #{inspect(@types)}",
        definition
      )
    end

    if length(params) > @most,
      do: fail(namespace, name, "at most #{@most} parameters are supported", definition)

    unless is_function(function, length(params) + 1) do
      {:arity, arity} = Function.info(function, :arity)

      fail(
        namespace,
        name,
        "the function must take the context and #{length(params)} parameters, but it takes #{arity}",
        definition
      )
    end

    declaration = {namespace, name, Enum.map(params, &native/1), Enum.map(results, &native/1)}

    {declaration,
     {wrap(length(params), {function, params, results, {namespace, name}}), namespace, name}}
  end

  defp entry(namespace, name, other),
    do: fail(namespace, name, "expected {:fn, params, results, function}", other)

  @spec fail(String.t(), String.t(), String.t(), term()) :: no_return()
  defp fail(namespace, name, message, definition),
    do:
      raise(
        ArgumentError,
        "host function #{namespace}.#{name}: #{message}; got: #{inspect(definition)}"
      )

  defp native(type) when type in [:string, :json], do: :bytes
  defp native(type), do: type

  for count <- 0..@most do
    args = Macro.generate_arguments(count, __MODULE__)

    defp wrap(unquote(count), function),
      do: fn context, unquote_splicing(args) -> run(function, context, unquote(args)) end
  end

  defp run({function, params, results, where}, native, args) do
    context = %Context{plugin: native.plugin, context: native.context, caller: native.caller}
    value = apply(function, [context | decode(params, args, where)])
    encode(results, value, where)
  end

  defp decode([], [], _where), do: []

  defp decode([type | types], [arg | args], where),
    do: [decode_one(type, arg, where) | decode(types, args, where)]

  defp decode_one(:string, bytes, where) do
    if Utils.utf8?(bytes), do: bytes, else: raise(bad(where, "a :string parameter is not UTF-8"))
  end

  defp decode_one(:json, "", _where), do: nil

  defp decode_one(:json, bytes, where) do
    case JSON.decode(bytes) do
      {:ok, term} -> term
      {:error, error} -> raise bad(where, "a :json parameter: #{Exception.message(error)}")
    end
  end

  defp decode_one(_type, arg, _where), do: arg

  defp bad({namespace, name}, text),
    do: %Error{reason: :wrong_type, details: %{message: "#{namespace}.#{name}: #{text}"}}

  defp encode(_results, {:error, text}, _where) when is_binary(text), do: {:error, text}

  defp encode(_results, {:error, %{__exception__: true} = e}, _where),
    do: {:error, Exception.message(e)}

  defp encode(_results, {:error, reason}, _where), do: {:error, inspect(reason)}
  defp encode([], _value, _where), do: nil
  defp encode([type], value, where), do: encode_one(type, value, where)

  defp encode(types, values, where) when is_list(values) and length(values) == length(types) do
    Enum.zip_with(types, values, &encode_one(&1, &2, where))
  end

  defp encode(_types, other, _where), do: other

  defp encode_one(:json, value, _where), do: JSON.encode_compact(value)

  defp encode_one(type, value, _where) when type in [:bytes, :string] and is_list(value),
    do: IO.iodata_to_binary(value)

  defp encode_one(_type, value, _where), do: value
end
