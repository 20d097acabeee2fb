defmodule Wasmex.Stress.GrowthTest do
  # What a guest gets without any limit of the caller's: each has a VM of its own, whose memory is watched.
  use ExUnit.Case, async: false

  alias Wasmex.{ChildVM, GrowingGuests}

  @moduletag :stress

  @gib 1024 * 1024 * 1024

  # A hundred million exceptions take minutes; objects, which have the same heap, take less.
  for {name, {_wat, most}} <- GrowingGuests.all(), name != "exceptions" do
    test "#{name} of a guest end at the default limit" do
      {output, 0} = ChildVM.run(code(unquote(name)))
      assert output =~ "refused"
      [_, kib] = Regex.run(~r/VmHWM:\s+(\d+) kB/, output)
      # The VM itself, and what a growth copies, besides.
      assert String.to_integer(kib) * 1024 < unquote(most) + @gib
    end
  end

  # A collection that was begun is finished when its call is cancelled.
  for {how, ended} <- [
        {"a timeout",
         "{:error, %{reason: :timeout}} = Instance.call(instance, \"garbage\", [], timeout: ms)"},
        {"a kill",
         """
         pid = spawn(fn -> Instance.call(instance, "garbage", []) end)
         Process.sleep(ms)
         Process.exit(pid, :kill)
         {:ok, []} = Instance.call(instance, "objects", [1], timeout: 30_000)
         """}
      ] do
    test "a call that #{how} ends while a gigabyte of objects is collected holds no scheduler" do
      code = """
      alias Wasmex.{Instance, Module, Store, StoreLimits}
      wat = ~s|(module
        (type $node (struct (field (ref null $node)) (field i64 i64 i64)))
        (global $head (mut (ref null $node)) (ref.null $node))
        (func (export "objects") (param i32)
          (loop $again
            (global.set $head (struct.new $node (global.get $head) (i64.const 1) (i64.const 2) (i64.const 3)))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
        (func (export "garbage")
          (loop $again (drop (struct.new $node (ref.null $node) (i64.const 1) (i64.const 2) (i64.const 3))) (br $again))))|
      {:ok, store} = Store.new(%StoreLimits{memory_size: 2_000_000_000})
      {:ok, module} = Module.compile(store, wat)
      {:ok, instance} = Instance.instantiate(store, module, %{})
      {:ok, []} = Instance.call(instance, "objects", [9_000_000], timeout: :infinity)
      :erlang.system_monitor(self(), [{:long_schedule, 50}])

      # Other programs have the cores, too.
      held =
        for round <- 1..40 do
          ms = 150 + 7 * round
          #{unquote(ended)}
          receive(do: ({:monitor, _pid, :long_schedule, _info} -> true), after: (0 -> false))
        end

      IO.puts("held \#{Enum.count(held, & &1)}")
      """

      {output, 0} = ChildVM.run(code)
      [_, held] = Regex.run(~r/held (\d+)/, output)
      assert String.to_integer(held) < 5
    end
  end

  defp code(name) do
    """
    alias Wasmex.{GrowingGuests, Instance, Module, Store}
    {wat, _} = GrowingGuests.all()[#{inspect(name)}]
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.instantiate(store, module, GrowingGuests.imports())

    case Instance.call(instance, "grow", [], timeout: :infinity) do
      {:ok, [-1]} -> IO.puts("refused: -1")
      {:error, error} -> IO.puts("refused: " <> Exception.message(error))
    end

    IO.puts(File.read!("/proc/self/status"))
    """
  end
end
