defmodule Wasmex.WASI.ListingTest do
  # Directories are listed some entries at a time.
  use ExUnit.Case, async: true

  alias Wasmex.{Components, Instance, ListingGuest, Memory}

  @moduletag :tmp_dir

  setup %{tmp_dir: dir} do
    for n <- 1..300, do: File.write!(Path.join(dir, "file-#{n}"), "")
    :ok
  end

  defp read(instance, store, length, cookie \\ 0) do
    {:ok, [0]} = Instance.call(instance, "read", [length, cookie])
    {:ok, memory} = Memory.from_instance(store, instance)
    {:ok, <<used::little-32>>} = Memory.read(memory, 0, 4)
    {:ok, bytes} = Memory.read(memory, 1024, used)
    bytes
  end

  test "a module gets each entry once, whatever the size of its buffer", %{tmp_dir: dir} do
    {instance, store} = ListingGuest.module(dir)

    for length <- [40, 41, 100, 4096, 60_000],
        do: assert({:ok, [302]} = Instance.call(instance, "list", [length]))

    entries = instance |> read(store, 60_000) |> ListingGuest.entries()
    assert Enum.map(entries, &elem(&1, 0)) == Enum.to_list(1..302)
    [{1, own, 3, "."}, {2, own, 3, ".."} | files] = entries
    names = for {_, _, kind, name} <- files, do: {kind, name}
    assert Enum.sort(names) == Enum.sort(for n <- 1..300, do: {4, "file-#{n}"})
    assert read(instance, store, 0) == ""
  end

  test "a module continues after any entry, and sees changes from the first on", %{tmp_dir: dir} do
    {instance, store} = ListingGuest.module(dir)
    all = instance |> read(store, 60_000) |> ListingGuest.entries()

    for cookie <- [0, 5, 4, 150, 149, 151, 2, 301, 302, 302, 10_000] do
      entries = instance |> read(store, 60_000, cookie) |> ListingGuest.entries()
      assert entries == Enum.drop(all, cookie)
    end

    # The name of the last entry is cut off.
    [first | _] = instance |> read(store, 4_000) |> ListingGuest.entries() |> Enum.reverse()
    [next | _] = instance |> read(store, 4_000, elem(first, 0)) |> ListingGuest.entries()
    assert elem(next, 0) == elem(first, 0) + 1

    File.write!(Path.join(dir, "new"), "")
    assert {:ok, [303]} = Instance.call(instance, "list", [4096])
  end

  test "the number of an entry is that of the file", %{tmp_dir: dir} do
    File.ln_s!("file-1", Path.join(dir, "link"))
    {instance, store} = ListingGuest.module(dir)
    {:ok, memory} = Memory.from_instance(store, instance)

    entries = instance |> read(store, 60_000) |> ListingGuest.entries()

    some = [List.keyfind(entries, "link", 3) | Enum.take_random(entries, 20)]

    for {_, id, kind, name} <- some, name != ".." do
      :ok = Memory.write(memory, 1024, name)
      assert {:ok, [0]} = Instance.call(instance, "stat", [byte_size(name)])
      assert {:ok, <<_dev::64, ^id::little-64, ^kind, _::binary>>} = Memory.read(memory, 512, 64)
    end
  end

  test "errors", %{tmp_dir: dir} do
    {instance, _store} = ListingGuest.module(dir)
    assert {:ok, [0]} = Instance.call(instance, "read", [4096, 0])

    # A buffer out of bounds.
    assert {:error, %Wasmex.Error{reason: :guest}} =
             Instance.call(instance, "read", [10_000_000, 0])

    assert {:ok, [0]} = Instance.call(instance, "close", [])
    # `badf`: what was open for the listing is not used.
    assert {:ok, [8]} = Instance.call(instance, "read", [4096, 0])
    assert {:ok, [-8]} = Instance.call(instance, "list", [4096])
  end

  test "a component gets each entry once", %{tmp_dir: dir} do
    {instance, store} = ListingGuest.component(dir)
    for _ <- 1..3, do: assert({:ok, 300} = Components.Instance.call(instance, "list", []))
    File.write!(Path.join(dir, "new"), "")
    assert {:ok, 301} = Components.Instance.call(instance, "list", [])

    # Streams that are left open are files of the system, until their store is closed.
    before = open_files(dir)
    for _ <- 1..50, do: assert({:ok, 1} = Components.Instance.call(instance, "open", []))
    assert open_files(dir) == before + 50
    Components.Store.close(store)
    assert Wasmex.Guest.wait_until(fn -> open_files(dir) == 0 end)
  end

  defp open_files(dir) do
    links =
      for fd <- File.ls!("/proc/self/fd"), do: File.read_link(Path.join("/proc/self/fd", fd))

    Enum.count(links, &(&1 == {:ok, Path.expand(dir)}))
  end

  test "names that are not UTF-8", %{tmp_dir: dir} do
    name = Path.join(dir, <<"file-", 0xFF>>)

    if :ok == :file.write_file(name, "", [:raw]) do
      on_exit(fn -> :file.delete(name, [:raw]) end)
      {instance, store} = ListingGuest.module(dir)
      entries = instance |> read(store, 60_000) |> ListingGuest.entries()
      assert List.keymember?(entries, <<"file-", 0xFF>>, 3)
      assert length(entries) == 303

      {instance, _store} = ListingGuest.component(dir)
      # `illegal-byte-sequence` instead of this entry.
      assert {:ok, 1_000_300} = Components.Instance.call(instance, "list", [])
    end
  end
end
