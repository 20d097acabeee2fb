# Every public function with whatever arguments: only what tells a caller of a mistake may come out. Some wait for others,
# as they should, and are not waited for.
#
#   mix run test/fuzz/arguments.exs SECONDS [SEED]

defmodule Wasmex.Fuzz.Arguments do
  # What a caller's mistake may raise.
  @misuse [
    ArgumentError,
    KeyError,
    Protocol.UndefinedError,
    Wasmex.Error,
    Wasmex.Trap,
    Wasmex.Exit,
    File.Error,
    CompileError
  ]

  # What the language raises where an argument fits no clause: of the function that was called, and of none within.
  @mismatch [FunctionClauseError, BadMapError, BadArityError, BadFunctionError, ArithmeticError]
  @mismatch [UndefinedFunctionError | @mismatch]

  # A callback of supervisors; what is internal for all its docs.
  @skipped [
    {Wasmex, :child_spec},
    {Wasmex.CLI, :*},
    {Wasmex.Application, :*},
    {Wasmex.Native, :*}
  ]

  def main([seconds | seed]) do
    {:ok, _} = Application.ensure_all_started(:wasmex)
    Logger.configure(level: :none)
    seed = if seed == [], do: :rand.uniform(1_000_000_000), else: String.to_integer(hd(seed))
    IO.puts("seed #{seed}")
    :rand.seed(:exsss, seed)
    functions = functions()
    good = good()
    deadline = System.monotonic_time(:millisecond) + String.to_integer(seconds) * 1000
    calls = rounds(functions, good, deadline, 0)
    IO.puts("#{calls} calls of #{length(functions)} functions: only documented errors")
  end

  # Functions with docs, in modules with docs.
  defp functions do
    {:ok, modules} = :application.get_key(:wasmex, :modules)

    for module <- modules,
        {:docs_v1, _, _, _, %{}, _, docs} <- [Code.fetch_docs(module)],
        {{:function, name, arity}, _, _, %{}, _} <- docs,
        {module, name} not in @skipped and {module, :*} not in @skipped,
        arity in 1..5,
        do: {module, name, arity}
  end

  defp good do
    {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{})
    {:ok, store} = Wasmex.Store.new()

    wat =
      ~s|(module (memory (export "memory") 1) (table (export "t") 2 funcref) (global (export "g") (mut i32) (i32.const 1)) (func (export "f") (param i32) (result i32) local.get 0))|

    {:ok, module} = Wasmex.Module.compile(store, wat)
    {:ok, instance} = Wasmex.Instance.new(store, module, %{})
    {:ok, memory} = Wasmex.Instance.export(instance, :memory, "memory")
    {:ok, table} = Wasmex.Instance.export(instance, :table, "t")
    {:ok, global} = Wasmex.Instance.export(instance, :global, "g")
    {:ok, func} = Wasmex.Instance.export(instance, :func, "f")
    {:ok, pipe} = Wasmex.Pipe.new()
    {:ok, pid} = Wasmex.start_link(%{bytes: wat})
    {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), "(component)")
    {:ok, components} = Wasmex.Components.Store.new()
    {:ok, part} = Wasmex.Components.Instance.instantiate(components, component, %{})
    {:ok, template} = Wasmex.Components.Template.new(component, %{})

    [engine, store, module, instance, memory, table, global, func, pipe, pid] ++
      [component, components, part, template, wat, %Wasmex.StoreLimits{}] ++
      [%Wasmex.Wasi.WasiOptions{}, Wasmex.Wasi.WasiP2Options.nothing(), %Wasmex.EngineConfig{}] ++
      [Wasmex.HTTP.Request.new("GET", "/"), Wasmex.Linker.new()]
  end

  defp rounds(functions, good, deadline, calls) do
    if System.monotonic_time(:millisecond) >= deadline do
      calls
    else
      Enum.each(functions, &one(&1, good))
      rounds(functions, good, deadline, calls + length(functions))
    end
  end

  defp one({module, name, arity}, good) do
    args = for _ <- 1..arity, do: argument(good)

    # Some wait, as they should: they are not waited for.
    {pid, ref} = spawn_monitor(fn -> exit({:came, outcome(module, name, args)}) end)

    receive do
      {:DOWN, ^ref, _, _, {:came, outcome}} -> judge(outcome, module, name, args)
      # It was told to exit: by a server that is gone, for example.
      {:DOWN, ^ref, _, _, _reason} -> :ok
    after
      300 ->
        Process.exit(pid, :kill)
        receive do: ({:DOWN, ^ref, _, _, _} -> :ok)
    end
  end

  defp outcome(module, name, args) do
    result = apply(module, name, args)
    # A lazy one shows its mistakes when it is asked.
    if is_function(result, 2), do: Enum.take(result, 1)
    :fine
  rescue
    error -> {:raised, error, __STACKTRACE__}
  catch
    kind, _reason when kind in [:exit, :throw] -> :fine
  end

  defp judge(:fine, _module, _name, _args), do: :ok

  defp judge({:raised, %kind{} = error, stacktrace}, module, name, args) do
    unless kind in @misuse or (kind in @mismatch and at_the_door?(stacktrace)) do
      IO.puts("#{inspect(module)}.#{name} of #{inspect(args, limit: 20)}")
      IO.puts(Exception.format(:error, error, stacktrace))
      System.halt(1)
    end
  end

  # In a function with docs, which says what it takes, or one of the language's.
  defp at_the_door?(stacktrace) do
    case Enum.find(stacktrace, fn {module, _, _, _} -> own?(module) end) do
      nil -> true
      {module, name, _, _} -> documented?(module, name)
    end
  end

  defp own?(module), do: :application.get_application(module) == {:ok, :wasmex}

  defp documented?(module, name) do
    {:docs_v1, _, _, _, doc, _, docs} = Code.fetch_docs(module)
    is_map(doc) and Enum.any?(docs, &match?({{:function, ^name, _}, _, _, %{}, _}, &1))
  end

  defp argument(good) do
    case :rand.uniform(10) do
      n when n <= 5 -> Enum.random(good)
      _ -> term(3)
    end
  end

  @atoms [nil, true, :infinity, :f, :memory, :method, :ok, :error, :nan]
  @numbers [
    0,
    1,
    -1,
    65_536,
    4_294_967_296,
    18_446_744_073_709_551_616,
    -9_223_372_036_854_775_809,
    0.5,
    1.0e308
  ]
  @binaries [
    "",
    "f",
    "memory",
    "(module",
    "(component)",
    <<0>>,
    <<255, 254>>,
    <<0, "asm", 1, 0, 0, 0>>,
    "/no/such"
  ]

  defp term(0), do: Enum.random(@atoms ++ @numbers ++ @binaries)

  defp term(depth) do
    case :rand.uniform(9) do
      n when n <= 3 -> term(0)
      4 -> for _ <- 1..:rand.uniform(3), do: term(depth - 1)
      5 -> {term(depth - 1), term(depth - 1)}
      6 -> %{term(depth - 1) => term(depth - 1)}
      7 -> [{Enum.random([:timeout, :fuel, :bytes, :path, :stdin, :name, :env]), term(depth - 1)}]
      8 -> Enum.random([self(), make_ref(), fn -> :ok end, fn _ -> :ok end, [1 | 2], <<1::3>>])
      9 -> {:fn, [term(0)], [term(0)], fn _ -> 1 end}
    end
  end
end

Wasmex.Fuzz.Arguments.main(System.argv())
