defmodule Wasmex.Hostile.NamesTest do
  use ExUnit.Case, async: true

  alias Wasmex.{ChildVM, Error, HostileBytes, Instance, Module, Store, Trap}

  # Substitutions: each parameter is the one before, eight times.
  defp doubling(levels) do
    "_Z1f1aIiiiiiiiiE" <>
      for level <- 1..levels, into: "" do
        "S_I" <> String.duplicate("S#{Integer.to_string(level - 1, 36)}_", 8) <> "E"
      end
  end

  defp trap(name, depth \\ 3) do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, HostileBytes.named(name))
    {:ok, instance} = Instance.new(store, module, %{})
    assert {:error, %Trap{} = trap} = Instance.call(instance, "f", [depth])
    trap
  end

  test "a name that stands for gigabytes ends no VM and holds no scheduler" do
    code = """
    {:ok, store} = Wasmex.Store.new()
    names = #{inspect([doubling(7), doubling(9)], limit: :infinity, printable_limit: :infinity)}

    traps = fn ->
      for name <- names do
        {:ok, module} = Wasmex.Module.compile(store, Wasmex.HostileBytes.named(name))
        {:ok, instance} = Wasmex.Instance.new(store, module, %{})
        {:error, %Wasmex.Trap{}} = Wasmex.Instance.call(instance, "f", [300])
      end
    end

    :erlang.system_monitor(self(), [{:long_schedule, 50}])

    # Other programs have the cores, too: a scheduler is held each time, or not by this.
    held? = fn ->
      traps.()
      receive(do: ({:monitor, _pid, :long_schedule, _info} -> true), after: (0 -> false))
    end

    IO.puts("held each time: \#{Enum.all?(1..6, fn _ -> held?.() end)}")
    """

    assert ChildVM.run(code, "ulimit -v 5000000") == {"held each time: false\n", 0}
  end

  test "names of all manglings are short in texts and in frames" do
    names = [
      doubling(9),
      "_Z1f" <> String.duplicate("P", 200) <> "i",
      "_Z1f" <> String.duplicate("DTcv", 60) <> "i",
      "_ZN" <> String.duplicate("1a", 50) <> "17h0123456789abcdefE",
      "_RNvC1a1f" <> String.duplicate("B_", 100),
      "_RINvC1a1f" <> String.duplicate("TB2_B2_", 20) <> "E",
      "$s4main1fyyF" <> String.duplicate("Sg", 100),
      String.duplicate("x", 60_000)
    ]

    for name <- names do
      trap = trap(name, 100)
      assert byte_size(trap.detail) < 20 * 400
      assert length(trap.backtrace) == 20
      for frame <- trap.backtrace, do: assert(byte_size(frame.func_name) <= 256)
    end
  end

  test "names that people wrote are read" do
    assert trap("_ZN5space3fooEibc").detail =~ "!space::foo\n"
    assert trap("_ZNSt6vectorIiSaIiEE9push_backEOi").detail =~ "!std::vector<…>::push_back\n"
    assert trap("_ZN3std2io4read17h0123456789abcdefE").detail =~ "!std::io::read\n"
    assert trap("_RNvCs1234_7mycrate3foo").detail =~ "!mycrate::foo\n"
    assert trap("plain").detail =~ "!plain\n"
  end

  test "messages and frames have the names that people wrote" do
    trap = trap("_RNvCs1234_7mycrate3foo")
    assert hd(trap.backtrace).func_name == "mycrate::foo"
    assert Exception.message(trap) =~ "in mycrate::foo "
    assert hd(trap("plain").backtrace).func_name == "plain"
  end

  # Reductions count what Elixir does, on any machine.
  defp reductions(fun) do
    {:reductions, before} = Process.info(self(), :reductions)
    result = fun.()
    {:reductions, now} = Process.info(self(), :reductions)
    {result, now - before}
  end

  test "a name of megabytes is not compared with those that there are" do
    long = String.duplicate("timeout", 1_000_000)

    messages = [
      fn ->
        %Error{reason: :unknown_export, details: %{kind: :func, name: long, names: ["timeout"]}}
      end,
      fn ->
        %Error{reason: :unknown_path, details: %{path: [long], position: 0, names: ["timeout"]}}
      end,
      fn -> catch_error(Wasmex.run("(module)", [], [{long, 1}])) end,
      fn -> catch_error(Wasmex.run("(module)", [], [{List.duplicate(long, 1_000), 1}])) end
    ]

    for message <- messages do
      {text, took} = reductions(fn -> Exception.message(message.()) end)
      assert byte_size(text) < 20_000
      assert text =~ "timeout"
      assert took < 1_000_000
    end
  end

  test "an error lists no names that nobody types" do
    long = String.duplicate("x", 60_000)
    exports = for number <- 1..60, do: ~s|(export "#{number}#{long}" (func $f))|
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, "(module (func $f (export \"f\")) #{exports})")
    {:ok, instance} = Instance.new(store, module, %{})
    assert {:error, %Error{reason: :unknown_export} = error} = Instance.call(instance, "g", [])
    assert error.details.names == ["f"]
  end

  test "a list in an error is short" do
    fields = Map.new(1..100_000, &{"field#{&1}", &1})
    manifest = Map.merge(%{"wasm" => []}, fields)
    assert {:error, %Error{} = error} = Wasmex.Plugin.Manifest.new(manifest, strict: true)
    assert byte_size(Exception.message(error)) < 2_000
    assert Exception.message(error) =~ "more"
  end

  test "names can't steer a terminal" do
    detail = trap("a\e[31m\nb\u202Ec").detail
    assert detail =~ "!a\\u{1b}[31m\\u{a}b\\u{202e}c"
    refute detail =~ "\e"
  end
end
