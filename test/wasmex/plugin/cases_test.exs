defmodule Wasmex.Plugin.CasesTest do
  use ExUnit.Case, async: true

  alias Wasmex.{PluginCases, PluginHttpd}

  @dir "test/guests/plugins"
  @cases PluginCases.load(@dir)

  @moduletag :capture_log

  setup_all do
    {:ok, port: PluginHttpd.start()}
  end

  for {case, index} <- Enum.with_index(@cases) do
    test "#{index}: #{case["name"]}", %{port: port} do
      assert PluginCases.run(Enum.at(@cases, unquote(index)), @dir, port) == :ok
    end
  end
end
