# The suite of WASI preview 1; started by script/conformance.

defmodule Wasmex.Conformance.WASI do
  @moduledoc "Runs programs of the suite through `WasiOptions` and `_start`, and compares what they did."

  alias Wasmex.{Exit, Instance, Module, Pipe, Store}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions}

  # What a program prints is compared where the suite says what it should be.
  @defaults %{
    "args" => [],
    "root" => nil,
    "env" => %{},
    "exit_code" => 0,
    "stdout" => nil,
    "stderr" => nil
  }

  @doc "`:passed` or `{:failed, why}`."
  def run(wasm) do
    expected = Map.merge(@defaults, expectation(Path.rootname(wasm) <> ".json"))
    # Each on files of its own, or programs that run at once would meet.
    root = expected["root"] && copy(Path.join(Path.dirname(wasm), expected["root"]))
    [{:ok, out}, {:ok, err}] = [Pipe.new(), Pipe.new()]

    options = %WasiOptions{
      args: [Path.basename(wasm) | expected["args"]],
      env: expected["env"],
      preopen: if(root, do: [%PreopenOptions{path: root, alias: "/"}], else: []),
      stdout: out,
      stderr: err
    }

    {:ok, store} = Store.new_wasi(options)
    {:ok, module} = Module.compile(store, File.read!(wasm))
    {:ok, instance} = Instance.new(store, module, %{})
    result = Instance.call(instance, :_start, [], timeout: 60_000)
    Store.close(store)
    if root, do: File.rm_rf!(root)
    judge(status(result), text(out), text(err), expected)
  end

  defp expectation(file) do
    with {:ok, text} <- File.read(file),
         {:ok, expectation} <- Wasmex.JSON.decode(text),
         do: expectation,
         else: ({:error, :enoent} -> %{})
  end

  defp copy(dir) do
    target =
      Path.join(
        System.tmp_dir!(),
        "wasmex-wasi-#{System.pid()}-#{System.unique_integer([:positive])}"
      )

    File.cp_r!(dir, target)

    for left <- Path.wildcard(Path.join(target, "**/*.cleanup"), match_dot: true),
        do: File.rm_rf!(left)

    target
  end

  defp status({:ok, []}), do: 0
  defp status({:error, %Exit{status: status}}), do: status
  defp status({:error, error}), do: Exception.message(error)

  defp text(pipe) do
    Pipe.seek(pipe, 0)
    Pipe.read(pipe)
  end

  defp judge(status, out, err, expected) do
    cond do
      status != expected["exit_code"] ->
        {:failed, "exit status #{inspect(status)}: #{err}"}

      expected["stdout"] not in [nil, out] ->
        {:failed, "standard output #{inspect(out)}"}

      expected["stderr"] not in [nil, err] ->
        {:failed, "standard error #{inspect(err)}"}

      true ->
        :passed
    end
  end
end

[dir | only] = System.argv()

results =
  Path.join(dir, "*/wasm32-wasip1/**/*.wasm")
  |> Path.wildcard()
  |> Enum.filter(fn file -> only == [] or Path.basename(file, ".wasm") in only end)
  |> Task.async_stream(
    fn file -> {Path.relative_to(file, dir), Wasmex.Conformance.WASI.run(file)} end,
    timeout: :infinity
  )
  |> Enum.map(fn {:ok, result} -> result end)

failed = for {file, {:failed, why}} <- results, do: IO.puts("FAILED #{file}: #{why}")
IO.puts("#{length(results) - length(failed)}/#{length(results)}")
if failed != [], do: exit({:shutdown, 1})
