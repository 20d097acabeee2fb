# The suite of WASI preview 1 as components of WASI 0.2, through wasmtime's adapter; and the suite of WASI 0.3, which is
# not there: its components are refused with what they lack. Started by script/conformance.

defmodule Wasmex.Conformance.WASIP2 do
  @moduledoc "Runs commands of WASI 0.2 through `Wasmex.run/3`, and compares what they did."

  @defaults %{
    "args" => [],
    "root" => nil,
    "env" => %{},
    "exit_code" => 0,
    "stdout" => nil,
    "stderr" => nil
  }

  # What wasmtime's adapter makes of them, not the library.
  @known %{
    "proc_exit-failure" => "the exit of WASI 0.2 knows success and failure, no number",
    "fd_write-to-invalid-fd" => "the adapter has another errno",
    "args_get-multiple-arguments" => "the adapter wants strings where its allocator has them",
    "environ_get-multiple-variables" => "the same"
  }

  @doc "Whether the program is known to fail, and why."
  def known(name), do: @known[Path.basename(name, ".wasm")]

  @doc "`:passed` or `{:failed, why}`. `source` is the module's own folder, with what it expects."
  def run(component, source) do
    wanted = Map.merge(@defaults, expectation(Path.rootname(source) <> ".json"))
    # Each on files of its own, or programs that run at once would meet.
    root = wanted["root"] && copy(Path.join(Path.dirname(source), wanted["root"]))
    dirs = if root, do: %{"/" => root}, else: %{}

    result =
      Wasmex.run(component, wanted["args"], env: wanted["env"], dirs: dirs, timeout: 60_000)

    if root, do: File.rm_rf!(root)
    judge(result, wanted)
  end

  @doc "The same of a component of WASI 0.3: it must say what it lacks."
  def refused(component) do
    case Wasmex.run(component, [], timeout: 60_000) do
      {:error, error} ->
        if Exception.message(error) =~ ~r/0\.3|async/,
          do: :passed,
          else: {:failed, Exception.message(error)}

      other ->
        {:failed, inspect(other)}
    end
  end

  defp expectation(file) do
    with {:ok, text} <- File.read(file),
         {:ok, expectation} <- Wasmex.JSON.decode(text),
         do: expectation,
         else: ({:error, :enoent} -> %{})
  end

  defp copy(dir) do
    unique = "#{System.pid()}-#{System.unique_integer([:positive])}"
    target = Path.join(System.tmp_dir!(), "wasmex-wasi-p2-#{unique}")
    File.cp_r!(dir, target)

    for left <- Path.wildcard(Path.join(target, "**/*.cleanup"), match_dot: true),
        do: File.rm_rf!(left)

    target
  end

  defp judge({:ok, run}, wanted) do
    cond do
      run.status != wanted["exit_code"] ->
        {:failed, "exit status #{run.status}: #{run.stderr}"}

      wanted["stdout"] not in [nil, run.stdout] ->
        {:failed, "standard output #{inspect(run.stdout)}"}

      wanted["stderr"] not in [nil, run.stderr] ->
        {:failed, "standard error #{inspect(run.stderr)}"}

      true ->
        :passed
    end
  end

  defp judge({:error, error}, _wanted), do: {:failed, Exception.message(error)}
end

alias Wasmex.Conformance.WASIP2

{tests, only} =
  case System.argv() do
    ["p2", components, suite | only] ->
      files = Path.join(components, "*/wasm32-wasip1/**/*.wasm") |> Path.wildcard()

      {for file <- files do
         source = Path.join(suite, Path.relative_to(file, components))
         {Path.relative_to(file, components), fn -> WASIP2.run(file, source) end}
       end, only}

    ["p3", suite | only] ->
      files = Path.join(suite, "**/wasm32-wasip3/*.wasm") |> Path.wildcard()

      {for(file <- files, do: {Path.relative_to(file, suite), fn -> WASIP2.refused(file) end}),
       only}
  end

results =
  tests
  |> Enum.filter(fn {name, _} -> only == [] or Path.basename(name, ".wasm") in only end)
  |> Task.async_stream(fn {name, run} -> {name, run.()} end, timeout: :infinity)
  |> Enum.map(fn {:ok, result} -> result end)

{known, failed} =
  for({name, {:failed, why}} <- results, do: {name, why})
  |> Enum.split_with(fn {name, _} -> WASIP2.known(name) != nil end)

for {name, _} <- known, do: IO.puts("known #{name}: #{WASIP2.known(name)}")
for {name, why} <- failed, do: IO.puts("FAILED #{name}: #{why}")
IO.puts("#{length(results) - length(failed) - length(known)}/#{length(results)}")
if failed != [], do: exit({:shutdown, 1})
