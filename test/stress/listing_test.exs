defmodule Wasmex.Stress.ListingTest do
  # A directory with many entries.
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.{Components, Instance, Leaks, ListingGuest, Store}

  import Wasmex.Held

  @entries 100_000

  setup_all do
    Wasmex.Engine.default()
    dir = Path.join(System.tmp_dir!(), "wasmex-listing-#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    name = Path.join(dir, "a-name-as-long-as-names-of-files-often-are-")
    File.write!(name, "")
    # Links of one file may be too many for its file system.
    for n <- 1..(@entries - 1), do: :ok = :file.write_file(name <> "#{n}", "", [:raw])
    on_exit(fn -> File.rm_rf!(dir) end)
    {:ok, dir: dir}
  end

  test "is listed, and its guests closed and killed", %{dir: dir} do
    before = Wasmex.live_objects()

    assert_not_held(fn ->
      {instance, store} = ListingGuest.module(dir)

      for length <- [4096, 60_000] do
        assert Instance.call(instance, "list", [length], timeout: :infinity) ==
                 {:ok, [@entries + 2]}
      end

      :ok = Store.close(store)
    end)

    assert_not_held(fn ->
      {instance, store} = ListingGuest.component(dir)
      options = [timeout: :infinity]
      assert Components.Instance.call(instance, "list", [], options) == {:ok, @entries}
      for _ <- 1..10, do: {:ok, 1} = Components.Instance.call(instance, "open", [], options)
      :ok = Components.Store.close(store)
    end)

    held =
      times_held(12, fn round ->
        pid =
          spawn(fn ->
            {module, _} = ListingGuest.module(dir)
            {component, _} = ListingGuest.component(dir)
            {:ok, 1} = Components.Instance.call(component, "open", [])
            if rem(round, 2) == 0, do: Instance.call(module, "list", [4096])
            Components.Instance.call(component, "list", [])
          end)

        Process.sleep(10 * round)
        Process.exit(pid, :kill)
        Process.sleep(10)
      end)

    assert held <= 3
    Leaks.assert_none(before)
  end
end
