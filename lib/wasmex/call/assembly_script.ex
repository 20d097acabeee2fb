defmodule Wasmex.Call.AssemblyScript do
  @moduledoc false
  # The import that AssemblyScript's compiler adds to every module: `env.abort`, called by `throw`, `assert` and runtime
  # checks, with pointers to strings. https://www.assemblyscript.org/concepts.html#special-imports

  alias Wasmex.{Memory, Module, Native}

  @type_of_abort {:fn, [:i32, :i32, :i32, :i32], []}
  @longest 4096

  @doc "Adds `env.abort` to the imports, if the module imports it and it is not defined."
  @spec provide(map(), Module.t()) :: map()
  def provide(imports, %Module{resource: module}) when is_map(imports) and is_reference(module) do
    with true <- {"env", "abort", @type_of_abort} in Native.module_imports(module),
         {key, env} when is_map(env) <- env(imports),
         false <- is_map_key(env, :abort) or is_map_key(env, "abort") do
      {:fn, params, results} = @type_of_abort
      Map.put(imports, key, Map.put(env, "abort", {:fn, params, results, &abort/5}))
    else
      _ -> imports
    end
  end

  def provide(imports, _module), do: imports

  defp env(%{env: env}), do: {:env, env}
  defp env(%{"env" => env}), do: {"env", env}
  defp env(_imports), do: {"env", %{}}

  @spec abort(map(), integer(), integer(), integer(), integer()) :: no_return()
  defp abort(%{memory: memory}, message, file, line, column) do
    raise "the guest aborted: #{text(memory, message)} (#{text(memory, file)}:#{line}:#{column})"
  end

  # UTF-16; its length in bytes is in the four bytes before it.
  defp text(_memory, 0), do: "without a message"

  defp text(memory, pointer) do
    with {:ok, <<size::little-32>>} <- Memory.read(memory, pointer - 4, 4),
         {:ok, bytes} <- Memory.read(memory, pointer, min(size, @longest)),
         text when is_binary(text) <- :unicode.characters_to_binary(bytes, {:utf16, :little}) do
      text
    else
      _ -> "without a readable message"
    end
  end
end
