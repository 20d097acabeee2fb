defmodule Wasmex.Hostile.NamesTest do
  use ExUnit.Case, async: true

  alias Wasmex.{ChildVM, HostileBytes, Instance, Module, Store, Trap}

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

  test "names can't steer a terminal" do
    detail = trap("a\e[31m\nb\u202Ec").detail
    assert detail =~ "!a\\u{1b}[31m\\u{a}b\\u{202e}c"
    refute detail =~ "\e"
  end
end
