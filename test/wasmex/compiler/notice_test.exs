defmodule Wasmex.Compiler.NoticeTest do
  # Has a handler of Logger's for the whole VM.
  use ExUnit.Case, async: false

  alias Wasmex.CLI.Progress
  alias Wasmex.Compiler.Notice

  @moduletag :capture_log

  @code :binary.copy("x", 500_000)

  # Logger calls this.
  def log(%{msg: {:string, text}}, %{config: %{test: test}}),
    do: send(test, {:logged, IO.chardata_to_string(text)})

  def log(_event, _config), do: :ok

  setup do
    :ok = :logger.add_handler(__MODULE__, __MODULE__, %{config: %{test: self()}})
    Logger.put_module_level(Notice, :all)

    on_exit(fn ->
      Logger.put_module_level(Notice, :none)
      :logger.remove_handler(__MODULE__)
    end)
  end

  defp wait_for_log do
    # Other tests may compile, too.
    receive do
      {:logged, "compiling" <> _ = text} ->
        if text =~ "500.0 kB", do: text, else: wait_for_log()
    end
  end

  test "a long compile is logged, and what becomes of the result" do
    kept = Notice.run(:module, @code, true, &wait_for_log/0)
    assert kept == "compiling a module of 500.0 kB (once; the result is kept on disk)"
    other = Notice.run(:component, @code, false, &wait_for_log/0)
    assert other == "compiling a component of 500.0 kB (each time)"
  end

  test "not within a task that shows its progress, and not small code" do
    assert Notice.run(:module, "small", true, fn -> 1 end) == 1

    Progress.run("compiling", fn ->
      assert Progress.shown?()
      assert Notice.run(:module, @code, true, fn -> 2 end) == 2
    end)

    refute Progress.shown?()
    refute_received {:logged, "compiling a module of 500.0 kB" <> _}
  end
end
