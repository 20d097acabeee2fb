# Random modules through the public API and through plain wasmtime, which must agree; and the same modules
# with bytes changed, which must be refused or run, and nothing else.
#
#   mix run test/fuzz/modules.exs ORACLE SECONDS [SEED]

Code.require_file("case.ex", __DIR__)

defmodule Wasmex.Fuzz.Modules do
  alias Wasmex.Fuzz.Case
  alias Wasmex.Module

  @cases Path.join(__DIR__, "cases")
  # Bytes of entropy: more of them make larger modules.
  @sizes [200, 1_000, 4_000]
  @batch 50

  def main([oracle, seconds | seed]) do
    {:ok, _} = Application.ensure_all_started(:wasmex)
    seed = if seed == [], do: :rand.uniform(1_000_000_000), else: String.to_integer(hd(seed))
    IO.puts("seed #{seed}")
    :rand.seed(:exsss, seed)
    engine = Case.engine()
    kept = Enum.flat_map(Path.wildcard(Path.join(@cases, "*.case")), &Case.parse(File.read!(&1)))
    Enum.each(kept, &examine(&1, engine, oracle))
    deadline = System.monotonic_time(:millisecond) + String.to_integer(seconds) * 1000
    state = %{cases: length(kept), calls: 0, traps: 0, mutants: 0, compiled: 0}
    state = rounds(state, seed, engine, oracle, deadline)

    IO.puts(
      "#{state.cases} modules, #{state.calls} calls (#{state.traps} traps) as plain wasmtime; " <>
        "#{state.mutants} mutants, #{state.compiled} of them valid"
    )
  end

  defp rounds(state, seed, engine, oracle, deadline) do
    if System.monotonic_time(:millisecond) >= deadline do
      state
    else
      size = Enum.random(@sizes)
      cases = ask(oracle, seed, @batch, size)
      state = Enum.reduce(cases, state, &one(&1, &2, engine, oracle))
      rounds(state, seed + @batch, engine, oracle, deadline)
    end
  end

  defp ask(oracle, seed, count, size) do
    {text, 0} = System.cmd(oracle, Enum.map([seed, count, size], &Integer.to_string/1))
    Case.parse(text)
  end

  defp one(fuzz_case, state, engine, oracle) do
    examine(fuzz_case, engine, oracle)
    calls = Enum.count(fuzz_case.lines, &String.starts_with?(&1, "call "))
    traps = Enum.count(fuzz_case.lines, &(&1 =~ ~r/^call .* trap:/))
    mutants = for _ <- 1..5, do: fuzz_case.wasm |> mutate() |> compile(engine)

    %{
      state
      | cases: state.cases + 1,
        calls: state.calls + calls,
        traps: state.traps + traps,
        mutants: state.mutants + length(mutants),
        compiled: state.compiled + Enum.count(mutants, & &1)
    }
  end

  defp examine(fuzz_case, engine, oracle) do
    case Case.check(fuzz_case, engine) do
      :same -> :ok
      difference -> failed(fuzz_case, difference, engine, oracle)
    end
  end

  # The smallest case of the same seed that still differs is kept.
  defp failed(fuzz_case, difference, engine, oracle) do
    smaller =
      fuzz_case.size
      |> Stream.iterate(&div(&1 * 3, 4))
      |> Enum.take_while(&(&1 > 16))
      |> Enum.flat_map(&ask(oracle, fuzz_case.seed, 1, &1))
      |> Enum.filter(&(Case.check(&1, engine) != :same))

    smallest = Enum.min_by([fuzz_case | smaller], &byte_size(&1.wasm))
    path = Path.join(@cases, "#{smallest.seed}-#{smallest.size}.case")
    File.write!(path, smallest.text)
    IO.puts("differs: #{inspect(difference, limit: 30)}\nkept: #{path}")
    System.halt(1)
  end

  defp mutate(wasm) do
    case :rand.uniform(3) do
      1 -> binary_part(wasm, 0, :rand.uniform(byte_size(wasm)) - 1)
      _ -> Enum.reduce(1..:rand.uniform(4), wasm, fn _, wasm -> flip(wasm) end)
    end
  end

  defp flip(wasm) do
    at = :rand.uniform(byte_size(wasm)) - 1
    {head, <<_byte, rest::binary>>} = :erlang.split_binary(wasm, at)
    <<head::binary, :rand.uniform(256) - 1, rest::binary>>
  end

  defp compile(bytes, engine) do
    case Module.compile(engine, bytes) do
      {:ok, _module} -> true
      {:error, text} when is_binary(text) -> false
    end
  end
end

Wasmex.Fuzz.Modules.main(System.argv())
