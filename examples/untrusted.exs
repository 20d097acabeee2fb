# Scripts that nobody trusts, under limits: guides/untrusted-code.md tells more.
#
#     mix run examples/untrusted.exs

javascript = "examples/interpreters/javascript/javascript.wasm"
limits = [timeout: 2_000, max_memory: 32 * 1024 * 1024, max_output: 10_000]

order = ~s({"lines": [{"price": 5, "count": 2}, {"price": 3, "count": 1}]})

total = """
const order = JSON.parse(readLine());
print(JSON.stringify({total: order.lines.reduce((sum, line) => sum + line.price * line.count, 0)}));
"""

scripts = [
  {"a sum", "print(6 * 7)", []},
  {"JSON in, JSON out", total, [stdin: order]},
  {"an exception", "throw new Error('oh')", []},
  {"too much memory", "let a = []; while (true) a.push('x'.repeat(1000) + a.length)", []},
  {"no end", "while (true) {}", [timeout: 200]},
  {"a flood", "while (true) print('a line')", []},
  {"files", "print(typeof std, typeof os, typeof require)", []}
]

for {title, script, opts} <- scripts do
  IO.write("#{String.pad_trailing(title, 20)} ")

  case Wasmex.run(javascript, [script], Keyword.merge(limits, opts)) do
    {:ok, %Wasmex.Run{status: 0} = run} ->
      IO.puts("printed #{inspect(run.stdout)} in #{run.duration} µs")

    {:ok, run} ->
      IO.puts("failed with #{run.stderr |> String.split("\n") |> hd()}")

    {:error, error} ->
      IO.puts("was stopped: #{Exception.message(error)}")
  end
end
