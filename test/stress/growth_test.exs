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
