defmodule Wasmex.Conformance.SpecRunner do
  @moduledoc """
  Runs one file of the core suite through the public API: `[{line, :passed | {:failed, why}}]`.

  All modules of a file share a store, as the suite wants it.
  """

  alias Wasmex.{Engine, EngineConfig, Error, Global, Instance, Module, Store, Trap}
  alias Wasmex.Conformance.SpecValues
  alias Wasmex.JSON

  @spectest ~S"""
  (module
    (global (export "global_i32") i32 (i32.const 666))
    (global (export "global_i64") i64 (i64.const 666))
    (global (export "global_f32") f32 (f32.const 666.6))
    (global (export "global_f64") f64 (f64.const 666.6))
    (table (export "table") 10 20 funcref)
    (table (export "table64") i64 10 20 funcref)
    (memory (export "memory") 1 2))
  """

  @prints %{
    "print" => [],
    "print_i32" => [:i32],
    "print_i64" => [:i64],
    "print_f32" => [:f32],
    "print_f64" => [:f64],
    "print_i32_f32" => [:i32, :f32],
    "print_f64_f64" => [:f64, :f64]
  }

  # A guest that should end and does not must not hold up the suite.
  @timeout 60_000

  @doc "An engine with everything that the suite is about."
  def engine do
    {:ok, engine} =
      Engine.new(%EngineConfig{
        cranelift_opt_level: :speed,
        memory64: true,
        custom_page_sizes: true,
        wide_arithmetic: true
      })

    engine
  end

  def run(file, engine) do
    {:ok, store} = Store.new(nil, engine)
    {:ok, spectest} = Module.compile(engine, @spectest)
    {:ok, spectest} = Instance.new(store, spectest, %{})

    state = %{
      engine: engine,
      store: store,
      dir: Path.dirname(file),
      current: nil,
      named: %{},
      definitions: %{},
      registered: %{"spectest" => spectest}
    }

    {:ok, %{"commands" => commands}} = file |> File.read!() |> JSON.decode()
    {results, _state} = Enum.map_reduce(commands, state, &command/2)
    Store.close(store)
    results
  end

  defp command(%{"type" => type, "line" => line} = command, state) do
    case perform(type, command, state) do
      {:ok, state} -> {{line, :passed}, state}
      {:failed, why} -> {{line, {:failed, "#{type}: #{why}"}}, state}
    end
  catch
    {:unsupported, why} -> {{line, {:failed, "#{type}: #{why}"}}, state}
    kind, reason -> {{line, {:failed, Exception.format(kind, reason, __STACKTRACE__)}}, state}
  end

  defp perform("module", command, state) do
    with {:ok, module} <- compile(command, state),
         {:ok, instance} <- instantiate(module, state),
         do: {:ok, state |> define(command["name"], instance) |> Map.put(:current, instance)}
  end

  defp perform("module_definition", command, state) do
    with {:ok, module} <- compile(command, state),
         do:
           {:ok,
            put_in(state.definitions[command["name"]], module)
            |> put_in([:definitions, nil], module)}
  end

  defp perform("module_instance", command, state) do
    with {:ok, instance} <- instantiate(state.definitions[command["module"]], state),
         do: {:ok, state |> define(command["instance"], instance) |> Map.put(:current, instance)}
  end

  defp perform("register", command, state),
    do: {:ok, put_in(state.registered[command["as"]], instance(command["name"], state))}

  defp perform("action", command, state) do
    with {:ok, _} <- act(command["action"], state), do: {:ok, state}
  end

  defp perform("assert_return", %{"expected" => expected} = command, state) do
    with {:ok, results} <- act(command["action"], state) do
      if length(results) == length(expected) and
           Enum.all?(Enum.zip(results, expected), fn {result, expected} ->
             SpecValues.match?(result, expected)
           end),
         do: {:ok, state},
         else: {:failed, "expected #{inspect(expected)}, got #{inspect(results)}"}
    end
  end

  defp perform("assert_exhaustion", command, state),
    do: trapped(act(command["action"], state), command, state)

  defp perform("assert_trap", %{"action" => action} = command, state),
    do: trapped(act(action, state), command, state)

  defp perform("assert_exception", command, state) do
    case act(command["action"], state) do
      {:failed, %Trap{code: :uncaught_exception}} -> {:ok, state}
      other -> {:failed, "expected an exception, got #{inspect(other)}"}
    end
  end

  defp perform(type, command, state) when type in ["assert_uninstantiable", "assert_trap"] do
    with {:ok, module} <- compile(command, state),
         do: trapped(instantiate(module, state), command, state)
  end

  defp perform("assert_unlinkable", command, state) do
    with {:ok, module} <- compile(command, state) do
      case instantiate(module, state) do
        {:failed, %Error{reason: reason}}
        when reason in [:missing_import, :incompatible_import] ->
          {:ok, state}

        other ->
          {:failed, "expected a link error, got #{inspect(other)}"}
      end
    end
  end

  defp perform(type, command, state) when type in ["assert_invalid", "assert_malformed"] do
    case compile(command, state) do
      {:failed, text} when is_binary(text) -> {:ok, state}
      {:ok, _module} -> {:failed, "it compiles, though #{command["text"]}"}
    end
  end

  defp compile(%{"filename" => filename}, state) do
    case Module.compile(state.engine, File.read!(Path.join(state.dir, filename))) do
      {:ok, module} -> {:ok, module}
      {:error, text} -> {:failed, text}
    end
  end

  defp define(state, nil, _instance), do: state
  defp define(state, name, instance), do: put_in(state.named[name], instance)

  defp instance(nil, state), do: state.current
  defp instance(name, state), do: Map.fetch!(state.named, name)

  defp instantiate(module, state) do
    case Instance.instantiate(state.store, module, imports(module, state), [], timeout: @timeout) do
      {:ok, instance} -> {:ok, instance}
      {:error, error} -> {:failed, error}
    end
  end

  # Of all that is registered what the module asks for, and is there.
  defp imports(module, state) do
    for {namespace, expected} <- Module.imports(module), into: %{} do
      definitions =
        for {name, type} <- expected,
            definition = definition(namespace, name, type, state),
            into: %{},
            do: {name, definition}

      {namespace, definitions}
    end
  end

  defp definition("spectest", "print" <> _ = name, _type, _state)
       when is_map_key(@prints, name) do
    params = @prints[name]
    {:fn, params, [], ignore(length(params))}
  end

  defp definition(namespace, name, _type, state) do
    with %Instance{} = instance <- state.registered[namespace],
         {:ok, handle} <- export(instance, name),
         do: handle,
         else: (_ -> nil)
  end

  defp ignore(0), do: fn _context -> :ok end
  defp ignore(1), do: fn _context, _a -> :ok end
  defp ignore(2), do: fn _context, _a, _b -> :ok end

  defp export(instance, name) do
    Enum.find_value([:func, :memory, :table, :global, :tag], {:error, :unknown}, fn kind ->
      with {:error, _} <- Instance.export(instance, kind, name), do: nil
    end)
  end

  defp act(%{"type" => "invoke", "field" => field} = action, state) do
    params = Enum.map(action["args"], &SpecValues.argument/1)

    case Instance.call(instance(action["module"], state), field, params,
           floats: :bits,
           timeout: @timeout
         ) do
      {:ok, results} -> {:ok, results}
      {:error, error} -> {:failed, error}
    end
  end

  defp act(%{"type" => "get", "field" => field} = action, state) do
    {:ok, global} = Instance.export(instance(action["module"], state), :global, field)
    {:ok, value} = Global.get(global)
    {:ok, [exact(value, Global.type(global))]}
  end

  defp exact(value, _type) when not is_float(value), do: value

  defp exact(value, {:ok, %{type: :f32}}),
    do: {:bits, :binary.decode_unsigned(<<value::float-32>>)}

  defp exact(value, _), do: {:bits, :binary.decode_unsigned(<<value::float-64>>)}

  @codes %{
    "uninitialized element" => [:indirect_call_to_null, :null_reference],
    "uninitialized element 2" => [:indirect_call_to_null],
    "undefined element" => [:table_out_of_bounds],
    "out of bounds memory access" => [:memory_out_of_bounds],
    "out of bounds table access" => [:table_out_of_bounds],
    "out of bounds array access" => [:array_out_of_bounds],
    "unreachable" => [:unreachable],
    "integer overflow" => [:integer_overflow],
    "integer divide by zero" => [:integer_division_by_zero],
    "invalid conversion to integer" => [:bad_conversion_to_integer],
    "cast failure" => [:cast_failure],
    "indirect call type mismatch" => [:bad_signature],
    "call stack exhausted" => [:stack_overflow],
    "null reference" => [:null_reference],
    "null array reference" => [:null_reference],
    "null function reference" => [:null_reference],
    "null structure reference" => [:null_reference],
    "null i31 reference" => [:null_reference]
  }

  defp trapped({:failed, %Trap{code: code}}, %{"text" => text}, state) do
    case @codes do
      %{^text => codes} ->
        if code in codes, do: {:ok, state}, else: {:failed, "expected #{text}, got #{code}"}

      _ ->
        {:failed, "a trap #{inspect(text)} that is not known"}
    end
  end

  defp trapped(other, %{"text" => text}, _state),
    do: {:failed, "expected a trap (#{text}), got #{inspect(other)}"}
end
