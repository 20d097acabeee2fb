defmodule Wasmex.Fuzz.Case do
  @moduledoc false
  # A random module and what plain wasmtime made of it (see oracle/src/main.rs), done again through the
  # public API: the difference, if there is one.

  alias Wasmex.{Engine, EngineConfig, Error, Global, Instance, Memory, Module, Store}
  alias Wasmex.{StoreLimits, StoreOrCaller, Trap}

  defstruct seed: 0, size: 0, wasm: "", lines: [], text: ""

  @fuel 100_000
  @timeout 20_000

  @doc "The cases in what the oracle printed."
  def parse(text) do
    text
    |> String.split(~r/^end\n/m, trim: true)
    |> Enum.map(fn text ->
      ["case " <> head, "wasm " <> wasm | lines] = String.split(text, "\n", trim: true)
      [seed, size] = head |> String.split(" ") |> Enum.map(&String.to_integer/1)
      %__MODULE__{seed: seed, size: size, wasm: unhex(wasm), lines: lines, text: text <> "end\n"}
    end)
  end

  @doc "The engine that all cases run on, set as the oracle's is."
  def engine do
    {:ok, engine} = Engine.new(%EngineConfig{consume_fuel: true, cranelift_opt_level: :speed})
    engine
  end

  @doc "`:same`, or what differs."
  def check(%__MODULE__{} = fuzz_case, engine) do
    limits = %StoreLimits{memory_size: 16 * 1024 * 1024, table_elements: 10_000}

    with {:ok, module} <- Module.compile(engine, fuzz_case.wasm),
         {:ok, store} <- Store.new(limits, engine),
         :ok <- StoreOrCaller.set_fuel(store, @fuel) do
      made = Instance.instantiate(store, module, imports(module), [], timeout: @timeout)
      difference = Enum.find_value(fuzz_case.lines, &differs(String.split(&1, " "), made, store))
      Store.close(store)
      difference || :same
    else
      error -> {:no_instance, error}
    end
  end

  # Functions that return zeros, as the oracle's do.
  defp imports(module) do
    for {namespace, functions} <- Module.imports(module), into: %{} do
      {namespace,
       for {name, {:fn, params, results}} <- functions, into: %{} do
         {name, {:fn, types(params), types(results), stub(length(params), results)}}
       end}
    end
  end

  defp types(types), do: Enum.map(types, &type/1)
  defp type({:reference, "(ref null func)"}), do: :funcref
  defp type({:reference, "(ref null extern)"}), do: :externref
  defp type({:reference, "(ref null exn)"}), do: :exnref
  defp type({:reference, _}), do: :anyref
  defp type(number), do: number

  defp stub(arity, results) do
    zeros = Enum.map(results, fn type -> if is_atom(type), do: 0, else: nil end)
    result = with [zero] <- zeros, do: zero

    function(arity, result)
  end

  # Of so many arguments, after the context.
  defp function(arity, result) do
    args = Macro.generate_arguments(arity + 1, __MODULE__)

    body =
      quote(
        do: fn unquote_splicing(args) ->
          _ = unquote(args)
          unquote(Macro.escape(result))
        end
      )

    {function, _} = Code.eval_quoted(body)
    function
  end

  defp differs(["start", "ok:"], {:ok, _}, _store), do: nil

  defp differs(["start", "trap:" <> text], {:error, error}, _),
    do: unless(same_error?(unhex(text), error), do: {:start, unhex(text), error})

  defp differs(["start", outcome], made, _), do: {:start, outcome, made}

  defp differs(["call", name, args, outcome], {:ok, instance}, _store) do
    opts = [fuel: @fuel, floats: :bits, timeout: @timeout]
    result = Instance.call(instance, unhex(name), values(args), opts)

    case {outcome, result} do
      {"ok:" <> expected, {:ok, actual}} ->
        unless same?(expected, actual), do: {:results, unhex(name), args, expected, actual}

      {"trap:" <> text, {:error, error}} ->
        unless same_error?(unhex(text), error),
          do: {:trap, unhex(name), args, unhex(text), error}

      _ ->
        {:outcome, unhex(name), args, outcome, result}
    end
  end

  defp differs(["memory", name, size, sum], {:ok, instance}, store) do
    {:ok, memory} = Instance.export(instance, :memory, unhex(name))
    bytes = Memory.size(store, memory)
    content = if bytes == 0, do: "", else: Memory.read_binary(store, memory, 0, bytes)
    found = {Integer.to_string(bytes), Integer.to_string(:erlang.adler32(content))}
    unless found == {size, sum}, do: {:memory, unhex(name), {size, sum}, found}
  end

  defp differs(["global", name, value], {:ok, instance}, _store) do
    {:ok, global} = Instance.export(instance, :global, unhex(name))

    case Global.get(global) do
      {:ok, found} -> unless same_global?(value, found), do: {:global, unhex(name), value, found}
      error -> {:global, unhex(name), value, error}
    end
  end

  defp differs(line, made, _store), do: {:unknown, line, made}

  # In the words of wasmtime; what it has no code for is "other".
  defp same_error?(text, %Trap{message: message}), do: text == message
  defp same_error?("other", %Error{reason: reason}), do: reason != :timeout
  defp same_error?(text, error), do: String.contains?(Exception.message(error), text)

  defp values("-"), do: []
  defp values(text), do: text |> String.split(";") |> Enum.map(&value/1)

  defp value("i32:" <> n), do: String.to_integer(n)
  defp value("i64:" <> n), do: String.to_integer(n)
  defp value("v128:" <> n), do: String.to_integer(n)
  defp value("f32:nan:" <> bits), do: {:bits, String.to_integer(bits)}
  defp value("f64:nan:" <> bits), do: {:bits, String.to_integer(bits)}
  defp value("f32:" <> bits), do: {:bits, String.to_integer(bits)}
  defp value("f64:" <> bits), do: {:bits, String.to_integer(bits)}
  defp value("ref:null"), do: nil
  defp value("ref:some"), do: :some

  defp same?("-", actual), do: actual == []

  defp same?(text, actual) do
    expected = String.split(text, ";")
    length(expected) == length(actual) and Enum.all?(Enum.zip(expected, actual), &same_value?/1)
  end

  # Which NaN an operation makes is not laid down.
  defp same_value?({"f32:nan:" <> _, {:bits, bits}}), do: nan?(<<bits::32>>)
  defp same_value?({"f64:nan:" <> _, {:bits, bits}}), do: nan?(<<bits::64>>)
  defp same_value?({"ref:some", actual}), do: actual != nil
  defp same_value?({text, actual}), do: value(text) == actual

  defp nan?(<<_::1, 0xFF::8, fraction::23>>), do: fraction != 0
  defp nan?(<<_::1, 0x7FF::11, fraction::52>>), do: fraction != 0
  defp nan?(_bits), do: false

  # Globals come as floats.
  defp same_global?("f32:nan:" <> _, actual), do: actual == :nan
  defp same_global?("f64:nan:" <> _, actual), do: actual == :nan
  defp same_global?("f32:" <> bits, actual), do: float(<<String.to_integer(bits)::32>>, actual)
  defp same_global?("f64:" <> bits, actual), do: float(<<String.to_integer(bits)::64>>, actual)
  defp same_global?(text, actual), do: same_value?({text, actual})

  defp float(<<value::float-32>>, actual), do: value == actual
  defp float(<<value::float-64>>, actual), do: value == actual
  defp float(<<0::1, _::bitstring>>, actual), do: actual == :infinity
  defp float(<<1::1, _::bitstring>>, actual), do: actual == :neg_infinity

  defp unhex("-"), do: ""
  defp unhex(text), do: Base.decode16!(text, case: :lower)
end
