defmodule Wasmex.GuidesTest do
  # Nodes are started, and names deployed, for the whole VM.
  use ExUnit.Case, async: false

  alias Wasmex.{Cluster, Deploy, Peers}

  @moduletag :capture_log
  @moduletag timeout: 600_000

  setup do
    case Peers.distributed() do
      :ok -> :ok
      {:error, reason} -> flunk(reason)
    end

    on_exit(fn ->
      for name <- ["rules", "orders"], do: Deploy.undeploy(name, 100)
      stop(Process.whereis(Cluster))
    end)
  end

  defp stop(nil), do: :ok

  # It is linked to the test, and may be ending already.
  defp stop(pid) do
    Supervisor.stop(pid)
  catch
    :exit, _ -> :ok
  end

  for guide <- ["guides/scale.md", "guides/performance.md"] do
    test "#{guide}: each block gives what it says" do
      run(unquote(guide))
    end
  end

  defp run(guide) do
    Enum.reduce(blocks(guide), {[], __ENV__}, fn {line, code, expected}, {binding, env} ->
      {result, binding, env} =
        Code.eval_string(code, binding, %{env | file: guide, line: line})
        |> with_env(env, code)

      if expected do
        {same, _} = Code.eval_string("match?(#{expected}, result)", [result: result], env)
        assert same, "#{guide}:#{line}: expected #{expected}, got: #{inspect(result)}"
      end

      {binding, env}
    end)
  end

  # Aliases of one block are those of the next.
  defp with_env({result, binding}, env, code) do
    {_, _, env} = Code.eval_quoted_with_env(aliases(code), [], Code.env_for_eval(env))
    {result, binding, env}
  end

  defp aliases(code) do
    {:__block__, [],
     for(line <- String.split(code, "\n"), line =~ ~r/^alias /, do: Code.string_to_quoted!(line))}
  end

  # Of the blocks of Elixir: the line, the code, and what its last line says that it gives.
  defp blocks(path) do
    Regex.scan(~r/```elixir\n(.*?)```/s, File.read!(path), return: :index)
    |> Enum.map(fn [_, {start, length}] ->
      text = File.read!(path)
      code = binary_part(text, start, length)
      line = text |> binary_part(0, start) |> String.split("\n") |> length()
      expected = with [_, expected] <- Regex.run(~r/^#=> (.*)\n\z/m, code), do: expected
      {line, code, expected}
    end)
  end
end
